"""How wrong the pump's effect may be believed to be while its loop stays stable, without the network and with it.

The inequality is controller.core.certificate's small gain, with the network's Lipschitz bound for frozen parameters and
full authority. What is learnt while the line runs, authority included, is tested (docs/league.md), not proved.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from controller.core import certificate, foresight, step
from controller.core.certificate import Loop
from controller.core.law import Imc, frozen_mean
from controller.line.description import LawName, LineDescription
from evencoat.guest import Guest


@dataclass(frozen=True, slots=True)
class PumpRegion:
    """Certified alone: log gain and delay errors either way; together_share: of both at once. gain_bound: of the
    network, zero without one."""

    words: str
    gain_bound: float
    gain_pct: float
    delay_s: float
    together_share: float


def pump_regions(line: LineDescription, guest: Guest) -> tuple[PumpRegion, ...]:
    """Without the network, and with it where there is one."""
    chosen = replace(line, control=replace(line.control, law=LawName.NEURAL))
    config = step.configure(chosen, line.control.cycle_s, guest=guest.network)
    assert isinstance(config.law, Imc)
    loop, foreseer = frozen_mean(chosen, config.estimator, config.law), config.foresight
    alone = _region("without a network", loop, 0.0, 0.0)
    if foreseer is None:
        return (alone,)
    bound, smooth_s = foresight.gain_bound(foreseer), foresight.shortest_s(foreseer)
    return alone, _region(f"with {guest.words}", loop, bound, smooth_s)


def lines(regions: tuple[PumpRegion, ...]) -> Iterator[str]:
    """The regions in words."""
    for region in regions:
        yield (
            f"{region.words[:1].upper()}{region.words[1:]}: gain by {region.gain_pct:.0f} % or delay by "
            f"{region.delay_s:.1f} s; both at once by {100.0 * region.together_share:.0f} % of each."
        )
    if len(regions) > 1:
        yield "Authority that is earned, and weights that are learnt while the line runs, are tested, not certified."


def _region(words: str, loop: Loop, bound: float, smooth_s: float) -> PumpRegion:
    def certified(gain: float, delay_s: float) -> bool:
        return certificate.certify(certificate.of_pump(gain, delay_s), loop, bound, smooth_s).certified

    gain = certificate.largest(lambda size: certified(size, 0.0), 1.0)
    delay_s = certificate.largest(lambda size: certified(0.0, size), 10.0 * loop.dead_s)
    share = certificate.largest(lambda size: certified(size * gain, size * delay_s), 1.0)
    return PumpRegion(words, bound, 100.0 * math.expm1(gain), delay_s, share)
