"""Snapshots of what a controller has learnt: `plain` makes arrays of it and back, `file` keeps them, `keeper` writes
them now and then off the paced thread. What a start takes over is controller.restart's to say; docs/restart.md tells.
"""
