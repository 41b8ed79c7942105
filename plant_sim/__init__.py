"""The stand-in for the line: physics, gauges, actuators, disturbances, faults, and the firmware of nodes on the bus.

May import controller.line and firmware_bridge; never controller.core, a law or the network.
"""
