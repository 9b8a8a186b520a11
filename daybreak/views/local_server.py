"""Local server: serves a web application to this machine alone, and keeps other sites' pages out of it.

Host names are checked (DNS rebinding), requests that a page of another site made are refused, and every answer carries
headers that let no other page frame it, read it or run scripts in it.
"""

import asyncio
import errno
import os
import re
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from daybreak.core.errors import DaybreakError, MissingPackage, ResourceError, UsageError

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI
    from starlette.datastructures import Headers
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

ADDRESS = "127.0.0.1"
HOSTS = ("127.0.0.1", "localhost")  # the only host names that are answered, against DNS rebinding
PORT = 8600
PORTS_TRIED = 20
MOST_CONNECTIONS = 64
TICK_SECONDS = 0.3  # how often uvicorn looks for a signal; its own 0.1 costs more than the work of `watch`

NO_SCRIPTS = "default-src 'none'"
HEADERS = {
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_POLICY = re.compile(r'http-equiv="Content-Security-Policy" content="([^"]*)"')


class Guard:
    """ASGI middleware: refuses other methods and requests of other sites, and adds the security headers."""

    def __init__(self, app: "ASGIApp", methods: tuple[str, ...] = ("GET",)) -> None:
        self._app, self._methods = app, methods

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        from starlette.datastructures import Headers, MutableHeaders
        from starlette.responses import PlainTextResponse

        if scope["type"] != "http":
            return
        app: ASGIApp = self._app
        if scope["method"] not in self._methods:
            allowed = ", ".join(self._methods)
            app = PlainTextResponse(f"only {allowed} is answered\n", status_code=405, headers={"allow": allowed})
        elif _from_another_site(Headers(scope=scope)):
            app = PlainTextResponse("requests of other sites are refused\n", status_code=403)

        async def send_guarded(message: "Message") -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("content-security-policy", f"{NO_SCRIPTS}; frame-ancestors 'none'")
            await send(message)

        await app(scope, receive, send_guarded)


def _from_another_site(headers: "Headers") -> bool:
    """Whether a page of another site made the request. A link that was followed to here is not such a request."""
    origin = headers.get("origin")
    if origin is not None and origin != f"http://{headers.get('host', '')}":
        return True
    site, mode = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode", "")
    return site not in ("none", "same-origin") and mode != "navigate"


def guarded_application(*, methods: tuple[str, ...] = ("GET",)) -> "FastAPI":
    """An application without routes that answers only this machine's host names, and only requests of its own pages."""
    from fastapi import FastAPI
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(HOSTS), www_redirect=False)
    app.add_middleware(Guard, methods=methods)
    return app


def page_policy(page: str) -> str:
    """The content security policy for the header of an HTML page.

    It is the page's own, which allows only the scripts in it, by their digests, and what a page cannot say itself: that
    no other page may frame it.
    """
    own = _POLICY.search(page)
    return f"{own[1] if own else NO_SCRIPTS}; frame-ancestors 'none'"


def server(app: "FastAPI", *, opened: Callable[[], None], closing: Callable[[], None]) -> "uvicorn.Server":
    """A uvicorn server that stops at once, however many streams are open.

    opened: called in the event loop before the first request. closing: called before it waits for open streams to end.
    """
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            opened()
            await super().startup(sockets)

        async def main_loop(self) -> None:
            while not await self.on_tick(0):
                await asyncio.sleep(TICK_SECONDS)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            closing()
            await super().shutdown(sockets)

    config = uvicorn.Config(
        app,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=1,
    )
    return Server(config)


def check_installed(command: str) -> None:
    """Raises MissingPackage: a library of the extra `serve` is not installed. command: such as "watch"."""
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingPackage(
            f"`daybreak {command}` needs libraries that are not installed",
            received=f"no module {error.name!r}",
            attempt="run pip install '.[serve]' in the checkout",
        ) from None


def listen(port: int | None, *, first: int = PORT) -> socket.socket:
    """A socket that listens on this machine alone. port: None takes the first free one from `first` on, 0 any free one.

    Raises UsageError: the port is taken or not allowed. ResourceError: none of them is free.
    """
    wanted = range(first, first + PORTS_TRIED) if port is None else (port,)
    error: OSError | None = None
    for number in wanted:
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if os.name == "posix":  # on Windows it would let two servers share a port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((ADDRESS, number))
            listening.listen(128)
            return listening
        except OSError as refused:
            listening.close()
            error = refused
    raise _refused(error, port, first)


def _refused(error: OSError | None, port: int | None, first: int) -> DaybreakError:
    if port is None:
        return ResourceError(
            "no port is free",
            received=f"{first} to {first + PORTS_TRIED - 1}, all in use",
            attempt="--port 0, which takes any free one",
        )
    if error is not None and error.errno == errno.EADDRINUSE:
        return UsageError(
            "the port is already in use",
            received=f"--port {port}",
            attempt="name another port with --port, or leave out --port",
        )
    why = error.strerror if error is not None else ""
    return UsageError("the port cannot be used", received=f"--port {port}: {why}", attempt="a port from 1024 to 65535")


def has_screen() -> bool:
    """Whether whoever typed the command would see a browser that opens on this machine."""
    if not sys.stdout.isatty() or "SSH_CONNECTION" in os.environ:
        return False
    return sys.platform in ("darwin", "win32") or any(os.environ.get(n) for n in ("DISPLAY", "WAYLAND_DISPLAY"))
