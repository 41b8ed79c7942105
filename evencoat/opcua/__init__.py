"""OPC UA: a line for the plant's own systems, as a server, and the PLC's server followed as a client.

asyncua speaks the protocol; as it comes it lets far too much through, so `gate` stands between the socket and its
services, `session` between a session and the line. `certificates` is who may connect at all, `people` who is there,
`nodes` what is shown, `history` what was, `events` what happened, `requests` what is asked of the desk. `server` puts
it together in a process of its own, `follow` is the client. docs/opcua.md walks a PLC engineer through it.
"""
