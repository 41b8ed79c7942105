"""The wire: DBC contract, codec, frame integrity, link health, the last gate before the bus, bus adapters.

Knows nothing of how anything is decided. May import controller.line and controller.port only.
"""

from __future__ import annotations

import sys

if "can" not in sys.modules and "asammdf" not in sys.modules:
    # python-can loads asammdf wherever that is installed, for logs that nobody here reads with it: two seconds and 80
    # MB of a control process's start. It is out of python-can's sight while that loads, and there afterwards.
    sys.modules["asammdf"] = None  # type: ignore[assignment]
    try:
        import can  # noqa: F401
    finally:
        del sys.modules["asammdf"]
