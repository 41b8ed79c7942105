"""What the server shows is what picture and journal have, and what is written goes to the desk and nowhere else."""

from __future__ import annotations

import asyncio
import math
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from asyncua import ua
from asyncua.common.events import get_filter_from_event_type
from asyncua.ua import uaerrors

from controller.core.target import bounds_gsm
from controller.line.command import Mode, Outcome
from controller.line.profile import LineState
from evencoat.journal import JournalReader
from evencoat.opcua import certificates, history, nodes, server, session
from tests.evencoat.opcua.conftest import PASSWORD, events_heard

PROFILE, MODE, TRIM, LIPS, TARGET = (
    f"ns=2;s={name}" for name in ("profile_gsm", "mode_requested", "pump_trim_pct", "gap_target_um", "target_mean_gsm")
)
LINE = "ns=2;s=line"


@pytest.fixture
def read(scene, play):
    """Read a node as an operator does."""

    def reading(node, attribute=ua.AttributeIds.Value):
        async def one():
            async with scene.client() as client:
                return await client.get_node(node).read_attribute(attribute, raise_on_bad_status=False)

        return play(one())

    return reading


def play_as(scene, play, name, work):
    async def one():
        async with scene.client(name) as client:
            return await work(client)

    return play(one())


async def in_command(client, mode="manual"):
    line = client.get_node(LINE)
    assert (await line.call_method("2:take_command", "test"))[0]
    accepted, reason = await line.call_method("2:set_mode", mode, "test")
    assert accepted, reason


# --- what is shown -----------------------------------------------------------------------------------------------


def test_every_value_is_the_picture_s(scene, play):
    trace = scene.show()

    async def everything(client):
        return {told.name: await client.get_node(nodes.id_of(told.name)).read_data_value(False) for told in nodes.TOLD}

    found = play_as(scene, play, "vera", everything)
    value = {name: one.Value.Value for name, one in found.items()}
    np.testing.assert_array_equal(np.asarray(value["profile_gsm"], "<f4"), np.asarray(trace.profile_gsm, "<f4"))
    np.testing.assert_array_equal(np.asarray(value["gap_um"], "<f4"), np.asarray(trace.gap_um, "<f4"))
    np.testing.assert_array_equal(value["profile_valid"], trace.profile_valid)
    assert value["profile_valid"][0] is bool(trace.profile_valid[0])
    told = (value["mode_actual"], value["line_state"], value["roll"])
    assert told == (str(trace.mode_actual), "running", trace.roll)
    assert value["web_speed_mps"] == pytest.approx(trace.web_speed_mps)
    assert value["link_faults"] == list(trace.link_faults)
    for name, one in found.items():
        assert one.StatusCode.is_good() or (name == "harris_md" and math.isnan(trace.harris_md)), name
        assert abs(one.SourceTimestamp - datetime.now(UTC)) < timedelta(minutes=5)


def test_a_profile_has_unit_range_and_length(scene, read):
    line = scene.desk.line.line
    unit = read(f"{PROFILE}.EngineeringUnits").Value.Value
    assert (unit.UnitId, unit.DisplayName.Text) == (18253, "g/m²"), "GM of UNECE recommendation 20"
    bounds = read("ns=2;s=gap_um.EURange").Value.Value
    assert (bounds.Low, bounds.High) == (line.lips.gap_min_um, line.lips.gap_max_um)
    assert read(PROFILE, ua.AttributeIds.ArrayDimensions).Value.Value == [line.zones]
    assert read(PROFILE, ua.AttributeIds.ValueRank).Value.Value == 1


def test_zones_that_were_not_measured_make_the_profile_uncertain(scene, read):
    zones = scene.desk.line.line.zones
    scene.show(profile_valid=np.arange(zones) > 2)
    assert read(PROFILE).StatusCode.name == "UncertainSubNormal"
    scene.show(profile_valid=np.zeros(zones, dtype=bool))
    assert read(PROFILE).StatusCode.name == "UncertainLastUsableValue"
    scene.show()
    assert read(PROFILE).StatusCode.is_good()


def test_a_number_that_there_is_not_yet_is_none(scene, read):
    scene.show(harris_md=math.nan)
    found = read("ns=2;s=harris_md")
    assert found.StatusCode.name == "BadWaitingForInitialData" and found.Value.Value is None


def test_where_no_picture_comes_no_value_is_good_and_none_is_kept(scene, play, monkeypatch):
    scene.show()
    monkeypatch.setattr(server, "STALE_S", -1.0)
    scene.within(scene.server.look())

    async def everything(client):
        level = await client.get_node(ua.NodeId(ua.ObjectIds.Server_ServiceLevel)).read_value()
        names = [told.name for told in nodes.TOLD]
        return level, [await client.get_node(nodes.id_of(name)).read_data_value(False) for name in names]

    level, found = play_as(scene, play, "vera", everything)
    assert level == server.SERVICE_NO_DATA
    assert {one.StatusCode.name for one in found} == {"BadNoCommunication"}
    assert {one.Value.Value for one in found} == {None}
    monkeypatch.undo()
    scene.show()
    assert play_as(scene, play, "vera", everything)[0] == server.SERVICE_WELL


def test_a_picture_that_lay_there_for_long_is_none(scene, read, monkeypatch):
    scene.show()
    monkeypatch.setattr(time, "time", lambda: 1e9)
    scene.easel.show(scene.desk.line.sink.all[-1], 0.0)
    monkeypatch.undo()
    monkeypatch.setattr(server, "STALE_S", -1.0)
    scene.within(scene.server.look())
    assert read("ns=2;s=cycle").StatusCode.name == "BadNoCommunication"
    monkeypatch.undo()
    scene.show()


def test_the_line_s_state_is_told_after_packml(scene, read):
    for outcome, state in ((Outcome.OK, "Suspended"), (Outcome.SAFE_STOP, "Aborted")):
        scene.show(mode_requested=Mode.AUTO, outcome=outcome, line_state=LineState.SPLICE)
        assert read("ns=2;s=packml_state").Value.Value == state
    assert read("ns=2;s=packml_mode").Value.Value == "Production"
    scene.show()


# --- what was, and what happened ---------------------------------------------------------------------------------


def test_history_is_the_journal_s(scene, play, monkeypatch):
    journal, sink = scene.desk.journal, scene.desk.line.sink
    for k, trace in enumerate(sink.all[:12]):
        journal.record(trace._replace(target_gsm=(1.0 + 0.001 * k) * trace.target_gsm), 1.0, 2.0)
    until_s = time.monotonic() + 10.0
    while time.monotonic() < until_s:
        with JournalReader(scene.desk.path) as reader:
            rows = reader.cycles(["t_unix_s", "profile_gsm", "web_m", "target_gsm", "zone_manual"])
        if len(rows["web_m"]) >= 12:
            break
        time.sleep(0.02)
    monkeypatch.setattr(history, "VALUES_MOST", 5)
    monkeypatch.setattr(history, "ARRAYS_MOST", 5)
    early, late = history.stamp(rows["t_unix_s"][2]), history.stamp(rows["t_unix_s"][10])

    others = ("target_gsm", "target_mean_gsm", "zone_manual")

    async def asked(client):
        profile, web = client.get_node(PROFILE), client.get_node("ns=2;s=web_m")
        return (
            await profile.read_raw_history(early, late),
            await web.read_raw_history(late, early),
            await web.read_raw_history(None, late, numvalues=3),
            await web.read_raw_history(early, None, numvalues=2),
            *[await client.get_node(f"ns=2;s={name}").read_raw_history(early, None, numvalues=2) for name in others],
        )

    whole, back, last, first, target, mean, held = play_as(scene, play, "vera", asked)
    assert [one.SourceTimestamp for one in whole] == [history.stamp(t) for t in rows["t_unix_s"][2:11]], (
        "in two answers"
    )
    np.testing.assert_array_equal(np.asarray(whole[3].Value.Value, "<f4"), rows["profile_gsm"][5])
    assert [one.Value.Value for one in back] == rows["web_m"][2:11][::-1].tolist()
    assert [one.Value.Value for one in last] == rows["web_m"][8:11][::-1].tolist()
    assert [one.Value.Value for one in first] == rows["web_m"][2:4].tolist()
    recipe_gsm = scene.desk.line.line.target_profile_gsm
    for one, moved_gsm, k in zip(target, mean, (2, 3), strict=True):
        assert moved_gsm.Value.Value == pytest.approx(rows["target_gsm"][k])
        np.testing.assert_allclose(one.Value.Value, recipe_gsm * rows["target_gsm"][k] / recipe_gsm.mean(), rtol=1e-6)
    assert [one.Value.Value for one in held] == rows["zone_manual"][2:4].tolist()


def test_history_is_had_of_what_the_journal_keeps_and_in_bounds(scene, play):
    async def asked(client):
        with pytest.raises(uaerrors.BadHistoryOperationUnsupported):
            await client.get_node("ns=2;s=packml_state").read_raw_history(datetime.now(UTC), None, 5)
        with pytest.raises(uaerrors.BadHistoryOperationUnsupported):
            await client.uaclient.session.history_read(
                ua.HistoryReadParameters(ua.ReadProcessedDetails(), NodesToRead=[ua.HistoryReadValueId()])
            )
        with pytest.raises(uaerrors.BadTooManyOperations):
            await client.uaclient.session.history_read(
                ua.HistoryReadParameters(ua.ReadRawModifiedDetails(), NodesToRead=[ua.HistoryReadValueId()] * 21)
            )

    play_as(scene, play, "vera", asked)


def test_what_happens_is_an_event_and_what_happened_before_is_none(scene, play):
    scene.desk.journal.event("alarm", "long ago")

    async def heard(client):
        kind = client.get_node(ua.NodeId(ua.ObjectIds.BaseEventType))
        filtered = await get_filter_from_event_type([kind], False)
        got = await events_heard(client, filtered)
        for text in ("bolt 7 sticks", "auto"):
            scene.desk.journal.event("alarm" if "7" in text else "mode", text)
        events = []
        while len(events) < 2:
            told = scene.server.tell()
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(told, scene._loop))
            try:
                events.append(await asyncio.wait_for(got.get(), 0.2))
            except TimeoutError:
                continue
        return [(event.Message.Text, event.Severity, event.SourceName) for event in events]

    until_s = time.monotonic() + 10.0
    while time.monotonic() < until_s:
        with JournalReader(scene.desk.path) as reader:
            if [one.text for one in reader.newest_events(1)] == ["long ago"]:
                break
        time.sleep(0.02)
    scene.within(scene.server.tell())
    name = scene.desk.line.line.name
    told = [("bolt 7 sticks", 100, name), ("auto", 100, name)]
    assert play_as(scene, play, "vera", heard) == told, "what the journal notes is a remark, and no alarm"


# --- what is asked for -------------------------------------------------------------------------------------------


def test_an_operator_in_command_sets_mode_lips_and_pump_and_the_line_follows(scene, play):
    gap_um = scene.desk.line.sink.all[-1].gap_target_um
    asked_um = (gap_um + 1.5).tolist()

    async def asked(client):
        await in_command(client)
        await client.get_node(LIPS).write_value(ua.Variant(asked_um, ua.VariantType.Float))
        await client.get_node(TRIM).write_value(0.25)
        line = client.get_node(LINE)
        told = await line.call_method("2:set_lips", [3], [float(gap_um[2]) - 1.0], "a streak")
        await line.call_method("2:release_command", "")
        return told

    accepted, reason = play_as(scene, play, "omar", asked)
    assert accepted, reason
    for _ in range(100):
        scene.desk.cycle()
    trace = scene.desk.line.sink.all[-1]
    assert trace.mode_actual is Mode.MANUAL
    assert trace.gap_target_um[0] == pytest.approx(asked_um[0], abs=0.2)
    assert trace.gap_target_um[2] == pytest.approx(gap_um[2] - 1.0, abs=0.2)
    assert trace.pump_trim_pct == pytest.approx(0.25, abs=0.01)
    assert scene.audited("omar via opcua", "a streak", what="setpoint")


def test_an_engineer_moves_the_target_and_the_profile_s_target_follows(scene, play, read):
    line = scene.desk.line.line
    recipe_gsm = line.target_profile_gsm.mean()

    async def asked(client):
        await in_command(client, "auto")
        await client.get_node(TARGET).write_value(float(1.01 * recipe_gsm))
        for beyond in (2.0 * recipe_gsm, math.nan):
            with pytest.raises(uaerrors.BadOutOfRange):
                await client.get_node(TARGET).write_value(float(beyond))
        told = await client.get_node(LINE).call_method("2:set_target", float(0.5 * recipe_gsm), "too much")
        await client.get_node(LINE).call_method("2:release_command", "")
        return told

    accepted, reason = play_as(scene, play, "enid", asked)
    assert not accepted and "target_gsm.value" in reason
    for _ in range(60):
        scene.desk.cycle()
    trace = scene.show()
    assert trace.target_gsm > 1.0005 * recipe_gsm, "on its ramp"
    assert read(TARGET).Value.Value == pytest.approx(trace.target_gsm)
    shown = read("ns=2;s=target_gsm").Value.Value
    np.testing.assert_allclose(shown, line.target_profile_gsm * trace.target_gsm / recipe_gsm, rtol=1e-6)
    assert scene.audited("enid via opcua", "target, g/m2", "written over OPC UA", what="setpoint")
    bounds = read(f"{TARGET}.EURange").Value.Value
    assert (bounds.Low, bounds.High) == bounds_gsm(line)


def test_an_operator_moves_no_target(scene, play):
    mean_gsm = float(scene.desk.line.line.target_profile_gsm.mean())

    async def asked(client):
        await in_command(client, "auto")
        with pytest.raises(uaerrors.BadUserAccessDenied):
            await client.get_node(TARGET).write_value(mean_gsm)
        told = await client.get_node(LINE).call_method("2:set_target", mean_gsm, "")
        await client.get_node(LINE).call_method("2:release_command", "")
        return told

    accepted, reason = play_as(scene, play, "omar", asked)
    assert not accepted and "this takes engineer" in reason


def test_zones_are_held_by_hand_and_given_back_and_only_their_lips_are_a_person_s(scene, play, read):
    zones = scene.desk.line.line.zones
    stood_um = scene.desk.line.sink.all[-1].gap_target_um

    async def asked(client):
        await in_command(client, "auto")
        line = client.get_node(LINE)
        return [
            await line.call_method("2:hold_zones", [2, 3], "a streak"),
            await line.call_method("2:set_lips", [3], [float(stood_um[2]) + 2.0], "a streak"),
            await line.call_method("2:set_lips", [4], [float(stood_um[3])], "not held"),
            await line.call_method("2:give_back_zones", [2], ""),
            await line.call_method("2:hold_zones", [zones + 1], ""),
        ]

    answers = play_as(scene, play, "omar", asked)
    assert [accepted for accepted, _ in answers] == [True, True, False, True, False]
    assert "zone 4 is not held by hand" in answers[2][1] and f"none of 1 to {zones}" in answers[4][1]
    for _ in range(60):
        scene.desk.cycle()
    trace = scene.show()
    assert trace.mode_actual is Mode.AUTO
    assert trace.gap_target_um[2] == pytest.approx(stood_um[2] + 2.0, abs=0.2)
    assert np.flatnonzero(read("ns=2;s=zone_manual").Value.Value).tolist() == [2]
    assert scene.audited("omar via opcua", "zones held by hand: [2, 3]", "a streak", what="mode")


def test_an_operator_names_order_lot_and_roll_without_command_and_each_cycle_has_them(scene, play, read):
    journal, trace = scene.desk.journal, scene.desk.line.sink.all[-1]
    began = datetime.now(UTC)

    async def asked(client):
        order = client.get_node("ns=2;s=production_order")
        await order.write_value("4711")
        with pytest.raises(uaerrors.BadOutOfRange):
            await order.write_value("x" * 81)
        with pytest.raises(uaerrors.BadTypeMismatch):
            await order.write_value(4711)
        named = await client.get_node(LINE).call_method("2:set_lot", "4712", "SL-09", "卷 7", "the sheet")
        journal.record(trace, 1.0, 2.0)
        until_s = time.monotonic() + 10.0
        while time.monotonic() < until_s:
            history = await order.read_raw_history(began, None, numvalues=5)
            if history and history[-1].Value.Value == "4712":
                break
            await asyncio.sleep(0.02)
        return named, history

    (accepted, reason), history = play_as(scene, play, "omar", asked)
    assert accepted, reason
    assert [one.Value.Value for one in history] == ["4712"]
    scene.show()
    scene.within(scene.server.tell())
    shown = [read(f"ns=2;s={name}").Value.Value for name in ("production_order", "material_lot", "roll_name")]
    assert shown == ["4712", "SL-09", "卷 7"]
    assert scene.audited("omar via opcua", '"production_order": "4711"', "written over OPC UA", what="lot")
    assert scene.audited("omar via opcua", "卷 7", "the sheet", what="lot")


def test_a_viewer_names_nothing(scene, play):
    async def asked(client):
        with pytest.raises(uaerrors.BadUserAccessDenied):
            await client.get_node("ns=2;s=roll_name").write_value("R-9")

    play_as(scene, play, "vera", asked)
    assert scene.audited("vera via opcua", "lot", "viewer", what="refused")


def test_a_viewer_writes_and_calls_nothing(scene, play):
    async def asked(client):
        for node, value in ((MODE, "hold"), (TRIM, 0.1)):
            with pytest.raises(uaerrors.BadUserAccessDenied):
                await client.get_node(node).write_value(value)
        return [
            await client.get_node(LINE).call_method("2:take_command", ""),
            await client.get_node(LINE).call_method("2:set_mode", "auto", ""),
        ]

    answers = play_as(scene, play, "vera", asked)
    assert [accepted for accepted, _ in answers] == [False, False]
    assert all("viewer" in reason for _, reason in answers)
    assert scene.audited("vera via opcua", "viewer", what="refused")


def test_who_is_not_in_command_writes_nothing(scene, play):
    async def asked(client):
        with pytest.raises(uaerrors.BadUserAccessDenied):
            await client.get_node(MODE).write_value("manual")

    scene.desk.clock.now_s += 3600.0
    play_as(scene, play, "omar", asked)
    assert scene.audited("omar via opcua", "command", what="refused")


def test_what_cannot_be_is_out_of_range_and_what_cannot_be_now_is_a_state(scene, play):
    most = scene.desk.line.line.pump.trim_max_pct
    zones = scene.desk.line.line.zones

    async def asked(client):
        await in_command(client)
        for value in (most + 0.1, -math.inf, math.nan):
            with pytest.raises(uaerrors.BadOutOfRange):
                await client.get_node(TRIM).write_value(value)
        with pytest.raises(uaerrors.BadOutOfRange):
            await client.get_node(MODE).write_value("full speed")
        with pytest.raises(uaerrors.BadOutOfRange):
            await client.get_node(LIPS).write_value(ua.Variant([600.0] * (zones - 1), ua.VariantType.Float))
        for node, value in ((TRIM, "much"), (MODE, 3), (LIPS, 600.0), (TRIM, [0.1, 0.2])):
            with pytest.raises(uaerrors.BadTypeMismatch):
                await client.get_node(node).write_value(value)
        assert (await client.get_node(LINE).call_method("2:set_mode", "auto", ""))[0]
        with pytest.raises(uaerrors.BadInvalidState):
            await client.get_node(TRIM).write_value(0.1)
        told = await client.get_node(LINE).call_method("2:set_lips", [1, 2], [600.0], "")
        await client.get_node(LINE).call_method("2:release_command", "")
        return told

    accepted, reason = play_as(scene, play, "omar", asked)
    assert not accepted and "one for each" in reason


@pytest.mark.parametrize("node", [PROFILE, "ns=2;s=packml_state", "ns=2;s=profile_gsm.EURange", "i=2267", "i=2255"])
def test_nodes_that_are_read_are_not_written(scene, play, read, node):
    scene.show()
    before = read(node).Value

    async def asked(client):
        with pytest.raises(uaerrors.BadNotWritable):
            await client.get_node(node).write_attribute(ua.AttributeIds.Value, ua.DataValue(before))

    play_as(scene, play, "omar", asked)
    assert scene.audited("omar via opcua", "write to", "which nobody may", what="refused")


@pytest.mark.parametrize(
    "attribute", [ua.AttributeIds.AccessLevel, ua.AttributeIds.DisplayName, ua.AttributeIds.Executable]
)
def test_attributes_are_not_written(scene, play, attribute):
    async def asked(client):
        given = ua.DataValue(ua.Variant(255, ua.VariantType.Byte))
        with pytest.raises(uaerrors.BadNotWritable):
            await client.get_node(MODE).write_attribute(attribute, given)

    play_as(scene, play, "omar", asked)


def test_calls_that_are_none_are_refused(scene, play):
    async def asked(client):
        line = client.get_node(LINE)
        for node in (ua.NodeId(ua.ObjectIds.Server_GetMonitoredItems), nodes.id_of("x")):
            with pytest.raises(uaerrors.BadMethodInvalid):
                await line.call_method(node, 1)
        with pytest.raises(uaerrors.BadArgumentsMissing):
            await line.call_method("2:set_mode", "auto")
        with pytest.raises(uaerrors.BadTooManyArguments):
            await line.call_method("2:rearm", "because", "and so on")
        with pytest.raises(uaerrors.BadInvalidArgument):
            await line.call_method("2:set_mode", 3, "")

    play_as(scene, play, "omar", asked)


# --- bounds ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "given"), [(0.0, 100.0), (-5.0, 100.0), (math.nan, 100.0), (1e12, 60_000.0)])
def test_subscriptions_have_an_interval_that_can_be_kept(scene, play, asked, given):
    async def create(client):
        params = ua.CreateSubscriptionParameters(asked, 10_000_000, 10_000_000, 0, True, 0)
        return await client.uaclient.session.create_subscription(params, lambda _: None)

    made = play_as(scene, play, "vera", create)
    assert made.RevisedPublishingInterval == given
    assert made.RevisedLifetimeCount <= 3000


def test_subscriptions_items_and_queues_have_their_number(scene, play):
    async def many(client):
        made = [await client.create_subscription(60_000, Deaf()) for _ in range(session.Bounds().subscriptions_most)]
        with pytest.raises(uaerrors.BadTooManySubscriptions):
            await client.create_subscription(60_000, Deaf())
        node = client.get_node(PROFILE)
        handle = await made[0].subscribe_data_change(node, queuesize=10**6)
        await made[0].modify_monitored_item(handle, 100.0, 0, None)
        with pytest.raises(uaerrors.BadTooManyMonitoredItems):
            await made[0].subscribe_data_change([node] * session.Bounds().items_most)
        inside = scene.server._server.iserver.subscription_service.subscriptions[made[0].subscription_id]
        return [item.queue_size for item in inside.monitored_item_srv._monitored_items.values()]

    assert play_as(scene, play, "vera", many) == [1], "no queue without end"
    assert scene.server._server.iserver.subscription_service.subscriptions == {}, "gone with their session"


class Deaf:
    """Hears nothing."""

    def datachange_notification(self, node, val, data):
        pass


def test_a_subscription_is_its_session_s_alone(scene, play):
    async def meddle():
        async with scene.client("vera") as owner, scene.client("omar") as other:
            made = await owner.create_subscription(60_000, Deaf())
            number, theirs = made.subscription_id, other.uaclient.session
            with pytest.raises(uaerrors.BadSubscriptionIdInvalid):
                await theirs.delete_subscriptions([number])
            with pytest.raises(uaerrors.BadSubscriptionIdInvalid):
                await theirs.set_publishing_mode(ua.SetPublishingModeParameters(False, [number]))
            return number in scene.server._server.iserver.subscription_service.subscriptions

    assert play(meddle())
    assert scene.audited("omar via opcua", "subscription of another session", what="refused")


@pytest.mark.parametrize(
    "given",
    [
        ua.DataChangeFilter(ua.DataChangeTrigger.StatusValue, ua.DeadbandType.Absolute, 1.0),
        ua.EventFilter(),
        ua.AggregateFilter(),
    ],
)
def test_filters_that_would_fail_at_each_change_are_refused(scene, play, given):
    async def subscribe(client):
        made = await client.create_subscription(60_000, Deaf())
        item = ua.MonitoredItemCreateRequest(
            ua.ReadValueId(ua.NodeId.from_string(PROFILE), ua.AttributeIds.Value), ua.MonitoringMode.Reporting,
            ua.MonitoringParameters(1, 100.0, given, 1, True),
        )  # fmt: skip
        await client.uaclient.session.create_monitored_items(
            ua.CreateMonitoredItemsParameters(made.subscription_id, ua.TimestampsToReturn.Both, [item])
        )

    with pytest.raises(uaerrors.BadMonitoredItemFilterUnsupported):
        play_as(scene, play, "vera", subscribe)


def test_a_where_clause_leads_on_and_never_back():
    def element(*indices):
        return ua.ContentFilterElement(ua.FilterOperator.And, [ua.ElementOperand(index) for index in indices])

    assert session._leads_on([element(1, 1), element()])
    assert not session._leads_on([element(0, 0)])
    assert not session._leads_on([element(1, 5), element()])


@pytest.mark.parametrize("service", ["read", "write"])
def test_requests_have_their_number_of_nodes(scene, play, service):
    async def many(client):
        found = [client.get_node(PROFILE)] * 501
        if service == "read":
            await client.read_values(found)
        else:
            await client.write_values(found, [1.0] * 501)

    with pytest.raises(uaerrors.BadTooManyOperations):
        play_as(scene, play, "omar", many)


# --- asyncua's own command line ----------------------------------------------------------------------------------


def tool(scene, name, *arguments):
    """One of asyncua's commands, as an engineer types it, with certificate and user."""
    plc = scene.folder / "plc"
    certificate = scene.folder / "own" / certificates.CERTIFICATE
    security = f"Basic256Sha256,SignAndEncrypt,{plc / certificates.CERTIFICATE},{plc / certificates.KEY},{certificate}"
    who = ["--security", security, "--user", "omar", "--password", PASSWORD, "--timeout", "60"]
    command = [str(Path(sys.executable).with_name(name)), "-u", scene.address, *who, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_asyncua_s_own_tools_read_a_profile_and_write_a_setpoint(scene, play):
    trace = scene.show()
    told = tool(scene, "uaread", "-n", PROFILE)
    assert told.returncode == 0, told.stderr
    np.testing.assert_allclose(
        [float(one) for one in told.stdout.strip("[]\n ").split(",")], trace.profile_gsm, rtol=1e-6
    )
    play_as(scene, play, "omar", lambda client: client.get_node(LINE).call_method("2:take_command", ""))
    told = tool(scene, "uawrite", "-n", MODE, "-t", "string", "hold")
    assert told.returncode == 0, told.stdout + told.stderr
    scene.desk.cycle()
    assert scene.desk.line.sink.all[-1].mode_requested is Mode.HOLD
    assert scene.audited("omar via opcua", "hold", "written over OPC UA", what="mode")
