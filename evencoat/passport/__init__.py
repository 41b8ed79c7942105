"""The roll passport: what every metre and zone of a roll weighs and how surely, what to cut out and why, signed.

`web` reads a roll from the journal, `weigh` joins both gauges by `smooth`, `samples` reads what people weighed of it,
`standard` pins the map by that, `scrap` marks, `causes` names, `record` is what is published, `build` fills it in,
`export` writes it, `signing` seals and verifies. docs/passport.md says it all.
"""

from evencoat.passport.build import Assumed, Made, Told, make, roll_named, rolls_of
from evencoat.passport.causes import Named
from evencoat.passport.record import Passport, schema
from evencoat.passport.samples import Samples
from evencoat.passport.samples import read as read_samples
from evencoat.passport.web import PassportError

__all__ = [
    "Assumed",
    "Made",
    "Named",
    "Passport",
    "PassportError",
    "Samples",
    "Told",
    "make",
    "read_samples",
    "roll_named",
    "rolls_of",
    "schema",
]
