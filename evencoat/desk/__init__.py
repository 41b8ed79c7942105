"""The desk: where people, and systems for people, ask things of a control process, and what is kept of it.

record: each thing asked for goes into the audit chain and then to the loop. users, actions: who may ask for what.
clerk, tray, channel: the control process's side. client: everybody else's.
"""

from evencoat.desk.record import ask, opened

__all__ = ["ask", "opened"]
