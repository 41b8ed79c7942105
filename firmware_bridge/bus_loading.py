"""Loads python-can, before anybody else does, without what it would drag along.

python-can loads asammdf wherever that is installed, for logs that nobody here reads with it: two seconds and 80 MB of a
control process's start. It is out of python-can's sight while that loads, and there for everybody afterwards.
"""

from __future__ import annotations

import sys

if "can" not in sys.modules and "asammdf" not in sys.modules:
    sys.modules["asammdf"] = None  # type: ignore[assignment]
    try:
        import can  # noqa: F401
    finally:
        del sys.modules["asammdf"]
