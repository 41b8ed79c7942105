"""The wire: DBC contract, codec, frame integrity, link health, the last gate before the bus, bus adapters.

Knows nothing of how anything is decided. May import controller.line and controller.port only.
"""

from firmware_bridge import bus_loading as bus_loading  # cantools loads python-can, too
