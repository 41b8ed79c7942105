"""Plant and controller take turns."""

from firmware_bridge.bus_memory import MemoryHub
from firmware_bridge.codec import Codec
from firmware_bridge.contract import WireDescription
from plant_sim import lockstep
from plant_sim.node import PlantNodes
from plant_sim.scenario import Scenario
from plant_sim.truth import Truth
from tests.plant_sim.lines_for_tests import make_line


def test_the_plant_moves_first_then_the_controller_and_both_for_the_asked_time():
    line, hub, order = make_line(8), MemoryHub(), []
    codec = Codec.compile(WireDescription(), 8, 16, 16)
    nodes = PlantNodes(line, codec, hub.attach(), Truth.nominal(line), Scenario.quiet(), 1)
    lockstep.run(nodes, lambda: order.append("cycle"), 0.05, 0.1, lambda n: order.append(n.truth_row.t_s))
    assert order[1::2] == ["cycle"] * 30
    assert order[0::2] == sorted(order[0::2])
    assert len(order) == 60 and abs(nodes.state.t_s - 3.0) < 1e-9
