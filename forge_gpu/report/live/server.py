"""The live page: who may see it, what it is sent. It reads what jobs have left, and no job knows of it."""

from __future__ import annotations

import ipaddress
import re
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import orjson

from forge_gpu.errors import ConfigError, ForgeError
from forge_gpu.report.live.jobs import Jobs
from forge_gpu.report.meanings import meanings
from forge_gpu.report.page import html_page, policy, scripts

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.types import ASGIApp, Receive, Scope, Send

INSTALL = "pip install 'forge-gpu[watch]'"
SCRIPT = "watch.js"
MOST_STREAMS = 64
POLL = 0.25
BEAT = 5.0
"""Seconds after which a page that nothing changes on hears that we are still there."""
REPORT_POLICY = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Of a report, which has a stricter one of its own. In the sandbox it is of no origin: whoever wrote it, it
sees nothing of the live page."""
HEADERS = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
REFUSED = "Open the address that forge watch has printed: it holds the token of this run.\n"


class Guard:
    """Stands before the pages: GET alone, to a host that is ours, from no other origin, with the token.

    token: as the address has it at first, and a cookie after. hosts: names that this machine goes by, beside
    addresses: whoever makes a browser come here by a name of their own is refused.
    """

    def __init__(self, app: ASGIApp, token: str, port: int, hosts: frozenset[str]) -> None:
        self._app, self._token, self._hosts = app, token, hosts
        self._cookie = f"forge-watch-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.responses import PlainTextResponse

        if scope["type"] != "http":
            return  # no sockets, and nothing to start
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        refusal = self._refusal(scope["method"], headers, scope["query_string"])
        if refusal is not None:
            status, words = refusal
            more = {"allow": "GET"} if status == 405 else {}
            await PlainTextResponse(words, status, HEADERS | more)(scope, receive, send)
            return

        async def send_with_cookie(message: Any) -> None:
            if message["type"] == "http.response.start":
                cookie = f"{self._cookie}={self._token}; HttpOnly; SameSite=Strict; Path=/"
                message["headers"] = [*message["headers"], (b"set-cookie", cookie.encode())]
            await send(message)

        await self._app(scope, receive, send_with_cookie)

    def _refusal(self, method: str, headers: dict[str, str], query: bytes) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if not self._is_ours(host):
            return 421, "This is not the host that forge watch answers for.\n"
        if headers.get("origin", f"http://{host}") != f"http://{host}":
            return 403, "Other pages may not ask.\n"
        if method != "GET":
            return 405, "There is nothing but to look.\n"
        return None if self._has_token(headers, query) else (403, REFUSED)

    def _is_ours(self, host: str) -> bool:
        name = re.sub(r":\d+$", "", host).strip("[]").lower()
        if name in self._hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _has_token(self, headers: dict[str, str], query: bytes) -> bool:
        given = parse_qs(query.decode("latin-1")).get("token", [])
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            cookie = None
        given += [] if cookie is None else [cookie.value]
        return any(secrets.compare_digest(one.encode(), self._token.encode()) for one in given)


def application(jobs: Jobs, is_closing: Callable[[], bool]) -> Starlette:
    """The pages, without their guard. is_closing: whether streams are to end."""
    from anyio import sleep, to_thread
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse, Response, StreamingResponse
    from starlette.routing import Route

    page = html_page(SCRIPT, "Forge: live", {"meanings": meanings()}, connects=True)
    page_headers = HEADERS | {
        "content-security-policy": policy(scripts(SCRIPT), connects=True) + "; frame-ancestors 'none'"
    }
    streams = 0

    async def show(request: Request) -> Response:
        return Response(page, media_type="text/html", headers=page_headers)

    async def report(request: Request) -> Response:
        job = await to_thread.run_sync(jobs.get, request.query_params.get("job", ""))
        data = None if job is None else await to_thread.run_sync(lambda: job.page)
        if data is None:
            return PlainTextResponse("This job has no report.\n", 404, HEADERS)
        headers = HEADERS | {"content-security-policy": REPORT_POLICY}
        return Response(data, media_type="text/html", headers=headers)

    async def events(request: Request) -> Response:
        if streams >= MOST_STREAMS:
            return PlainTextResponse("Too many pages look already.\n", 503, HEADERS)
        chosen = request.query_params.get("job")
        return StreamingResponse(stream(chosen), media_type="text/event-stream", headers=HEADERS)

    async def stream(chosen: str | None) -> AsyncIterator[bytes]:
        nonlocal streams
        streams += 1
        try:
            sent, last = b"", 0.0
            while not is_closing():
                message = await to_thread.run_sync(_message, jobs, chosen)
                now = time.monotonic()
                if message != sent:
                    sent, last = message, now
                    yield b"data: " + message + b"\n\n"
                elif now - last >= BEAT:
                    last = now
                    yield b"event: beat\ndata: {}\n\n"
                await sleep(POLL)
        finally:
            streams -= 1

    return Starlette(routes=[Route("/", show), Route("/events", events), Route("/report", report)])


def _message(jobs: Jobs, chosen: str | None) -> bytes:
    """All jobs in short, and one of them whole: the one that was chosen, or else the first."""
    result = jobs.look()
    shown = next((job for job in result if job.id == chosen), result[0] if result else None)
    return orjson.dumps(
        {"jobs": [job.summary() for job in result], "job": None if shown is None else shown.document()}
    )


class Watch:
    """The server of a live page. address: where it listens, PORT or ADDRESS:PORT; port 0 takes any.

    Raises ForgeError without starlette and uvicorn, ConfigError where it cannot listen there.
    """

    def __init__(self, jobs: Jobs, address: tuple[str, int]) -> None:
        try:
            import starlette
            import uvicorn
        except ImportError:
            raise ForgeError(f"forge watch needs the packages starlette and uvicorn: {INSTALL}") from None
        del starlette
        host, port = address
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((host, port))
        except OSError as fault:
            self._socket.close()
            raise ConfigError(f"--listen {host}:{port}: {fault.strerror}; name another port") from fault
        self.jobs = jobs
        self._host, self.port = host, int(self._socket.getsockname()[1])
        self.token = secrets.token_urlsafe(24)
        app = Guard(
            application(jobs, lambda: self._server.should_exit), self.token, self.port, _names_of(host)
        )
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_level="error",
                access_log=False,  # it would hold the token
                lifespan="off",
                server_header=False,
                timeout_graceful_shutdown=2,
            )
        )

    @property
    def url(self) -> str:
        """Where to open it, the token included."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._host, self._host)
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{self.port}/?token={self.token}"

    def run(self) -> None:
        """Serve until a signal, or `stop`."""
        self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        self._server.should_exit = True


def _names_of(host: str) -> frozenset[str]:
    """What this machine is called, where it listens for others; else localhost alone."""
    try:
        is_local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_local = host == "localhost"
    return frozenset({"localhost"} if is_local else {"localhost", host, socket.gethostname().lower()})
