"""Each hole that asyncua's server has as it comes, tried by asyncua's own client: closed, and the try on record."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from types import SimpleNamespace

import pytest
from asyncua import ua
from asyncua.crypto.permission_rules import UserRole
from asyncua.crypto.security_policies import (
    SecurityPolicyAes128Sha256RsaOaep,
    SecurityPolicyAes256Sha256RsaPss,
    SecurityPolicyBasic256,
)
from asyncua.ua import uaerrors

from evencoat.desk import users
from evencoat.desk.users import Role
from evencoat.opcua import certificates, gate, people
from tests.evencoat.opcua.conftest import PASSWORD

NONE, SIGN = ua.MessageSecurityMode.None_, ua.MessageSecurityMode.Sign
SPEED, TRIM = "ns=2;s=web_speed_mps", "ns=2;s=pump_trim_pct"
REFUSED = (uaerrors.UaError, ConnectionError, TimeoutError)


async def opened(scene, *args, **kwargs):
    """A client whose channel is open, without a session."""
    client = await scene.ready(*args, **kwargs)
    client.uaclient._timeout = 5.0
    await client.connect_socket()
    await client.send_hello()
    await client.open_secure_channel()
    return client


def entered(scene, play, *args, **kwargs):
    """Connect, log in, and go."""

    async def enter():
        client = await scene.ready(*args, **kwargs)
        client.uaclient._timeout = 5.0
        async with client:
            return await client.get_node(SPEED).read_attribute(ua.AttributeIds.BrowseName)

    return play(enter())


# --- who gets a channel, and a session ---------------------------------------------------------------------------


def test_only_encrypted_endpoints_with_passwords_are_offered(scene, play):
    async def offered():
        return await (await scene.ready(None, mode=NONE)).connect_and_get_server_endpoints()

    endpoints = play(offered())
    assert len(endpoints) == 3
    assert {one.SecurityMode for one in endpoints} == {ua.MessageSecurityMode.SignAndEncrypt}
    tokens = {token.TokenType for one in endpoints for token in one.UserIdentityTokens}
    assert tokens == {ua.UserTokenType.UserName}


@pytest.mark.parametrize("policy", [SecurityPolicyAes128Sha256RsaOaep, SecurityPolicyAes256Sha256RsaPss])
def test_the_newer_policies_let_in_too_and_a_login_is_on_record(scene, play, policy):
    assert entered(scene, play, policy=policy).Value.Value.Name == "web_speed_mps"
    assert scene.audited("omar via opcua", "logged in from 127.0.0.1", what="user")


@pytest.mark.parametrize("name", ["omar", None])
def test_a_channel_without_security_makes_no_session(scene, play, name):
    with pytest.raises(uaerrors.BadSecurityModeInsufficient):
        entered(scene, play, name, mode=NONE)
    assert scene.audited("CreateSession over a channel that is not encrypted", what="refused")


@pytest.mark.parametrize("service", ["ActivateSession", "Read", "Write", "Call", "RegisterServer", "AddNodes"])
def test_without_security_no_service_but_discovery_is_had(scene, play, service):
    async def ask():
        client = await opened(scene, None, mode=NONE)
        try:
            await client.uaclient.protocol.send_request(getattr(ua, f"{service}Request")())
        finally:
            client.disconnect_socket()

    with pytest.raises(uaerrors.BadSecurityModeInsufficient):
        play(ask())
    assert scene.audited(f"{service} over a channel that is not encrypted", what="refused")


def test_a_channel_that_is_only_signed_is_not_opened(scene, play):
    with pytest.raises(REFUSED):
        entered(scene, play, mode=SIGN)
    assert scene.audited("a channel that is signed and not encrypted", what="refused")


def test_a_policy_of_yesterday_is_not_spoken(scene, play):
    with pytest.raises(REFUSED):
        entered(scene, play, policy=SecurityPolicyBasic256)


def test_a_certificate_that_is_not_trusted_opens_no_channel(scene, play):
    with pytest.raises(REFUSED):
        entered(scene, play, certificate="stranger")
    (told,) = certificates.trusted(scene.folder / "own")
    assert scene.audited("is not trusted, from 127.0.0.1", what="refused")
    assert told.name == "CN=plc"


def test_what_certificate_a_client_names_is_not_what_its_channel_has(scene, play):
    """asyncua's own validator looks at the certificate in CreateSession, which is anybody's to copy."""

    async def enter():
        client = await scene.ready(certificate="stranger")
        client.uaclient._timeout = 5.0
        client.security_policy.host_certificate = (scene.folder / "plc" / certificates.CERTIFICATE).read_bytes()
        async with client:
            pass

    with pytest.raises(REFUSED):
        play(enter())


def test_a_certificate_that_is_taken_out_opens_no_more_channels(scene, play):
    told = certificates.distrust(scene.folder / "own", certificates.trusted(scene.folder / "own")[0].fingerprint[:8])
    try:
        with pytest.raises(REFUSED):
            entered(scene, play)
    finally:
        certificates.trust(scene.folder / "own", scene.folder / "plc" / certificates.CERTIFICATE)
    assert scene.audited(f"certificate {told.fingerprint[:16]} is not trusted", what="refused")


def test_nobody_is_anonymous(scene, play):
    with pytest.raises(uaerrors.BadIdentityTokenRejected):
        entered(scene, play, None)
    assert scene.audited("nobody via opcua", "login without a name", what="refused")


@pytest.mark.parametrize(
    ("name", "password"),
    [("omar", "wrong horse battery"), ("omar", ""), ("admin", "admin"), ("admin", PASSWORD), ("Admin", ""), ("x", "y")],
)
def test_a_wrong_name_or_password_is_refused_and_admin_is_nobody(scene, play, name, password):
    with pytest.raises(uaerrors.BadUserAccessDenied):
        entered(scene, play, name, password)
    assert scene.audited(f"{name} via opcua", "wrong name or password, from 127.0.0.1", what="refused")


def test_a_certificate_is_no_password(scene, play):
    async def enter():
        client = await scene.ready(None)
        folder = scene.folder / "plc"
        await client.load_client_certificate(str(folder / certificates.CERTIFICATE))
        await client.load_private_key(str(folder / certificates.KEY))
        async with client:
            pass

    with pytest.raises(uaerrors.BadIdentityTokenRejected):
        play(enter())


def test_a_connection_has_three_tries(scene, play):
    async def guess():
        client = await opened(scene)
        await client.create_session()
        found = []
        for _ in range(4):
            try:
                await client.activate_session("omar", "wrong horse battery")
            except REFUSED as error:
                found.append(type(error))
        client.disconnect_socket()
        return found

    found = play(guess())
    assert found[:3] == [uaerrors.BadUserAccessDenied] * 3
    assert found[3] is not uaerrors.BadUserAccessDenied, "hung up on"


@pytest.mark.parametrize(
    "algorithm", ["http://www.w3.org/2001/04/xmlenc#rsa-1_5", "http://www.w3.org/2001/04/xmlenc#rsa-oaep"]
)
def test_a_password_that_is_encrypted_once_more_is_not_taken(algorithm):
    token = ua.UserNameIdentityToken(UserName="omar", Password=b"x", EncryptionAlgorithm=algorithm)
    with pytest.raises(ValueError, match="once more"):
        people.password(token)
    assert people.password(ua.UserNameIdentityToken(UserName="omar", Password=b"x")) == "x"


def test_nobody_is_ever_asyncua_s_admin_who_may_write_everything(scene, play):
    users.add(scene.users, "ada", Role.ADMIN, PASSWORD)

    async def enter():
        async with scene.client("ada") as client:
            found = await client.get_node(TRIM).read_attribute(ua.AttributeIds.UserAccessLevel)
            with pytest.raises(uaerrors.BadNotWritable):
                await client.get_node(SPEED).write_value(1.0)
            return found

    play(enter())
    user = users.Users(scene.users).check("ada", PASSWORD)
    assert user is not None and people.Person(UserRole.User, user.name, user.hash).role is UserRole.User


# --- sessions ----------------------------------------------------------------------------------------------------


def test_a_session_belongs_to_the_connection_that_made_it(scene, play):
    """Tokens are counted up: as asyncua comes, naming somebody's with a wrong password gives one the session."""

    async def take_over():
        async with scene.client("omar") as owner:
            thief = await opened(scene, "vera", "wrong horse battery")
            protocol = thief.uaclient.protocol
            protocol.authentication_token = owner.uaclient.session.authentication_token
            thief.uaclient.session.authentication_token = owner.uaclient.session.authentication_token
            try:
                with pytest.raises(REFUSED):
                    await thief.activate_session("vera", "wrong horse battery")
                with pytest.raises(REFUSED):
                    await thief.get_node(SPEED).read_value()
            finally:
                thief.disconnect_socket()
            await owner.get_node(SPEED).read_attribute(ua.AttributeIds.BrowseName)

    play(take_over())


def test_a_connection_makes_one_session(scene, play):
    async def make_two():
        client = await opened(scene)
        try:
            await client.create_session()
            with pytest.raises(uaerrors.BadTooManySessions):
                await client.create_session()
        finally:
            client.disconnect_socket()

    play(make_two())


def test_a_session_before_its_login_reads_nothing(scene, play):
    async def read():
        client = await opened(scene)
        try:
            await client.create_session()
            with pytest.raises(uaerrors.BadUserAccessDenied):
                await client.get_node(SPEED).read_value()
        finally:
            client.disconnect_socket()

    play(read())


def test_who_is_no_longer_a_user_has_no_longer_a_session(scene, play):
    users.add(scene.users, "gone", Role.OPERATOR, PASSWORD)

    async def read():
        async with scene.client("gone") as client:
            await client.get_node(SPEED).read_attribute(ua.AttributeIds.BrowseName)
            users.remove(scene.users, "gone")
            with pytest.raises(uaerrors.BadUserAccessDenied):
                await client.get_node(SPEED).read_attribute(ua.AttributeIds.BrowseName)

    with contextlib.suppress(*REFUSED):  # the client's farewell finds the connection closed
        play(read())
    assert scene.audited("gone via opcua", "no longer a user", what="refused")


@pytest.mark.parametrize(
    "service",
    ["AddNodes", "DeleteNodes", "AddReferences", "DeleteReferences", "RegisterServer", "RegisterServer2",
     "TransferSubscriptions", "HistoryUpdate"],
)  # fmt: skip
def test_services_that_nobody_needs_nobody_has(scene, play, service):
    async def ask():
        async with scene.client("omar") as client:
            with pytest.raises(uaerrors.BadUserAccessDenied):
                await client.uaclient.protocol.send_request(getattr(ua, f"{service}Request")())

    play(ask())
    assert scene.audited("omar via opcua", f"{service}, which nobody may", what="refused")


# --- bytes -------------------------------------------------------------------------------------------------------


def hung_up(scene, content):
    """Whether the server closes the connection after those bytes."""
    with socket.create_connection(("127.0.0.1", scene.server.port), timeout=20.0) as raw:
        try:
            raw.sendall(content)
            while raw.recv(65_536):
                pass
        except ConnectionError:
            pass
        return True


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"MSGF" + struct.pack("<I", 2_000_000_000) + b"x" * 300_000, id="two gigabytes announced"),
        pytest.param(b"OPNF" + struct.pack("<II", 40, 0) + b"\xff" * 28, id="no channel at all"),
        pytest.param(b"MSGF" + struct.pack("<III", 24, 77, 5) + b"\0" * 8, id="a channel that there is not"),
        pytest.param(b"HELF" + struct.pack("<I", 8), id="nothing in it"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 4, id="of another protocol"),
    ],
)
def test_bytes_that_are_no_message_end_the_connection(scene, play, content):
    assert hung_up(scene, content)
    assert entered(scene, play).Value.Value.Name == "web_speed_mps", "and nobody else's"


def test_more_connections_than_there_can_be_are_hung_up_on(scene, monkeypatch):
    monkeypatch.setattr(scene.server._server.iserver, "max_connections", 0)
    assert hung_up(scene, b"")


# --- what is put on record ---------------------------------------------------------------------------------------


def test_who_knocks_without_end_fills_no_chain(monkeypatch):
    monkeypatch.setattr(people, "TOLD_EVERY_S", 60.0)
    now, told = [0.0], []
    desk = SimpleNamespace(tell=lambda who, via, what, text: told.append(text) or SimpleNamespace(accepted=True))

    async def knock():
        refusals = people.Refusals(desk, lambda: now[0])
        keeping = asyncio.create_task(refusals.keep())
        for number in range(1000):
            now[0] = 0.05 * number
            refusals("omar", "10.0.0.7", "login")
        now[0] = 120.0
        refusals.catch_up()
        await refusals.all_told()
        now[0] = 300.0
        refusals.catch_up()
        refusals.catch_up()
        assert refusals._told == {}, "forgotten"
        for number in range(2000):
            refusals(f"name {number}\n", "10.0.0.7", "login")
        assert len(refusals._told) <= people.KINDS_MOST + 1
        keeping.cancel()

    asyncio.run(knock())
    assert told[0] == "login, from 10.0.0.7"
    assert len(told) == 2 and "998 times before" in told[1]


def test_names_of_strangers_are_made_harmless():
    assert people.clean("a\nb\x1b[31m" + "x" * 500) == ("a?b?[31m" + "x" * 500)[: people.NAME_MOST]


def test_every_service_that_is_served_is_one_of_the_standard_s():
    assert len(gate.SERVED) == 23
    assert ua.NodeId(ua.ObjectIds.AddNodesRequest_Encoding_DefaultBinary) not in gate.SERVED
