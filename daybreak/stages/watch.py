"""Watch: the report of a run as a live page on this machine alone, fed by server-sent events."""

import contextlib
import hashlib
from typing import TYPE_CHECKING, Annotated

import typer

from daybreak.commands.options import (
    LANGUAGES,
    RunFolder,
    declared,
)
from daybreak.commands.parser import among
from daybreak.core import process
from daybreak.core.messages import localized
from daybreak.core.run import Run
from daybreak.views import local_server
from daybreak.views.live import Reader, Stream
from daybreak.views.pages import WEB, words
from daybreak.views.report_page import page

if TYPE_CHECKING:
    from fastapi import FastAPI


def application(reader: Reader, stream: Stream, *, language: str) -> "FastAPI":
    """The pages `/` and `/events`. Raises MissingPackage: a library is not installed."""
    local_server.check_installed("watch")
    from fastapi.responses import Response, StreamingResponse

    app = local_server.guarded_application()

    @app.get("/")
    def whole_page() -> Response:
        text = page(reader.newest(), language=language, live=True)
        headers = {"content-security-policy": local_server.page_policy(text)}
        return Response(text.encode("utf-8", "replace"), media_type="text/html", headers=headers)

    @app.get("/events")
    async def events() -> StreamingResponse:
        return StreamingResponse(stream.events(), media_type="text/event-stream")

    return app


def watch(path: str, *, port: int | None = None, language: str = "en", show: bool | None = None) -> None:
    """Serves the live page of the run in `path` until Ctrl-C.

    port: None takes 8600 or the next free one, 0 any free one. show: open a browser; None: if there is a screen.
    Raises UsageError (no such run, port taken, libraries missing) and KeyboardInterrupt.
    """
    run = _opened(path)
    words(language)
    local_server.check_installed("watch")
    listening = local_server.listen(port)
    process.lower_priority()
    stream = Stream()
    reader = Reader(run, stream.publish, identity=_identity(run, language), language=language)
    stream.on_clients = reader.wanted
    address = f"http://{local_server.ADDRESS}:{listening.getsockname()[1]}/"
    reader.start()
    print(localized(f"watching {run} at {address} (Ctrl-C ends it)"), flush=True)
    if local_server.has_screen() if show is None else show:
        process.open_browser(address)
    try:
        app = application(reader, stream, language=language)
        local_server.server(app, opened=stream.opened, closing=stream.close).run(sockets=[listening])
        raise KeyboardInterrupt  # uvicorn returns only after a signal, and does not say so if the signal was ignored
    finally:
        reader.stop()
        listening.close()


def _opened(path: str) -> Run:
    """A run, or a folder that a run may be about to fill: an empty one, or one that a starting process holds."""
    run = Run(path)
    if run.path.is_dir():
        with contextlib.suppress(OSError):
            inside = {entry.name for entry in run.path.iterdir()}
            if not inside or run.heartbeat_file.name in inside or inside == {run.corpus_folder.name}:
                return run
    return Run.open(path)


def _identity(run: Run, language: str) -> str:
    """A digest of the run, the language and the files of the page; an open page that meets another one reloads."""
    digest = hashlib.sha256(f"{run.path.resolve()}\n{language}\n".encode("utf-8", "surrogateescape"))
    for file in sorted(path for path in WEB.iterdir() if path.is_file()):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


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
