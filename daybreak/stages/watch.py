"""Watch: the report of a run as a live page on this machine alone, fed by server-sent events."""

import asyncio
import contextlib
import errno
import hashlib
import os
import re
import socket
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from daybreak.commands.options import (
    LANGUAGES,
    RunFolder,
    declared,
)
from daybreak.commands.parser import among
from daybreak.core import process
from daybreak.core.errors import DaybreakError, MissingPackage, ResourceError, UsageError
from daybreak.core.messages import localized
from daybreak.core.process import lower_priority
from daybreak.core.run import Run
from daybreak.views.live import Reader, Stream
from daybreak.views.pages import WEB, words
from daybreak.views.report_page import page

if TYPE_CHECKING:
    import uvicorn
    from fastapi import FastAPI
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

ADDRESS = "127.0.0.1"
NAMES = ("127.0.0.1", "localhost")  # a page of another name that leads here (DNS rebinding) is refused
PORT = 8600
PORTS_TRIED = 20

MOST_CONNECTIONS = 64
TICK_SECONDS = 0.3  # between two looks at whether a signal came; the library's own 0.1 costs more than the reading

NOTHING_RUNS = "default-src 'none'"

_HEADERS = {
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
_POLICY = re.compile(r'http-equiv="Content-Security-Policy" content="([^"]*)"')


class Guard:
    """Around the pages: GET only, no request that another site's page made, and headers that shut out other scripts."""

    def __init__(self, app: "ASGIApp") -> None:
        self._app = app

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        from starlette.datastructures import Headers, MutableHeaders
        from starlette.responses import PlainTextResponse

        if scope["type"] != "http":
            return
        asked = Headers(scope=scope)
        app: ASGIApp = self._app
        if scope["method"] != "GET":
            app = PlainTextResponse("only GET is answered\n", status_code=405, headers={"allow": "GET"})
        elif _foreign(asked):
            app = PlainTextResponse("requests of other sites are refused\n", status_code=403)

        async def guarded(message: "Message") -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("content-security-policy", f"{NOTHING_RUNS}; frame-ancestors 'none'")
            await send(message)

        await app(scope, receive, guarded)


def _foreign(asked: Any) -> bool:
    """Whether a page of another origin made the request; following a link to the page here is no such request."""
    origin = asked.get("origin")
    if origin is not None and origin != f"http://{asked.get('host', '')}":
        return True
    site, mode = asked.get("sec-fetch-site", "none"), asked.get("sec-fetch-mode", "")
    return site not in ("none", "same-origin") and mode != "navigate"


def application(reader: Reader, stream: Stream, *, language: str) -> "FastAPI":
    """The pages `/` and `/events`. Raises UsageError: a library is missing."""
    _needed()
    from fastapi import FastAPI
    from fastapi.responses import Response, StreamingResponse
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(NAMES), www_redirect=False)
    app.add_middleware(Guard)

    @app.get("/")
    def whole() -> Response:
        text = page(reader.newest(), language=language, live=True)
        headers = {"content-security-policy": _policy(text)}
        return Response(text.encode("utf-8", "replace"), media_type="text/html", headers=headers)

    @app.get("/events")
    async def events() -> StreamingResponse:
        return StreamingResponse(stream.events(), media_type="text/event-stream")

    return app


def _policy(text: str) -> str:
    """The page's own security policy, which lets run only the scripts in it by their digests, and the one thing that a
    page cannot say of itself: that no other page may frame it."""
    own = _POLICY.search(text)
    return f"{own[1] if own else NOTHING_RUNS}; frame-ancestors 'none'"


def watch(path: str, *, port: int | None = None, language: str = "en", show: bool | None = None) -> None:
    """Serves the live page of the run in `path` until Ctrl-C.

    port: None takes 8600 or the next free one, 0 any free one. show: open a browser; None: where there is a screen.
    Raises UsageError (no such run, port taken, libraries missing) and KeyboardInterrupt.
    """
    run = _opened(path)
    words(language)
    _needed()
    listening = _socket(port)
    lower_priority()
    stream = Stream()
    reader = Reader(run, stream.publish, identity=_identity(run, language))
    stream.on_clients = reader.wanted
    address = f"http://{ADDRESS}:{listening.getsockname()[1]}/"
    reader.start()
    print(localized(f"watching {run} at {address} (Ctrl-C ends it)"), flush=True)
    if _has_screen() if show is None else show:
        process.open_browser(address)
    try:
        server(application(reader, stream, language=language), stream).run(sockets=[listening])
        raise KeyboardInterrupt  # nothing else ends it; where the signal was ignored before, the library tells nothing
    finally:
        reader.stop()
        listening.close()


def server(app: "FastAPI", stream: Stream) -> "uvicorn.Server":
    """What serves the pages; it ends at once however many streams are open."""
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            stream.opened()
            await super().startup(sockets)

        async def main_loop(self) -> None:
            while not await self.on_tick(0):
                await asyncio.sleep(TICK_SECONDS)

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            stream.close()  # open streams would be waited for
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


def _needed() -> None:
    """Raises UsageError where a library of the extra is missing."""
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingPackage(
            "`daybreak watch` needs libraries that are not installed",
            received=f"no module {error.name!r}",
            attempt="pip install '.[serve]' in the checkout",
        ) from None


def _opened(path: str) -> Run:
    """A run, or a folder in which one may come to be: empty, or held by a process that is just beginning."""
    run = Run(path)
    if run.path.is_dir():
        with contextlib.suppress(OSError):
            inside = {entry.name for entry in run.path.iterdir()}
            if not inside or run.heartbeat_file.name in inside or inside == {run.corpus_folder.name}:
                return run
    return Run.open(path)


def _identity(run: Run, language: str) -> str:
    """What a page was made for. A page that meets another one after a restart of the server loads itself anew."""
    digest = hashlib.sha256(f"{run.path.resolve()}\n{language}\n".encode("utf-8", "surrogateescape"))
    for file in sorted(path for path in WEB.iterdir() if path.is_file()):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _socket(port: int | None) -> socket.socket:
    """A socket that listens on this machine alone. Raises UsageError, ResourceError."""
    wanted = range(PORT, PORT + PORTS_TRIED) if port is None else (port,)
    error: OSError | None = None
    for number in wanted:
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if os.name == "posix":  # elsewhere it would let two servers have one port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((ADDRESS, number))
            listening.listen(128)
            return listening
        except OSError as refused:
            listening.close()
            error = refused
    raise _refused(error, port)


def _refused(error: OSError | None, port: int | None) -> DaybreakError:
    if port is None:
        return ResourceError(
            "no port is free",
            received=f"{PORT} to {PORT + PORTS_TRIED - 1}, all taken",
            attempt="--port 0, which takes any free one",
        )
    if error is not None and error.errno == errno.EADDRINUSE:
        return UsageError(
            "the port is already in use",
            received=f"--port {port}",
            attempt="another --port, or no --port",
        )
    why = error.strerror if error is not None else ""
    return UsageError("the port cannot be used", received=f"--port {port}: {why}", attempt="a port from 1024 to 65535")


def _has_screen() -> bool:
    """Whether a browser that is opened here would be seen by who asked."""
    if not sys.stdout.isatty() or "SSH_CONNECTION" in os.environ:
        return False
    return sys.platform in ("darwin", "win32") or any(os.environ.get(n) for n in ("DISPLAY", "WAYLAND_DISPLAY"))


@declared("daybreak watch runs/novel")
def command(
    path: RunFolder,
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, metavar="PORT", help="Port. Default: 8600, or the next free one.", show_default=False
        ),
    ] = None,
    language: Annotated[
        str, typer.Option(metavar="LANGUAGE", autocompletion=among(*LANGUAGES), help="Language of the page: en or zh.")
    ] = "en",
    show: Annotated[
        bool | None, typer.Option("--open/--no-open", help="Whether to open a browser. Default: if there is a screen.")
    ] = None,
) -> None:
    """Follow a run on a live web page, on this machine only."""

    watch(path, port=port, language=language, show=show)
