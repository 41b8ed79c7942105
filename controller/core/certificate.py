"""Is the loop of the lips stable though the belief is wrong? A certificate for frozen parameters and a box of errors.

The loop of `law.Imc`, in the coordinates of the kept modes: a, what the lips are believed to do to the profile, obeys

    (slow s + 1) a = -K (y - a exp(-dead s)),     y = M a exp(-(dead + delay) s) + disturbance,     K = 1/(quick s + 1)

M = B_true B_believed^+ on the kept modes (`misfits` works it out with both edges of the die), delay the error of the
transport delay. The law's filter and the estimate's settled one are the two lags; which of them is the slow one is a
matter of the mode. M and the diagonal of lags do not commute: a bound for one mode alone proves nothing. Two do:

- Small gain. Round the loop goes F (M exp(-delay s) - I) exp(-dead s), F the diagonal of both lags, whose gain is at
  most 1 and at most 1/((slow + quick) w) at frequency w; |exp(-j delay w) - 1| <= delay w. It is stable if

      ||M - I|| + ||(slow + quick)^-1 M|| delay + L_Q ||dP|| < 1,

  with a correction Q of Lipschitz bound L_Q beside the law's answer and dP = M exp(-delay s) - I what it sees; where Q
  sees it through lags of `smooth` seconds or more, ||M - I|| + ||M|| delay/smooth of it are left. A wave
  of length l, misaligned by d, has |M - I| = 2 sin(pi d/l): this ends at l/6, where `response.believe` stops keeping
  modes.
- A slow loop. Where M + M^T > 0 the numerical range of M lies within a sector of half angle f < 90 degrees, and
  slow s + M alone is stable with ||(jw + R M R)^-1|| <= 1/(w cos f), R = slow^-1/2: a congruence does not change f. The
  rest, (K exp(-dead s) - 1)(M - I) + K exp(-dead s) (exp(-delay s) - 1) M, grows no faster than w, so it is stable if

      (||R (dead + quick) (M - I) R|| + ||R M R|| delay) / cos f < 1.

  This reaches toward l/4, and to any gain, in return for time; it knows nothing of corrections.

Either is enough. Over a box of errors both are taken at their worst: between the nodes of a grid M is nearly linear in
each error, norms of a blend of matrices are no larger than the largest of theirs, and what is not linear is bounded by
an eighth of M's second differences. Time is continuous here. In steps of T both bounds hold as they stand for delays of
whole steps and a lag that goes a share h of the way in a step, its time constant taken as T (1 - h)/h: that is half a
step less than that of the law's filters. Limits, play and dead band are not in it. What is certified are frozen
parameters; the loop that learns while it runs is tested, not proved.
Sources: small-gain theorem (Zames 1966); robust internal model control (Morari and Zafiriou 1989).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from controller.core.response import ResponseModel, lip_matrix, local_gain_per_um, moved
from controller.line.description import Array, Doubt, LineDescription

DOUBLINGS = 8  # of the power: a norm is then at most 1 % too large at 120 modes, and never too small
SPAN = 64.0  # times faster and slower than asked for that closed-loop times are looked for
BISECTIONS = 10


@dataclass(frozen=True, slots=True)
class Loop:
    """The lips' loop: the two lags of each mode (modes,), s, the slower one first, and the believed delay, s."""

    slow_s: Array
    quick_s: Array
    dead_s: float

    @staticmethod
    def of(filter_s: Array, smoothing_s: Array, dead_s: float) -> Loop:
        """From the law's filter and the estimate's, in whatever order."""
        return Loop(np.maximum(filter_s, smoothing_s), np.minimum(filter_s, smoothing_s), dead_s)


@dataclass(frozen=True, slots=True)
class Certificate:
    """Left-hand sides for the worst of a box. Below 1 is certified; `slow` is infinite where no slowness helps."""

    misfit: float  # ||M - I||
    delay: float  # ||(slow + quick)^-1 M|| delay
    correction: float  # L_Q ||dP||
    slow: float  # of the slow loop, in one

    @property
    def quick(self) -> float:
        """Left-hand side of the small gain."""
        return self.misfit + self.delay + self.correction

    @property
    def left(self) -> float:
        """The smaller left-hand side: what counts."""
        return min(self.quick, self.slow)

    @property
    def certified(self) -> bool:
        """Whether the loop is stable everywhere in the box."""
        return self.left < 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Misfits:
    """What the truth may make of the belief, over a box. matrices: (nodes, modes, modes), M at the nodes of the grid.

    bend: norm of what M may differ by from a blend of its nodes. gain: log, either way; a plain factor on every M.
    delay_s: error of the delay, either way.
    """

    matrices: Array
    bend: float
    gain: float
    delay_s: float


def misfits(line: LineDescription, model: ResponseModel, box: Doubt) -> Misfits:
    """M over a box of errors about the description: kernel, shift and stretch on a grid of three each."""
    sides = [np.array([-w, 0.0, w]) if w > 0.0 else np.zeros(1) for w in (box.kernel, box.shift_pitches, box.stretch)]
    shape = tuple(side.size for side in sides)
    matrices = np.empty((*shape, model.modes, model.modes))
    for node in np.ndindex(shape):
        numbers = np.array([0.0, *(side[i] for side, i in zip(sides, node, strict=True))])
        matrices[node] = misfit(line, model, numbers)
    bend = 0.0
    for axis in range(3):
        if shape[axis] > 1:
            second = np.diff(matrices, n=2, axis=axis).reshape(-1, model.modes, model.modes)
            bend += 0.125 * float(norms(second).max())
    flat = matrices.reshape(-1, model.modes, model.modes)
    return Misfits(flat, bend, box.gain, box.delay_s)


def of_pump(gain: float, delay_s: float) -> Misfits:
    """What the truth may make of the pump's effect on the mean, which is believed to be one: log gain and delay, s."""
    return Misfits(np.ones((1, 1, 1)), 0.0, gain, delay_s)


def misfit(line: LineDescription, model: ResponseModel, numbers: Array) -> Array:
    """M where the true die differs from the description by four numbers (`response.moved`), (modes, modes)."""
    die = moved(line.die, numbers)
    true = local_gain_per_um(replace(line, die=die)) * lip_matrix(die)
    matrix: Array = model.profiles.T @ true @ (model.shapes / model.gains)  # shapes and profiles have zero mean
    return matrix


def certify(known: Misfits, loop: Loop, lipschitz: float = 0.0, smooth_s: float = 0.0) -> Certificate:
    """Left-hand sides for the worst of a box. `lipschitz`: of a correction beside the law's answer (log to log), which
    sees through lags of `smooth_s` or more."""
    largest = math.exp(known.gain)
    bend, total_s = largest * known.bend, loop.slow_s + loop.quick_s
    ends = np.concatenate([math.exp(side) * known.matrices for side in (-known.gain, known.gain)])
    ends -= np.eye(known.matrices.shape[1])
    wrong, late = float(norms(ends).max()) + bend, 0.0
    if known.delay_s > 0.0:
        late = largest * float(norms(known.matrices / total_s[:, None]).max()) + bend / float(total_s.min())
    if lipschitz > 0.0:  # the slow loop knows nothing of corrections
        norm = largest * float(norms(known.matrices).max()) + bend
        seen = 1.0 + norm if known.delay_s > 0.0 else wrong
        if smooth_s > 0.0:
            seen = min(seen, wrong + norm * known.delay_s / smooth_s)
        return Certificate(wrong, late * known.delay_s, lipschitz * seen, math.inf)
    return Certificate(wrong, late * known.delay_s, 0.0, _slow(known, loop, ends, bend))


def _slow(known: Misfits, loop: Loop, ends: Array, bend: float) -> float:
    """Left-hand side of the slow loop: `ends` are M - I at both ends of the gain, (2 nodes, modes, modes)."""
    tangent = _sector(known)
    if not math.isfinite(tangent):
        return math.inf
    root = 1.0 / np.sqrt(loop.slow_s)
    wait_s = (loop.dead_s + loop.quick_s) * root
    rest = float(norms(wait_s[:, None] * ends * root).max()) + bend * float(wait_s.max() * root.max())
    if known.delay_s > 0.0:
        size = math.exp(known.gain) * float(norms(root[:, None] * known.matrices * root).max())
        rest += (size + bend * float(root.max()) ** 2) * known.delay_s
    return rest * math.hypot(1.0, tangent)


def _sector(known: Misfits) -> float:
    """Tangent of the half angle of the sector that all numerical ranges lie in; infinite where there is none.

    |x* (M - M^T)/2 x| <= t x* (M + M^T)/2 x for all x holds for a blend of matrices where it holds for each of them.
    """
    turned = np.swapaxes(known.matrices, 1, 2)
    even, odd = 0.5 * (known.matrices + turned), 0.5 * (known.matrices - turned)
    least = float(np.linalg.eigvalsh(even)[:, 0].min())
    if least <= known.bend:
        return math.inf
    lower = np.linalg.cholesky(even)
    half = np.linalg.solve(lower, odd)
    tangent = float(norms(np.linalg.solve(lower, np.swapaxes(half, 1, 2))).max())
    return (tangent * least + known.bend) / (least - known.bend)


def norms(matrices: Array) -> Array:
    """Spectral norm of each matrix, (count, rows, columns) -> (count,), never too small: what a certificate needs.

    Power iteration on A^T A that squares the operator instead of applying it: tr(G^m)^(1/m) of G = A^T A is the square
    of the norm or more, by the m-th root of the rank at most, where iterating on a vector would come from below.
    """
    gram = np.swapaxes(matrices, 1, 2) @ matrices
    log = np.zeros(len(gram))
    for doubling in range(DOUBLINGS + 1):
        trace = np.maximum(np.trace(gram, axis1=1, axis2=2), 1e-300)
        log += np.log(trace) / 2.0**doubling
        gram = gram / trace[:, None, None]
        if doubling < DOUBLINGS:
            gram = gram @ gram
    found: Array = np.exp(0.5 * log)
    return found


def least_closed_loop_s(
    known: Misfits, asked_s: float, loop_at: Callable[[float], Loop], lipschitz: float = 0.0
) -> float:
    """Smallest closed-loop time constant from which on all are certified, s; infinite where none within SPAN is.

    `loop_at` makes the loop of a time constant. Found from the slow end, in steps and then by halving (of the log).
    """

    def certified(closed_s: float) -> bool:
        return certify(known, loop_at(closed_s), lipschitz).certified

    good_s = asked_s * SPAN
    if not certified(good_s):
        return math.inf
    while good_s > asked_s / SPAN and certified(0.5 * good_s):
        good_s *= 0.5
    bad_s = 0.5 * good_s
    for _ in range(BISECTIONS):
        middle_s = math.sqrt(good_s * bad_s)
        good_s, bad_s = (middle_s, bad_s) if certified(middle_s) else (good_s, middle_s)
    return good_s


def largest_scale(
    line: LineDescription, model: ResponseModel, box: Doubt, loop: Loop, most: float = 1.0, lipschitz: float = 0.0
) -> float:
    """How many times as wide, up to `most`, a box may be and all of it be certified; by bisection.

    Boxes of growing scale contain each other, so what is certified at one scale is so at all smaller ones.
    """

    def certified(scale: float) -> bool:
        return certify(misfits(line, model, box.times(scale)), loop, lipschitz).certified

    return largest(certified, most)


def largest(holds: Callable[[float], bool], most: float) -> float:
    """The largest number up to `most` for which it holds, where it does for all smaller ones; by bisection."""
    if holds(most):
        return most
    good, bad = 0.0, most
    for _ in range(BISECTIONS):
        middle = 0.5 * (good + bad)
        good, bad = (middle, bad) if holds(middle) else (good, middle)
    return good
