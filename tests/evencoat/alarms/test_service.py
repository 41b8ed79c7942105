"""The service beside a page: a picture becomes alarms, silence is one, and what people did is kept."""

from __future__ import annotations

import json

import pytest

from evencoat.alarms.engine import EngineError
from evencoat.alarms.service import FOLLOWED_S, AlarmService
from evencoat.journal import CycleJournal
from evencoat.picture import Easel, message, path_of
from evencoat.settings import load_line
from tests.controller.core.test_step import Drive
from tests.factories import ToyWeb

SETTINGS = load_line("pilot-16")


class Wall:
    def __init__(self) -> None:
        self.now_s = 1e9

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def line(tmp_path):
    drive, wall = Drive(ToyWeb(SETTINGS.line)), Wall()
    path = tmp_path / "journal.sqlite"
    with CycleJournal(path, SETTINGS.line, SETTINGS.text):
        pass
    easel = Easel(path_of(path), SETTINGS.line.zones)
    yield path, drive, easel, wall
    easel.close()


def test_a_line_that_falls_silent_is_told_of_and_an_acknowledgement_outlives_the_page(line):
    path, drive, easel, wall = line
    service = AlarmService(path, SETTINGS, wall)
    easel.show(drive.cycle()._replace(link_faults=("another controller commands this line",)), 1.0)
    service.look()
    told = service.told()
    assert [one["id"] for one in told["alarms"]] == ["intruder"] and told["packml"]["state"]
    service.acknowledge("mara", "intruder")
    for _ in range(8):
        wall.now_s += 0.6
        service.look()
    assert "control-silent" in [one["id"] for one in service.told()["alarms"]]
    assert service.told()["health"]["controller"]["status"] == "failure"
    service.shelve("mara", "control-silent", 5.0, "being restarted")
    json.dumps(service.told())
    service.close()
    again = AlarmService(path, SETTINGS, wall)
    found = {one["id"]: (one["state"], one["who"]) for one in again.told()["alarms"]}
    assert found["control-silent"] == ("shelved", "mara") and not again.problem
    with pytest.raises(EngineError, match="nothing to acknowledge"):
        again.acknowledge("mara", "pump-end")
    again.close()


def test_since_when_is_the_wall_s_and_for_how_long_the_line_s(line):
    path, drive, easel, wall = line
    service, then_s = AlarmService(path, SETTINGS, wall), 5e8  # a run of long ago, played again at eight times its pace
    for k in range(6):
        strange = ("another controller commands this line",)
        trace = drive.cycle()._replace(link_faults=strange, t_line_ns=round(1.6e9 * k))
        easel.put(message(trace._asdict(), 1.0, then_s + 0.2 * k))
        service.look()
        wall.now_s += 0.2
    (one,) = service.told()["alarms"]
    assert (one["began_unix_s"], one["lasted_s"]) == (then_s, 8.0)
    service.close()
    again = AlarmService(path, SETTINGS, wall)
    assert again.told()["alarms"][0]["began_unix_s"] == then_s
    again.close()


def test_a_second_page_of_the_same_line_says_that_it_keeps_nothing(line):
    path, _, _, wall = line
    first, second = AlarmService(path, SETTINGS, wall), AlarmService(path, SETTINGS, wall)
    assert not first.problem and "another process keeps the alarms" in second.problem
    assert second.told()["elsewhere"] and not first.told()["elsewhere"]
    second.close()
    first.close()


def test_a_second_page_shows_what_the_first_keeps_changes_nothing_and_takes_over_after_it(line):
    path, drive, easel, wall = line
    first = AlarmService(path, SETTINGS, wall)
    easel.show(drive.cycle()._replace(link_faults=("another controller commands this line",)), 1.0)
    first.look()
    second = AlarmService(path, SETTINGS, wall)

    def followed() -> dict[str, tuple[str, str]]:
        wall.now_s += FOLLOWED_S
        second.look()
        return {one["id"]: (one["state"], one["who"]) for one in second.told()["alarms"]}

    assert followed() == {"intruder": ("active", "")}
    for ask in (lambda: second.acknowledge("mara", "intruder"), lambda: second.shelve("mara", "intruder", 5.0, "why")):
        with pytest.raises(EngineError, match="another process keeps the alarms"):
            ask()
    first.acknowledge("mara", "intruder")
    assert followed() == {"intruder": ("acknowledged", "mara")}
    first.close()
    assert followed() == {"intruder": ("acknowledged", "mara")} and not second.problem
    second.shelve("omar", "intruder", 5.0, "it is ours")
    second.close()
