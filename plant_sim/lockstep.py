"""Plant and controller advance together, as fast as the machine allows: no clock, no waiting.

Imported by the front door, tests and benchmarks.
"""

from __future__ import annotations

from collections.abc import Callable

from plant_sim.node import PlantNodes


def run(
    nodes: PlantNodes,
    cycle: Callable[[], None],
    minutes: float,
    cycle_s: float,
    on_step: Callable[[PlantNodes], None] | None = None,
) -> None:
    """Let the plant run for a control cycle, then the controller once, until `minutes` of line time are over.

    `cycle` reads the bus and answers on it; what it sends is heard by the nodes in the next step. `on_step` sees the
    nodes after each step of the plant (nodes.truth_row, nodes.readings).
    """
    for _ in range(max(1, round(minutes * 60.0 / cycle_s))):
        nodes.step(cycle_s)
        if on_step is not None:
            on_step(nodes)
        cycle()
