"""Who looks, and what they ask for: login, sessions, and the one address through which a browser commands a line.

The page decides nothing. It makes sure who asks (argon2, a session in a cookie that no script reads, a CSRF token, the
browser's Origin), and hands the question to the desk of the control process, which knows roles, token and audit. What
is refused here is told to the desk too, or kept in a bounded file beside the journal where nobody listens.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from hmac import compare_digest
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from evencoat.alarms.engine import SHELVED_MOST_S, EngineError
from evencoat.alarms.service import AlarmService
from evencoat.desk.actions import Refused, shown, text
from evencoat.desk.client import Desk, DeskError
from evencoat.desk.quota import MINUTE_S, Clock, Quota
from evencoat.desk.users import NAME, Role, User, Users, UsersError
from evencoat.hmi.recipes import Recipes
from evencoat.hmi.source import SourceError
from evencoat.recipes.recipe import RecipeError

VIA = "page"
IDLE_S, ABSOLUTE_S = 30 * MINUTE_S, 12 * 60 * MINUTE_S  # of a session: without asking for anything, and at all
SESSIONS_MOST, SESSIONS_EACH = 200, 10
LOGINS_WITHIN_S = 5 * MINUTE_S
LOGINS_MOST = {"user and address": 5, "address": 30, "user": 30}  # attempts within that time
KEYS_MOST = 5000  # of names and addresses whose attempts are counted
HASHES_AT_ONCE = 2  # each takes 64 MB
ASKS_MOST, REFUSALS_MOST = 120, 30  # a minute: of a session, and told to the desk
ALARM_KEY_MOST = 80  # characters
SAID_MOST = 300  # characters of a refusal that is on record
LOGIN_BYTES_MOST, ASK_BYTES_MOST = 4096, 60_000
STATE_KEPT_S = 0.5  # the desk is asked no oftener how things stand, however many look
KEPT_BYTES_MOST = 256_000  # of refusals that no desk took
UNWELCOME, UNKNOWN = 4405, 4401  # codes a socket is closed with
OPEN = (".html", ".js", ".css", ".svg", ".png", ".ico")  # what has nothing of the line in it
READS = ("GET", "HEAD")
WRITES = ("/login", "/logout", "/ask", "/alarms/acknowledge", "/alarms/shelve", "/recipes/load", "/recipes/save")
CSRF_HEADER = "x-csrf-token"
NOBODY = {"takes": False, "who": None, "role": None, "csrf": None, "via": VIA, "holder": None, "users": "", "desk": ""}


class Denied(Exception):
    """A request that goes no further; `status` is HTTP's, the text for whoever asked."""

    def __init__(self, status: int, words: str, who: str = "") -> None:
        super().__init__(words)
        self.status, self.who = status, who


@dataclass(slots=True)
class Session:
    """A browser that somebody has logged in with. Times are the clock's, s."""

    user: User
    csrf: str
    began_s: float
    used_s: float
    asks: Quota


@dataclass(slots=True)
class Known:
    """How the desk stands, as it was a moment ago."""

    at_s: float = -math.inf
    told: Mapping[str, Any] = field(default_factory=dict)


class Access:
    """Users, sessions and the way to the desk, of one served line.

    `secure`: the page is served by TLS. `closed`: who has not logged in is not even shown the line.
    """

    def __init__(
        self,
        journal: Path,
        users: Path,
        secure: bool = False,
        closed: bool = False,
        idle_s: float = IDLE_S,
        clock: Clock = time.monotonic,
    ) -> None:
        self.closed, self._secure, self._idle_s, self._clock = closed, secure, idle_s, clock
        self._users, self._desk = Users(users), Desk(journal)
        self._kept = journal.with_name(f"{journal.name}.refused.jsonl")
        line = hashlib.sha256(str(journal.resolve()).encode(errors="surrogateescape")).hexdigest()[:8]
        self.cookie = f"__Host-evencoat-{line}" if secure else f"evencoat-{line}"  # browsers tell no ports apart
        self._sessions: dict[bytes, Session] = {}
        self._attempts: dict[tuple[str, ...], Quota] = {}
        self._hashing = asyncio.Semaphore(HASHES_AT_ONCE)
        self._known, self._knowing = Known(), asyncio.Lock()
        self._refusals, self._left_out = Quota(REFUSALS_MOST, clock), 0

    def routes(self, alarms: AlarmService, recipes: Recipes) -> list[Route]:
        """The addresses of this room. What is asked of `alarms` is asked on the event loop's thread, as it must be."""
        return [
            Route("/session.json", self._answering(self._session_json)),
            Route("/login", self._answering(self._login), methods=["POST"]),
            Route("/logout", self._answering(self._logout), methods=["POST"]),
            Route("/ask", self._answering(self._ask), methods=["POST"]),
            Route("/alarms/acknowledge", self._answering(partial(self._acknowledge, alarms)), methods=["POST"]),
            Route("/alarms/shelve", self._answering(partial(self._shelve, alarms)), methods=["POST"]),
            Route("/recipes/load", self._answering(partial(self._load, recipes)), methods=["POST"]),
            Route("/recipes/save", self._answering(partial(self._save, recipes)), methods=["POST"]),
        ]

    def guard(self, app: ASGIApp) -> ASGIApp:
        """A middleware: where the page is closed, lets nobody see the line who has not logged in.

        It also has it on record where somebody would write to an address that only reads.
        """

        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and scope["method"] not in READS and scope["path"] not in WRITES:
                where = "".join(letter if letter.isprintable() else "?" for letter in scope["path"][:80])
                await self._refused(_address(HTTPConnection(scope)), "", f"{scope['method'][:20]} {where}: only reads")
            if scope["type"] == "lifespan" or self.may_look(HTTPConnection(scope)):
                await app(scope, receive, send)
            elif scope["type"] == "websocket":
                await WebSocket(scope, receive, send).close(UNKNOWN)
            else:
                await JSONResponse({"error": "log in first"}, 401)(scope, receive, send)

        return guarded

    def may_look(self, connection: HTTPConnection) -> bool:
        """Whether this browser may be shown what it asks for, now: a session that it came with may have ended."""
        path = connection.scope["path"]
        public = not self.closed or path in ("/", "/session.json", *WRITES) or path.endswith(OPEN)
        return public or self._session(connection) is not None

    async def heard(self, socket: WebSocket) -> None:
        """A browser has said something where it may only listen: that is on record, and the end of it."""
        await self._refused(_address(socket), "", "something was said on the socket of the picture")
        await socket.close(UNWELCOME, "this socket only tells; ask by POST /ask")

    # --- addresses ---

    async def _session_json(self, request: Request) -> Response:
        """Who is logged in with this browser, and who is in command."""
        session = self._session(request)
        who = session.user.name if session else None
        role = str(session.user.role) if session else None
        csrf = session.csrf if session else None
        return JSONResponse({**NOBODY, "takes": True, "who": who, "role": role, "csrf": csrf, **await self._state()})

    async def _login(self, request: Request) -> Response:
        self._from_own_page(request)
        told = await _object(request, LOGIN_BYTES_MOST)
        name, password = told.get("name"), told.get("password")
        if not (isinstance(name, str) and isinstance(password, str) and NAME.fullmatch(name)):
            raise Denied(401, "name and password do not belong together")
        self._attempted(name, _address(request))
        async with self._hashing:
            user = await run_in_threadpool(self._users.check, name, password)
        if user is None:
            raise Denied(401, "name and password do not belong together", name)
        self._attempts.pop((name, _address(request)), None)
        self._sessions.pop(_key(request.cookies.get(self.cookie, "")), None)
        number, session = secrets.token_urlsafe(32), self._begun(user)
        self._sessions[_key(number)] = session
        await self._tell(name, "user", f"logged in from {_address(request)}")
        answer = JSONResponse({"who": name, "role": str(user.role), "csrf": session.csrf})
        answer.set_cookie(self.cookie, number, httponly=True, secure=self._secure, samesite="strict", path="/")
        return answer

    async def _logout(self, request: Request) -> Response:
        session = self._proven(request)
        name = session.user.name
        del self._sessions[_key(request.cookies[self.cookie])]
        if all(other.user.name != name for other in self._sessions.values()):
            await self._give_back(name)
        await self._tell(name, "user", f"logged out from {_address(request)}")
        answer = JSONResponse({"who": None})
        answer.delete_cookie(self.cookie, httponly=True, secure=self._secure, samesite="strict", path="/")
        return answer

    async def _ask(self, request: Request) -> Response:
        name = self._asking(request).user.name
        told = await _object(request, ASK_BYTES_MOST)
        action, values, why = told.get("action"), told.get("values", {}), told.get("why", "")
        if not (isinstance(action, str) and isinstance(values, dict) and isinstance(why, str)):
            raise Denied(400, "expected action (text), values (object) and why (text)", name)
        if action in ("tell", "state") or set(told) - {"action", "values", "why"}:
            raise Denied(403, "that is not to be asked by a browser", name)
        try:
            answer = await run_in_threadpool(self._desk.ask, name, VIA, action, values, why)
        except DeskError as error:
            await self._refused(_address(request), name, f"{action[:40]}: {error}")
            return JSONResponse({"accepted": False, "reason": str(error)})
        self._known.at_s = -math.inf
        return JSONResponse({"accepted": answer.accepted, "reason": answer.reason})

    async def _acknowledge(self, alarms: AlarmService, request: Request) -> Response:
        name, told = await self._of_an_alarm(request, {"key", "why"})
        key, why = told["key"], _sentence("why", told.get("why", ""), name, least=0)
        return await self._with_the_alarms(
            alarms, request, name, f"alarm {key}: seen", why, lambda: alarms.acknowledge(name, key, why)
        )

    async def _shelve(self, alarms: AlarmService, request: Request) -> Response:
        name, told = await self._of_an_alarm(request, {"key", "minutes", "why"})
        key, minutes, why = told["key"], told.get("minutes"), told.get("why")
        most = SHELVED_MOST_S / MINUTE_S
        if isinstance(minutes, bool) or not isinstance(minutes, int | float) or not 0 < minutes <= most:
            raise Denied(400, f"minutes = {shown(minutes)}: must lie above 0 and at most {most:g}", name)
        reason, length = _sentence("why", why, name), float(minutes)
        return await self._with_the_alarms(
            alarms,
            request,
            name,
            f"alarm {key}: put aside for {length:g} minutes",
            reason,
            lambda: alarms.shelve(name, key, length, reason),
        )

    async def _of_an_alarm(self, request: Request, takes: set[str]) -> tuple[str, dict[str, Any]]:
        """Who asks, an operator at least, and what is asked of which alarm. Raises Denied."""
        name, told = await self._of_a(request, Role.OPERATOR, takes)
        key = _sentence("key", told.get("key"), name)
        if len(key) > ALARM_KEY_MOST:
            raise Denied(400, f"key = {shown(key)}: has more than {ALARM_KEY_MOST} characters", name)
        return name, {**told, "key": key}

    async def _of_a(self, request: Request, least: Role, takes: set[str]) -> tuple[str, dict[str, Any]]:
        """Who asks, of that role at least, and what is asked. Raises Denied."""
        user = self._asking(request).user
        if not user.role.covers(least):
            raise Denied(403, f"{user.name} is {user.role}, and this takes {least}", user.name)
        told = await _object(request, ASK_BYTES_MOST)
        if unknown := sorted(set(told) - takes):
            raise Denied(400, f"takes {', '.join(sorted(takes))}, not {shown(unknown[0])}", user.name)
        return user.name, told

    async def _with_the_alarms(
        self, alarms: AlarmService, request: Request, name: str, words: str, why: str, work: Callable[[], None]
    ) -> Response:
        """Have it on record, then do it. A line whose control process is gone has alarms too, and they are seen to."""
        if alarms.elsewhere:  # nobody shall be on record as having seen what goes on asking
            return await self._not_done(request, name, alarms.problem)
        if refused := await self._on_record(name, "acknowledgement", words, why):
            return JSONResponse({"accepted": False, "reason": refused})
        try:
            work()
        except EngineError as error:
            return await self._not_done(request, name, str(error))
        return JSONResponse({"accepted": True, "reason": words})

    async def _on_record(self, name: str, what: str, words: str, why: str) -> str:
        """Have it in the audit chain, or kept where no control process listens; why not, where the desk refuses."""
        try:
            answer = await run_in_threadpool(self._desk.ask, name, VIA, "note", {"what": what, "text": words}, why)
        except DeskError:
            kept = {"t_unix_s": time.time(), "who": name, "what": what, "text": words, "why": why}
            await run_in_threadpool(self._keep, kept)
            return ""
        return "" if answer.accepted else answer.reason

    async def _load(self, recipes: Recipes, request: Request) -> Response:
        """A recipe for a line that runs: the desk judges each part of it, and has what it takes on record."""
        name, told = await self._of_a(request, Role.ENGINEER, {"ref", "lips", "why"})
        ref, lips = _sentence("ref", told.get("ref"), name), told.get("lips", False)
        why = _sentence("why", told.get("why", ""), name, least=0)
        if not isinstance(lips, bool):
            raise Denied(400, f"lips = {shown(lips)}: must be true or false", name)
        try:
            steps = await run_in_threadpool(recipes.load, self._desk, ref, lips, name, VIA, why)
        except (RecipeError, DeskError, OSError) as error:
            return await self._not_done(request, name, str(error))
        self._known.at_s = -math.inf
        refused = [step.reason for step in steps if not step.accepted]
        return JSONResponse({"accepted": not refused, "reason": refused[0] if refused else steps[-2].reason})

    async def _save(self, recipes: Recipes, request: Request) -> Response:
        """The last good lips, as the next version of a recipe. It moves nothing, and so takes no command."""
        name, told = await self._of_a(request, Role.ENGINEER, {"name", "why"})
        recipe, why = _sentence("name", told.get("name"), name), _sentence("why", told.get("why", ""), name, least=0)
        try:
            saved = await run_in_threadpool(recipes.save, recipe, name, why)
        except (RecipeError, SourceError, OSError) as error:
            return await self._not_done(request, name, str(error))
        words = f"recipe {saved.ref} saved, sha256 {saved.sha256}"
        refused = await self._on_record(name, "remark", words, why)
        return JSONResponse({"accepted": True, "reason": refused or f"recipe {saved.ref} saved"})

    async def _not_done(self, request: Request, name: str, words: str) -> Response:
        await self._refused(_address(request), name, f"{request.scope['path']}: {words[:SAID_MOST]}")
        return JSONResponse({"accepted": False, "reason": words})

    def _answering(self, work: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        """Turns what is denied into an answer and a record."""

        async def answering(request: Request) -> Response:
            try:
                return await work(request)
            except (Denied, UsersError) as error:
                denied = error if isinstance(error, Denied) else Denied(403, str(error))
                await self._refused(_address(request), denied.who, f"{request.scope['path']}: {denied}")
                return JSONResponse({"error": str(denied)}, denied.status)

        return answering

    # --- who ---

    def _session(self, connection: HTTPConnection) -> Session | None:
        """The session of a browser; None where there is none, or where its time or its user's is over."""
        key = _key(connection.cookies.get(self.cookie, ""))
        session = self._sessions.get(key)
        if session is None:
            return None
        now_s = self._clock()
        over = now_s - session.used_s >= self._idle_s or now_s - session.began_s >= ABSOLUTE_S
        try:
            user = self._users.all().get(session.user.name)
        except UsersError:
            user = None
        if over or user is None or user.hash != session.user.hash:
            del self._sessions[key]
            return None
        session.user = user
        return session

    def _proven(self, request: Request) -> Session:
        """The session of a request that changes something. Raises Denied without it, its token or its page."""
        session = self._session(request)
        if session is None:
            raise Denied(401, "log in first")
        self._from_own_page(request, session.user.name)
        given = request.headers.get(CSRF_HEADER, "")
        if not compare_digest(given.encode(), session.csrf.encode()):
            raise Denied(403, f"the header {CSRF_HEADER} is not this session's", session.user.name)
        session.used_s = self._clock()
        return session

    def _asking(self, request: Request) -> Session:
        """The session of a request for something, of which there are not too many. Raises Denied."""
        session = self._proven(request)
        if not session.asks.allows():
            raise Denied(429, f"more than {ASKS_MOST} requests in a minute", session.user.name)
        return session

    def _from_own_page(self, request: Request, who: str = "") -> None:
        own = f"{request.scope['scheme']}://{request.headers.get('host', '')}"
        if request.headers.get("origin") != own:
            raise Denied(403, "the header origin must name this page", who)
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise Denied(415, "expected application/json", who)

    def _attempted(self, name: str, address: str) -> None:
        """Count an attempt to log in. Raises Denied where there have been too many."""
        if len(self._attempts) > KEYS_MOST:
            self._attempts = {key: quota for key, quota in self._attempts.items() if not quota.over()}
        kinds = {"user and address": (name, address), "address": ("", address), "user": (name,)}
        for kind, key in kinds.items():
            if len(self._attempts) > KEYS_MOST and key not in self._attempts:
                raise Denied(429, "too many attempts from too many places; wait some minutes", name)
            quota = self._attempts.setdefault(key, Quota(LOGINS_MOST[kind], self._clock, LOGINS_WITHIN_S))
            if not quota.allows():
                raise Denied(429, f"too many attempts; wait {LOGINS_WITHIN_S / MINUTE_S:g} minutes", name)

    def _begun(self, user: User) -> Session:
        """A new session; the oldest give way where there are too many."""
        own = [key for key, session in self._sessions.items() if session.user.name == user.name]
        for key in own[: max(len(own) - SESSIONS_EACH + 1, 0)] or list(self._sessions)[: self._too_many()]:
            del self._sessions[key]
        now_s = self._clock()
        return Session(user, secrets.token_urlsafe(32), now_s, now_s, Quota(ASKS_MOST, self._clock))

    def _too_many(self) -> int:
        return max(len(self._sessions) - SESSIONS_MOST + 1, 0)

    # --- the desk ---

    async def _state(self) -> Mapping[str, Any]:
        """How the desk stands, not older than a moment; `desk` says why, where it cannot be asked."""
        async with self._knowing:
            if self._clock() - self._known.at_s >= STATE_KEPT_S:
                self._known = Known(self._clock(), await run_in_threadpool(self._stands))
        return self._known.told

    def _stands(self) -> Mapping[str, Any]:
        try:
            return {**self._desk.state(), "desk": ""}
        except DeskError as error:
            return {"holder": None, "users": "", "desk": str(error)}

    async def _give_back(self, name: str) -> None:
        holder = (await self._state()).get("holder") or {}
        if (holder.get("who"), holder.get("via")) == (name, VIA):
            await run_in_threadpool(self._told, name, "release_command")

    async def _refused(self, address: str, who: str, words: str) -> None:
        """Have a refusal audited; beyond so many in a minute, its number later."""
        if self._refusals.allows():
            await self._tell(who or "somebody", "refused", f"{words} (from {address})")
            return
        if not self._left_out:
            later = asyncio.get_running_loop()
            later.call_later(MINUTE_S, lambda: later.create_task(self._tell_left_out()))
        self._left_out += 1

    async def _tell_left_out(self) -> None:
        count, self._left_out = self._left_out, 0
        await self._tell("somebody", "refused", f"{count} more refusals")

    async def _tell(self, who: str, what: str, words: str) -> None:
        await run_in_threadpool(self._told, who, what, words)

    def _told(self, who: str, what: str, words: str = "") -> None:
        try:
            if what == "release_command":
                self._desk.ask(who, VIA, what, why="logged out")
            else:
                self._desk.tell(who, VIA, what, words)
        except DeskError:
            self._keep({"t_unix_s": time.time(), "who": who, "what": what, "text": words})

    def _keep(self, told: Mapping[str, Any]) -> None:
        """Where no control process listens: a line of a file, of which the newest are kept."""
        try:
            if self._kept.exists() and self._kept.stat().st_size > KEPT_BYTES_MOST:
                self._kept.replace(self._kept.with_name(f"{self._kept.name}.old"))
            with self._kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps(told) + "\n")
        except OSError:
            pass  # a page that looks at a run it may not write beside has nobody to tell


def _sentence(field: str, value: Any, who: str, least: int = 1) -> str:
    """A text of one line. Raises Denied."""
    try:
        return text(field, value, least)
    except Refused as refusal:
        raise Denied(400, str(refusal), who) from None


def _key(number: str) -> bytes:
    """Under what a session is kept: whoever reads memory finds no cookies."""
    return hashlib.sha256(number.encode(errors="surrogateescape")).digest()


def _address(connection: HTTPConnection) -> str:
    return connection.client.host if connection.client else "an unknown address"


async def _object(request: Request, most: int) -> dict[str, Any]:
    """The body as a JSON object. Raises Denied where it is too long or none."""
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > most:
            raise Denied(413, f"a body of more than {most} bytes")
    try:
        told = json.loads(content)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise Denied(400, "expected a JSON object")
    return told
