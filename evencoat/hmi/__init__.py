"""The operator page: `source` reads picture and journal of a line, `server` hands them to browsers, `static` is
what they show.

A process of its own. It only reads: killed, hung or flooded it costs the control loop nothing.
"""
