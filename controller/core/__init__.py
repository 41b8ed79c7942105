"""The pure core: no clock, file, socket, thread, log, global random, torch or CAN. Readers start at step.py."""
