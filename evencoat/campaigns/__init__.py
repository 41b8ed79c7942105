"""Campaigns: long trials of reliability, each with limits that it is judged by. `evencoat campaign NAME` runs one.

A campaign is a module of this room with an object that `frame.Campaign` describes; `campaigns` names it. The frame does
the rest: seeds, progress, a file to go on from, printing and exit codes. docs/reliability.md keeps what came out.
"""

from __future__ import annotations

from evencoat.campaigns.frame import Campaign


def campaigns() -> dict[str, Campaign]:
    """Every campaign by its name."""
    from evencoat.campaigns.adversary import Adversary
    from evencoat.campaigns.busoff import BusOff
    from evencoat.campaigns.endurance import MONTH, WEEK
    from evencoat.campaigns.faults import Faults
    from evencoat.campaigns.frames import Frames
    from evencoat.campaigns.fuzz import Fuzz
    from evencoat.campaigns.kill import Kill
    from evencoat.campaigns.lateness import Lateness
    from evencoat.campaigns.modes import Modes

    short = (Kill(), Frames(), Adversary(), Faults(), Lateness(), BusOff(), Modes(), Fuzz())
    made: tuple[Campaign, ...] = (*short, WEEK, MONTH)
    return {campaign.name: campaign for campaign in made}
