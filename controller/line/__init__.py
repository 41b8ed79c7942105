"""The vocabulary every package shares: what the line is, what is measured, what is asked.

Frozen dataclasses over stdlib and numpy only. A closed set, not a drawer: a word belongs here when at least two
packages must agree on it.
"""
