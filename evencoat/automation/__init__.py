"""The automation: what a person at the desk would do without a second thought, done without one, bounded and on record.

decide: what is to be asked for, pure. plan: which recipe, and when the next. attendant: carries out, and looks.
service: beside a control process. played: in lockstep, for runs without a clock. docs/hands-off.md has its rules.
"""
