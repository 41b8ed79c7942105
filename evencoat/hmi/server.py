"""The page's server: addresses that read, those through which people ask (`access`), and a socket for the newest cycle.

One task looks at the picture; each browser is sent the newest message when it has taken the one before, so a slow one
misses cycles and delays nobody. Whoever asks under a strange name, or from a page of somebody else, is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from importlib import resources

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from evencoat.alarms.service import AlarmService
from evencoat.diagnosis.service import Beside
from evencoat.hmi import reading
from evencoat.hmi.access import NOBODY, UNKNOWN, Access
from evencoat.hmi.recipes import Recipes
from evencoat.hmi.source import Source, SourceError

LOOK_S = 0.025  # between two looks at the picture
QUIET_S = 1.0  # without a new cycle: said so, once in so long
CLIENTS_MOST = 100
STRANGER, FULL = 4403, 4429
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Feed:
    """The newest message, and all who wait for the next."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._changed = asyncio.Condition()
        self.newest: bytes | None = None
        self.number, self.clients = 0, 0

    async def look(self) -> None:
        """Look for ever."""
        with contextlib.suppress(SourceError):  # a journal that cannot be read now is told to who asks for it
            await self._tell(await run_in_threadpool(self._source.last_message))
        while True:
            await self._tell(self._source.viewer.latest())  # some kilobytes of memory: not worth a thread
            await asyncio.sleep(LOOK_S)

    async def _tell(self, found: bytes | None) -> None:
        if found is not None:
            async with self._changed:
                self.newest, self.number = found, self.number + 1
                self._changed.notify_all()

    async def after(self, number: int) -> tuple[int, bytes | None]:
        """The first message after that number; the same number, and None, where none came for a while."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(QUIET_S), self._changed:
                await self._changed.wait_for(lambda: self.number != number)
        return (self.number, self.newest) if self.number != number else (number, None)


class OwnHeaders:
    """Puts HEADERS on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message = {**message, "headers": [*message.get("headers", ()), *own]}
            await send(message)

        await self._app(scope, receive, sending)


def application(source: Source, hosts: Sequence[str], access: Access | None = None) -> Starlette:
    """The page of one line. `hosts`: names that browsers may call it by; without `access` nobody can log in."""
    feed, alarms, recipes = Feed(source), AlarmService(source.journal, source.settings), Recipes(source)
    diagnosis = Beside(source.journal)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        looking = [asyncio.create_task(each) for each in (feed.look(), alarms.run(), diagnosis.run())]
        yield
        for task in looking:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        alarms.close()

    static = str(resources.files("evencoat.hmi").joinpath("static"))
    return Starlette(
        routes=[
            *reading.routes(source, recipes),
            Route("/alarms.json", partial(_alarms, alarms)),
            Route("/diagnosis.json", partial(_diagnosis, diagnosis)),
            *(access.routes(alarms, recipes) if access else [Route("/session.json", _nobody)]),
            WebSocketRoute("/live", partial(_live, feed, access)),
            Mount("/", StaticFiles(directory=static, html=True)),
        ],
        middleware=[Middleware(OwnHeaders), Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))]
        + ([Middleware(access.guard)] if access else []),
        exception_handlers={SourceError: _unreadable, reading.Refused: _refused},
        lifespan=lifespan,
    )


async def _refused(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400)


async def _alarms(alarms: AlarmService, _: Request) -> Response:
    return JSONResponse(alarms.told())


async def _diagnosis(diagnosis: Beside, _: Request) -> Response:
    return JSONResponse(diagnosis.told())


async def _nobody(_: Request) -> Response:
    """Of a page that was made for looking only, such as that of a run that is played again."""
    return JSONResponse(NOBODY)


async def _unreadable(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": f"the journal cannot be read now: {error}"}, 503)


async def _live(feed: Feed, access: Access | None, socket: WebSocket) -> None:
    """The newest cycle, and each one after it, as fast as the browser takes them."""
    origin = socket.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != socket.headers.get("host"):
        await socket.close(STRANGER)
        return
    if feed.clients >= CLIENTS_MOST:
        await socket.close(FULL)
        return
    await socket.accept()
    feed.clients += 1
    try:
        await _until_gone(socket, partial(_fed, feed, socket, access), access)
    finally:
        feed.clients -= 1


async def _fed(feed: Feed, socket: WebSocket, access: Access | None) -> None:
    number = feed.number
    if feed.newest is not None:
        await socket.send_bytes(feed.newest)
    while access is None or access.may_look(socket):
        number, content = await feed.after(number)
        if content is not None:
            await socket.send_bytes(content)
        else:
            await socket.send_text("quiet")
    await socket.close(UNKNOWN)


async def _until_gone(socket: WebSocket, work: Callable[[], Awaitable[None]], access: Access | None) -> None:
    """Work until the browser goes, or says something: here it may only listen."""
    working = asyncio.ensure_future(work())
    try:
        while not working.done():
            heard = asyncio.ensure_future(socket.receive())
            done, _ = await asyncio.wait({working, heard}, return_when=asyncio.FIRST_COMPLETED)
            if heard not in done:
                heard.cancel()
            else:
                if access is not None and heard.result()["type"] == "websocket.receive":
                    await access.heard(socket)
                break
    finally:
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError, OSError):
            await working
