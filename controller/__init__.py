"""The mind: vocabulary of the line, estimation, law, envelope, modes and the paced loop.

Knows nothing of CAN, sockets, web pages or the simulator. Everyone may import it; it imports none of the others.
"""
