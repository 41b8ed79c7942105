"""Lines far outside all that the network was trained on: the law neural stays within every limit and settles, and where
the network talks nonsense its word counts for nothing.

The network is the shipped one with a head `mean` of random weights, so that both heads speak. Each line leaves the
ranges of the training (controller.learn.families) by far in one way. Limits are restated here, by hand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from controller.core import step as core
from controller.core.network import Network
from controller.core.trace import Trace
from controller.line.command import ActuatorCommand, Cause, Mode, Rung
from controller.line.description import Array, LawName, LineDescription
from evencoat.guest import network_of
from evencoat.league import field
from evencoat.model_store import ModelStore
from plant_sim import families
from plant_sim.families import Family
from tests.networks import wild

MINUTES, SEED = 8.0, 3
NOISY = "gauges five times noisier"
USUAL = {"web_m_per_min": (75.0, 75.0), "oven_m": (30.0, 30.0), "zones": (16, 16), "width_m": (0.48, 0.48)}
FAR = {
    "128 zones of 12 mm": Family("", {"zones": (128, 128), "width_m": (1.536, 1.536)}),
    "8 zones of 60 mm": Family("", {"zones": (8, 8), "width_m": (0.48, 0.48)}),
    NOISY: Family("", true={"wet_noise_pct": (4.0, 4.0), "dry_noise_pct": (2.5, 2.5)}),
    "gauges eight times slower": Family("", {"wet_period_s": (4.0, 4.0), "dry_period_s": (15.0, 15.0)}),
    "240 m/min": Family("", {"web_m_per_min": (240.0, 240.0)}),
    "flow index 0.25": Family("", {"flow_index": (0.6, 0.6)}, {"flow_index": (0.25, 0.25)}),
    "Newtonian": Family("", {"flow_index": (0.75, 0.75)}, {"flow_index": (1.0, 1.0)}),
}


@dataclass(frozen=True, slots=True)
class Far:
    """A line's run: all that was said and sent, and the true web, (turns, lanes), percent from target."""

    line: LineDescription
    traces: list[Trace]
    sent: list[ActuatorCommand]
    web_pct: Array

    def sigma_pct(self, from_min: float, to_min: float) -> float:
        turns = slice(round(60.0 * from_min / field.TURN_S), round(60.0 * to_min / field.TURN_S))
        return float(np.sqrt(np.nanmean(self.web_pct[turns] ** 2)))

    @property
    def authority(self) -> Array:
        return np.array([trace.guest_authority for trace in self.traces])

    @property
    def rungs(self) -> set[Rung]:
        return {trace.rung for trace in self.traces}


@pytest.fixture(scope="module")
def talking(tmp_path_factory: pytest.TempPathFactory) -> Network:
    shipped = network_of(ModelStore(tmp_path_factory.mktemp("models")).find("shipped"))
    return shipped._replace(mean=wild(1).mean)


def played(kind: Family, guest: Network, monkeypatch: pytest.MonkeyPatch) -> Far:
    """Some minutes on a line, with two new batches, turn by turn."""
    own = replace(kind, described={**USUAL, **kind.described}, batch_every_s=(150.0, 160.0), front_s=(20.0, 30.0))
    monkeypatch.setitem(families.FAMILIES, "far", own)
    match = field.draw("far", SEED, MINUTES)
    line = replace(match.line, control=replace(match.line.control, law=LawName.NEURAL))
    config = core.configure(line, field.TURN_S, guest=guest)
    state, machine = core.init(config, Mode.AUTO), field.Machine(match)
    traces, sent, web = [], [], []
    for _ in range(round(60.0 * MINUTES / field.TURN_S)):
        web.append(machine.step().areal_density_gsm)
        state, command, trace = core.step(config, state, machine.inputs(), field.TURN_S)
        config, state = core.renewed(config, state)
        traces.append(trace)
        if command is not None:
            machine.obey(command)
            sent.append(command)
    return Far(line, traces, sent, 100.0 * (np.array(web) / line.target.areal_density_gsm - 1.0))


def broken(far: Far) -> list[str]:
    """Limits of lips and pump that a command broke, as the line describes them."""
    lips, pump, count = far.line.lips, far.line.pump, 1e-6
    gaps = np.array([command.gap_um for command in far.sent])
    trims = np.array([command.pump_trim_pct for command in far.sent])
    step = lips.command_step_um + count
    kept = {
        "finite": np.isfinite(gaps).all() and np.isfinite(trims).all(),
        "range": (gaps >= lips.gap_min_um - count).all() and (gaps <= lips.gap_max_um + count).all(),
        "rate": np.abs(np.diff(gaps, axis=0)).max() <= lips.rate_um_per_s * field.TURN_S + step,
        "neighbours": np.abs(np.diff(gaps, axis=1)).max() <= lips.neighbour_max_um + count,
        "bend": np.abs(np.diff(gaps, 2, axis=1)).max() <= lips.bend_max_um + count,
        "trim": np.abs(trims).max() <= pump.trim_max_pct + count,
        "trim rate": np.abs(np.diff(trims)).max() <= pump.trim_rate_pct_per_s * field.TURN_S + 0.011,
    }
    return [name for name, holds in kept.items() if not holds]


@pytest.mark.parametrize("name", FAR)
def test_a_line_far_outside_the_training_settles_within_every_limit(
    name: str, talking: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two new batches come in minutes 2.5 and 5; the last quarter is quiet."""
    far = played(FAR[name], talking, monkeypatch)
    assert broken(far) == []
    assert len(far.sent) == len(far.traces)
    assert np.ptp(far.sent[-1].gap_um) > 0.0 and np.ptp([one.pump_trim_pct for one in far.sent]) > 0.5, "it did control"
    assert far.sigma_pct(6.5, 8.0) < 0.5 and far.sigma_pct(6.5, 8.0) < 0.7 * far.sigma_pct(0.0, 2.0)
    assert max(abs(trace.guest_whole_pct) for trace in far.traces) > 0.0, "the head had something to say"
    assert max(abs(trace.guest_pct) for trace in far.traces) <= 1.0
    assert far.traces[-1].mode_actual is Mode.AUTO
    if name != NOISY:
        assert far.rungs == {Rung.OWN}
        return
    assert Rung.SLOWED in far.rungs, "the ladder goes down; the network, which adds to no profile, is not blamed"
    lower = [trace for trace in far.traces if trace.rung is not Rung.OWN]
    assert {trace.guest_pct for trace in lower} == {0.0}
    assert all(trace.rung_cause is not Cause.NONE for trace in lower)


def test_a_network_that_talks_nonsense_gets_no_authority_and_costs_next_to_nothing(
    talking: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = FAR["flow index 0.25"]
    shipped = talking._replace(mean=talking.mean._replace(w3=0.0 * talking.mean.w3, b3=0.0 * talking.mean.b3))
    nonsense = talking._replace(mean=wild(2, size=6.0).mean)
    quiet, loud = played(far, shipped, monkeypatch), played(far, nonsense, monkeypatch)
    assert quiet.authority.max() < 1e-6
    assert max(abs(trace.guest_whole_pct) for trace in loud.traces) > 0.5 and loud.authority[-1] < 0.1
    assert broken(loud) == []
    assert loud.sigma_pct(2.0, 8.0) < 1.02 * quiet.sigma_pct(2.0, 8.0)
