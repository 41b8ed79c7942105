"""What stands between the socket and asyncua's services. asyncua 2.1 as it comes (docs/opcua.md has more):

- A client may open a channel without any security on a server that offers only encrypted endpoints, log in over it
  with its password in the clear, and read and write. Here such a channel lists endpoints and does nothing else.
- Whose certificate a channel was opened with is never looked at; only the one that a client cares to name in
  CreateSession is, where a validator is set. Here the channel's own is, at each opening and renewal.
- Session tokens are counted up from 1000, and ActivateSession with somebody else's hands that session over before the
  password is looked at; a wrong one leaves it handed over. Here a session belongs to the connection that made it.
- Anybody may register servers for others to find, without a session. Here nobody can.
- A message of four gigabytes is collected in memory before its length is looked at; errors in a message leave the
  connection open; a session can be made again and again on one. Here each ends it.

What a session may do is `session`'s.
"""

from __future__ import annotations

import contextlib
from typing import Any

from asyncua import Server, ua
from asyncua.common.connection import TransportLimits
from asyncua.common.utils import ServiceError
from asyncua.server.binary_server_asyncio import BinaryServer, OPCUAProtocol
from asyncua.server.internal_server import InternalServer
from asyncua.server.uaprocessor import UaProcessor
from asyncua.ua.ua_binary import struct_from_binary, uatcp_to_binary

from evencoat.opcua import people
from evencoat.opcua.certificates import refusal
from evencoat.opcua.session import Line, Session

CHUNK_MOST, MESSAGE_MOST = 65_535, 1 << 20  # bytes of a chunk, and of a whole request
KINDS = (b"HEL", b"OPN", b"MSG", b"CLO", b"ERR")  # of messages that a client sends
CONNECTIONS_MOST, QUEUED_MOST = 32, 50  # connections; requests of one that wait
FAILURES_MOST = 3  # logins that fail on a connection, before it is closed
TOKEN_S = (10.0, 3600.0)  # how long a channel's keys may live
ACTIVATION_S = 15.0  # from a connection to its session
SESSION_MS = (5_000.0, 600_000.0)
SUBSCRIPTIONS_MOST, UNACKNOWLEDGED_MOST, LIFETIME_MOST = 64, 100, 3000


def _encoding(name: str) -> ua.NodeId:
    return ua.NodeId(getattr(ua.ObjectIds, f"{name}Request_Encoding_DefaultBinary"))


ACTIVATE, CREATE = _encoding("ActivateSession"), _encoding("CreateSession")
OPEN_TO_ALL = frozenset(map(_encoding, ("GetEndpoints", "FindServers")))
BEFORE_LOGIN = OPEN_TO_ALL | {CREATE, ACTIVATE, _encoding("CloseSession")}
SERVED = BEFORE_LOGIN | frozenset(
    map(
        _encoding,
        (
            "Read", "Write", "Browse", "TranslateBrowsePathsToNodeIds", "RegisterNodes", "UnregisterNodes", "Call",
            "HistoryRead", "CreateSubscription", "ModifySubscription", "DeleteSubscriptions", "SetPublishingMode",
            "CreateMonitoredItems", "ModifyMonitoredItems", "DeleteMonitoredItems", "SetMonitoringMode", "Publish",
            "Republish",
        ),
    )
)  # fmt: skip


class Guarded(InternalServer):
    """asyncua's inside, with bounds, with our sessions, and without sessions that can be taken over."""

    def __init__(self, line: Line) -> None:
        super().__init__(user_manager=line.people)
        self.line = line
        self.allow_remote_admin = False
        self.supported_tokens = (ua.UserNameIdentityToken,)
        self.min_session_timeout_ms, self.max_session_timeout_ms = SESSION_MS
        self.max_connections = CONNECTIONS_MOST
        self.max_pending_messages_per_connection = QUEUED_MOST
        self.max_pending_activation_seconds = ACTIVATION_S
        self.max_subscriptions = SUBSCRIPTIONS_MOST
        self.max_unacked_messages_per_subscription = UNACKNOWLEDGED_MOST
        self.max_monitored_item_queue_size = line.bounds.queue_most
        self.max_lifetime_count = self.max_keep_alive_count = LIFETIME_MOST

    def create_session(self, name: Any, user: Any = None, external: bool = False) -> Session:
        """A session that may do what ours may."""
        return Session(self, name, self.line)

    def lookup_external_session(self, auth_token: ua.NodeId) -> None:
        """None: no connection is handed the session of another."""
        return None

    def register_external_session(self, session: Any) -> None:
        """Nowhere: nobody looks sessions up."""

    def register_server(self, server: Any, conf: Any = None) -> None:
        """Refused: this is no discovery server."""
        raise ServiceError(ua.StatusCodes.BadServiceUnsupported)

    def decrypt_user_token(self, isession: Any, token: ua.UserNameIdentityToken) -> tuple[str, str]:
        """Name and password; see people.password for what is refused."""
        return people.username(token), people.password(token)


class Processor(UaProcessor):
    """One connection's messages."""

    def __init__(self, inside: Guarded, transport: Any, limits: TransportLimits) -> None:
        super().__init__(inside, transport, limits)
        self._inside, self._failures = inside, 0
        self._peer = str(self.name[0]) if self.name else "a socket"

    async def process(self, header: Any, body: Any) -> bool:
        """Handle a message. False closes the connection, as does whatever is wrong with it."""
        try:
            return bool(await super().process(header, body))
        except Exception as error:
            code = getattr(error, "code", None) or ua.StatusCodes.BadSecurityChecksFailed
            with contextlib.suppress(Exception):
                said = ua.ErrorMessage(ua.StatusCode(code), "refused")
                self._transport.write(uatcp_to_binary(ua.MessageType.Error, said))
            if not isinstance(error, ServiceError):  # whoever raised that has put it on record
                self._refuse("", f"a message that is not right ({type(error).__name__})")
            return False

    def open_secure_channel(self, algohdr: Any, seqhdr: Any, body: Any) -> None:
        """Open or renew a channel: encrypted and for a trusted certificate, or for the list of endpoints alone."""
        request = struct_from_binary(ua.OpenSecureChannelRequest, body)
        asked, channel = request.Parameters, self._connection
        if asked.SecurityMode == ua.MessageSecurityMode.Sign:
            self._refuse("", "a channel that is signed and not encrypted")
            raise ServiceError(ua.StatusCodes.BadSecurityModeRejected)
        if not channel.is_open():
            channel.select_policy(algohdr.SecurityPolicyURI, algohdr.SenderCertificate, asked.SecurityMode)
        if self._encrypted() and (why := self._untrusted()):
            self._refuse("", why)
            raise ServiceError(ua.StatusCodes.BadSecurityChecksFailed)
        asked.RequestedLifetime = int(_within(asked.RequestedLifetime, 1e3 * TOKEN_S[0], 1e3 * TOKEN_S[1]))
        response = ua.OpenSecureChannelResponse()
        response.Parameters = channel.open(asked, self._inside)
        self.send_response(request.RequestHeader.RequestHandle, seqhdr, response, ua.MessageType.SecureOpen)

    async def process_message(self, seqhdr: Any, body: Any) -> bool:
        """A service; the connection ends after too many logins that failed."""
        going_on = await super().process_message(seqhdr, body)
        return bool(going_on) and self._failures < FAILURES_MOST

    async def _process_message(self, typeid: Any, requesthdr: Any, seqhdr: Any, body: Any) -> bool:
        if not (self._connection.is_open() and self._encrypted()):
            if typeid not in OPEN_TO_ALL:
                self._refuse("", f"{_words(typeid)} over a channel that is not encrypted")
                raise ServiceError(ua.StatusCodes.BadSecurityModeInsufficient)
        elif typeid not in SERVED:
            self._refuse(self._who(), f"{_words(typeid)}, which nobody may")
            raise ServiceError(ua.StatusCodes.BadUserAccessDenied)
        elif typeid == CREATE and self.session is not None:
            raise ServiceError(ua.StatusCodes.BadTooManySessions)
        elif typeid not in BEFORE_LOGIN:
            self._still_there()
        if typeid == ACTIVATE:
            return await self._activate(typeid, requesthdr, seqhdr, body)
        return bool(await super()._process_message(typeid, requesthdr, seqhdr, body))

    async def _activate(self, typeid: Any, requesthdr: Any, seqhdr: Any, body: Any) -> bool:
        """A login: looked at, on record, and counted where it fails."""
        token = struct_from_binary(ua.ActivateSessionParameters, body.copy()).UserIdentityToken
        name = people.username(token)
        try:
            given = people.password(token)
        except ValueError:  # anonymous, a certificate in a password's stead: refused below by asyncua, with its code
            given = ""
        try:
            async with self._inside.line.people.looked_at(name, given):
                going_on = bool(await super()._process_message(typeid, requesthdr, seqhdr, body))
        except Exception:
            self._failures += 1
            self._refuse(name, f"login {'with a wrong name or password' if name else 'without a name'}")
            raise
        self._inside.line.refusals.login(name, self._peer)
        return going_on

    def _should_close_session_on_transport_loss(self) -> bool:
        return True  # nobody can come back for it

    def _still_there(self) -> None:
        """Ends the session of somebody who is no longer a user, or has another password now."""
        session = self.session
        if session is not None and session.is_activated() and not self._inside.line.people.still(session.user):
            self._failures = FAILURES_MOST
            self._refuse(self._who(), "a session of somebody who is no longer a user, or has another password")
            raise ServiceError(ua.StatusCodes.BadUserAccessDenied)

    def _encrypted(self) -> bool:
        return bool(self._connection.security_policy.Mode == ua.MessageSecurityMode.SignAndEncrypt)

    def _untrusted(self) -> str:
        return refusal(self._inside.line.folder, self._connection.security_policy.peer_certificate or b"")

    def _who(self) -> str:
        return str(getattr(getattr(self.session, "user", None), "name", None) or "")

    def _refuse(self, who: str, what: str) -> None:
        self._inside.line.refusals(who, self._peer, what)


class Protocol(OPCUAProtocol):
    """One connection: no more bytes wait than belong to one chunk, and its messages go through our processor."""

    processor: Any
    transport: Any
    _buffer: bytes

    def connection_made(self, transport: Any) -> None:
        """A client is there, or one too many."""
        super().connection_made(transport)
        if self.processor is not None:
            self.processor = Processor(self.iserver, transport, self.limits)
            self.processor.set_policies(self.policies)

    def data_received(self, data: bytes) -> None:
        """Bytes; what is left of them is part of a chunk, or too much."""
        super().data_received(data)
        strange = len(self._buffer) >= 3 and self._buffer[:3] not in KINDS
        if (strange or len(self._buffer) > CHUNK_MOST) and self.transport is not None:
            self._buffer = b""
            self.transport.abort()


class GuardedBinaryServer(BinaryServer):
    """Listens with our protocol."""

    def _make_protocol(self) -> OPCUAProtocol:
        return Protocol(self.iserver, self._policies, self.clients, self.closing_tasks, self.limits)


class GuardedServer(Server):
    """asyncua's server with everything above in it, and encrypted endpoints only."""

    def __init__(self, line: Line) -> None:
        super().__init__(iserver=Guarded(line))
        self.set_security_policy(
            [
                ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
                ua.SecurityPolicyType.Aes128Sha256RsaOaep_SignAndEncrypt,
                ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
            ]
        )
        self.application_type = ua.ApplicationType.Server
        self.limits = TransportLimits(CHUNK_MOST, CHUNK_MOST, MESSAGE_MOST // CHUNK_MOST + 1, MESSAGE_MOST)

    async def start(self) -> None:
        """Listen. Raises OSError where the address cannot be had."""
        await self._setup_server_nodes()
        await self.iserver.start()
        try:
            self.bserver = GuardedBinaryServer(self.iserver, *self._get_bind_socket_info(), self.limits)
            self.bserver.set_policies(self._policies)
            await self.bserver.start()
        except BaseException:
            await self.iserver.stop()
            raise


def _within(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def _words(typeid: Any) -> str:
    """The service that a message asks for, by its name in the standard."""
    name = ua.ObjectIdNames.get(getattr(typeid, "Identifier", None), "an unknown service")
    return str(name).partition("Request_")[0]
