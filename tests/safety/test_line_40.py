"""The limits of line-40, restated by hand."""

from tests.controller.core.test_envelope import Numbers
from tests.safety.battery import GateNumbers, SafetyBattery


class TestLine40(SafetyBattery):
    numbers = Numbers("line-40.toml", 40, 600.0, 480.0, 720.0, 0.5, 50.0, 70.0, 8.0, 0.05)
    last_bounds = GateNumbers(479.9, 720.1, 0.6, 50.1, 70.1, 95.0, 112.1, 124.0, 8.001, 0.051)
