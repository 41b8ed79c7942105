"""Campaigns: long trials of reliability, each with limits that it is judged by. `evencoat campaign NAME` runs one.

A campaign is a module of this room with an object that `frame.Campaign` describes; CAMPAIGNS names it. The frame does
the rest: seeds, progress, a file to go on from, printing and exit codes. docs/reliability.md keeps what came out.
"""

from __future__ import annotations

from evencoat.campaigns.frame import Campaign


def campaigns() -> dict[str, Campaign]:
    """Every campaign by its name."""
    from evencoat.campaigns.kill import Kill
    from evencoat.campaigns.lateness import Lateness

    made: tuple[Campaign, ...] = (Kill(), Lateness())
    return {campaign.name: campaign for campaign in made}
