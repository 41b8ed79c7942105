"""The same cross-direction problem as `laws.Osqp`, put to do-mpc as its users put it: a model, a horizon, IPOPT.

do-mpc is an extra; it is imported where this is, and nowhere else. Its problems grow fast: for a pilot line only.
"""

from __future__ import annotations

import casadi
import do_mpc
import numpy as np

from controller.core.estimate import Estimator
from controller.line.description import Array, LineDescription
from evencoat.league.laws import MPC_EVERY_S, move_weight

HORIZON = 3
SCALE = 1e4  # log areal density to hundredths of a percent: IPOPT's tolerances are absolute


class DoMpc:
    """Lips move by `move` a step; the disturbance stays as it is over the horizon."""

    def __init__(self, line: LineDescription, estimator: Estimator) -> None:
        lips, zones = line.lips, line.zones
        matrix, weight = estimator.response.matrix, move_weight(estimator, line)
        model = do_mpc.model.Model("discrete")
        gap = model.set_variable("_x", "gap", shape=(zones, 1))
        move = model.set_variable("_u", "move", shape=(zones, 1))
        profile = model.set_variable("_p", "profile", shape=(zones, 1))
        model.set_rhs("gap", gap + move)
        model.setup()
        error = SCALE * (casadi.DM(matrix) @ gap + profile)
        cost = casadi.sumsqr(error)
        self._profile = np.zeros((zones, 1))
        self._mpc = mpc = do_mpc.controller.MPC(model)
        mpc.set_param(n_horizon=HORIZON, t_step=MPC_EVERY_S, n_robust=0, store_full_solution=False)
        mpc.settings.supress_ipopt_output()
        moves = SCALE**2 * weight * casadi.sumsqr(move)
        mpc.set_objective(mterm=cost, lterm=cost + 0.0 * moves)
        mpc.set_rterm(move=SCALE**2 * weight)
        reach = lips.rate_um_per_s * MPC_EVERY_S
        mpc.bounds["lower", "_u", "move"], mpc.bounds["upper", "_u", "move"] = -reach, reach
        mpc.bounds["lower", "_x", "gap"], mpc.bounds["upper", "_x", "gap"] = lips.gap_min_um, lips.gap_max_um
        self._limit("slope", gap[1:] - gap[:-1], lips.neighbour_max_um)
        self._limit("bend", gap[:-2] - 2 * gap[1:-1] + gap[2:], lips.bend_max_um)
        self._limit("sum", casadi.sum1(move), 0.1)
        template = mpc.get_p_template(1)

        def parameters(_: float) -> object:
            template["_p", 0] = self._profile
            return template

        mpc.set_p_fun(parameters)
        mpc.setup()
        self._started = False

    def _limit(self, name: str, expression: object, largest: float) -> None:
        self._mpc.set_nl_cons(f"{name}_high", expression, ub=largest)
        self._mpc.set_nl_cons(f"{name}_low", -expression, ub=largest)  # type: ignore[operator]

    def __call__(self, profile: Array, last_um: Array) -> Array:
        self._profile = profile.reshape(-1, 1)
        start = last_um.reshape(-1, 1)
        if not self._started:
            self._mpc.x0 = start
            self._mpc.set_initial_guess()
            self._started = True
        move = np.asarray(self._mpc.make_step(start)).ravel()
        return last_um + move if np.isfinite(move).all() else last_um
