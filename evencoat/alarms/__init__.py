"""Alarms after ISA-18.2 and EEMUA 191, and device health after NAMUR NE 107, worked out from what the trace tells.

`conditions` turns cycles into how bad things are, `engine` that into states of alarms, `figures` counts how much is
asked of the operator, `store` keeps what has to outlive a restart, `service` does all of it beside the page. See
docs/alarms.md.
"""
