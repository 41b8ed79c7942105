"""The alarms over OPC UA are those of the engine beside the page, and people see to them in the same way."""

from __future__ import annotations

import asyncio

import pytest
from asyncua.common.events import get_filter_from_event_type

from evencoat.alarms.catalogue import CATALOGUE, told
from evencoat.alarms.engine import Key, State
from evencoat.alarms.service import AlarmService
from evencoat.alarms.store import Onlooker, path_beside
from evencoat.opcua import alarms, nodes
from tests.evencoat.opcua.conftest import events_heard

LINE = "ns=2;s=line"
INTRUDER = "another controller commands this line"


@pytest.fixture
def keeper(scene):
    """What `evencoat serve` does for the alarms, in a file of its own for each test."""
    for file in scene.folder.glob("*alarms.sqlite*"):
        file.unlink()
    made = AlarmService(scene.desk.path, scene.desk.line.plan.settings)
    assert not made.problem
    yield made
    made.close()
    scene.show()


def happen(scene, keeper, *faults):
    """One cycle with these faults, which keeper and server see."""
    trace = scene.desk.line.sink.all[-1]._replace(link_faults=faults)
    scene.easel.show(trace, 1.0)
    keeper.look()
    scene.within(scene.server.tell())


def play_as(scene, play, name, work):
    async def one():
        async with scene.client(name) as client:
            return await work(client)

    return play(one())


def values(scene, play):
    async def asked(client):
        names = [told.name for told in nodes.OF_ALARMS]
        return {name: await client.get_node(nodes.id_of(name)).read_data_value(False) for name in names}

    return play_as(scene, play, "vera", asked)


async def see_to(scene, keeper, client, method, *arguments):
    """Call a method while whoever keeps the alarms goes on."""
    calling = asyncio.ensure_future(client.get_node(LINE).call_method(f"2:{method}", *arguments))
    while not calling.done():
        keeper.heed()
        await asyncio.sleep(0.01)
    return await calling


def test_alarms_stand_over_opc_ua_as_the_engine_has_them(scene, play, keeper):
    happen(scene, keeper, INTRUDER)
    found = {name: one.Value.Value for name, one in values(scene, play).items()}
    assert found["alarm_ids"] == [one["id"] for one in keeper.told()["alarms"]] == ["intruder"]
    intruder = CATALOGUE["intruder"]
    assert found["alarms_highest_priority"] == str(intruder.priority)
    assert found["alarms_highest_severity"] == alarms.SEVERITIES[intruder.priority]
    assert (found["alarms_standing"], found["alarms_waiting"], found["alarms_shelved"]) == (1, 1, 0)
    assert found["alarm_texts"][0].startswith(f"{intruder.priority}, active: {intruder.en.text}")


def test_each_move_of_an_alarm_is_an_event_with_cause_consequence_and_action(scene, play, keeper):
    happen(scene, keeper)

    async def heard(client):
        filtered = await get_filter_from_event_type([client.get_node("ns=2;s=LineAlarmEventType")])
        got = await events_heard(client, filtered)
        scene.desk.journal.event("mode", "a remark, which is no alarm")
        await asyncio.to_thread(happen, scene, keeper, INTRUDER)
        came = await asyncio.wait_for(got.get(), 20.0)
        accepted, reason = await see_to(scene, keeper, client, "acknowledge_alarm", came.AlarmId, "the cable")
        assert accepted, reason
        await asyncio.to_thread(scene.within, scene.server.tell())
        return came, await asyncio.wait_for(got.get(), 20.0)

    came, seen = play_as(scene, play, "omar", heard)
    key, alarm = Key("intruder"), CATALOGUE["intruder"]
    words = told(alarm, "")
    assert (came.AlarmId, came.State, came.Before) == (str(key), "active", "normal")
    assert (came.Priority, came.Subject, came.Zone) == (str(alarm.priority), "", 0)
    assert came.Severity == alarms.SEVERITIES[alarm.priority] and came.FirstOut
    assert (came.Cause, came.Consequence, came.Action) == (words.cause, words.consequence, words.action)
    assert words.text in came.Message.Text
    assert (seen.AlarmId, seen.State, seen.Who) == (came.AlarmId, "acknowledged", "omar")
    assert keeper.state.standings[key].state is State.ACKNOWLEDGED
    assert scene.audited("omar via opcua", f"alarm {key}: seen", "the cable", what="acknowledgement")


def test_an_operator_puts_an_alarm_aside_and_bounds_are_the_page_s(scene, play, keeper):
    happen(scene, keeper, INTRUDER)

    async def asked(client):
        return [
            await see_to(scene, keeper, client, "shelve_alarm", "intruder", minutes, why)
            for minutes, why in ((481.0, "late"), (5.0, ""), (5.0, "being looked at"), (5.0, "again"))
        ]

    answers = play_as(scene, play, "omar", asked)
    assert [accepted for accepted, _ in answers] == [False, False, True, False]
    assert "480" in answers[0][1] and "why" in answers[1][1] and "shelved already" in answers[3][1]
    assert keeper.state.standings[Key("intruder")].why == "being looked at"
    assert scene.audited("omar via opcua", "put aside for 5 minutes", "being looked at", what="acknowledgement")
    assert scene.audited("omar via opcua", "shelve alarm", "480", what="refused")


def test_a_viewer_acknowledges_nothing_and_that_is_on_record(scene, play, keeper):
    happen(scene, keeper, INTRUDER)

    async def asked(client):
        return await see_to(scene, keeper, client, "acknowledge_alarm", "intruder", "")

    accepted, reason = play_as(scene, play, "vera", asked)
    assert not accepted and "vera is viewer" in reason
    assert keeper.state.standings[Key("intruder")].state is State.ACTIVE
    assert scene.audited("vera via opcua", "acknowledge alarm", "viewer", what="refused")


def test_where_nobody_keeps_the_alarms_nothing_is_good_and_nothing_is_acknowledged_later(scene, play, monkeypatch):
    monkeypatch.setattr(alarms, "UNKEPT_S", -1.0)
    monkeypatch.setattr(alarms, "PATIENCE_S", 0.0)
    scene.within(scene.server.tell())
    assert {one.StatusCode.name for one in values(scene, play).values()} == {"BadNoCommunication"}
    keeper = AlarmService(scene.desk.path, scene.desk.line.plan.settings)
    accepted, reason = play_as(
        scene, play, "omar", lambda client: client.get_node(LINE).call_method("2:acknowledge_alarm", "intruder", "")
    )
    assert not accepted and "evencoat serve" in reason
    assert keeper._store.asked() == [], "it was taken back"
    keeper.close()


def test_without_a_file_of_alarms_no_value_is_good(tmp_path, scene, play):
    teller = scene.server._alarms
    before, teller._onlooker = teller._onlooker, Onlooker(tmp_path / "alarms.sqlite")
    scene.within(teller.tell())
    teller._onlooker = before
    assert {one.StatusCode.name for one in values(scene, play).values()} == {"BadNoCommunication"}
    assert path_beside(scene.desk.path) == before.path
    scene.within(scene.server.tell())


@pytest.mark.parametrize(
    ("subject", "zone"), [("zone 7", 7), ("bolt 12", 12), ("die", 0), ("", 0), ("zone x", 0), ("gauge 3", 0)]
)
def test_an_alarm_names_its_zone(subject, zone):
    assert alarms.zone_of(Key("bolt-stuck", subject)) == zone


def test_a_client_that_comes_late_is_told_of_what_comes_and_not_of_what_was(tmp_path, scene, keeper):
    happen(scene, keeper, INTRUDER)
    look = Onlooker(path_beside(scene.desk.path)).look
    first = look(alarms.ALL)
    assert first.moved == [] and first.newest > 0
    assert len(look(first.newest - 1).moved) == 1
