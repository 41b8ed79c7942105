"""The limits of pilot-16, restated by hand."""

from tests.controller.core.test_envelope import Numbers
from tests.safety.battery import GateNumbers, SafetyBattery


class TestPilot16(SafetyBattery):
    numbers = Numbers("pilot-16.toml", 16, 500.0, 400.0, 600.0, 0.2, 40.0, 60.0, 8.0, 0.05)
    last_bounds = GateNumbers(399.9, 600.1, 0.3, 40.1, 60.1, 170.0, 196.5, 241.0, 8.001, 0.051)
