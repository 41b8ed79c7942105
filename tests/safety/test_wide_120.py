"""The limits of wide-120, restated by hand."""

from tests.controller.core.test_envelope import Numbers
from tests.safety.battery import GateNumbers, SafetyBattery


class TestWide120(SafetyBattery):
    numbers = Numbers("wide-120.toml", 120, 700.0, 560.0, 840.0, 0.5, 40.0, 50.0, 8.0, 0.05)
    last_bounds = GateNumbers(559.9, 840.1, 0.6, 40.1, 50.1, 67.0, 79.3, 89.0, 8.001, 0.051)
