"""Watch: the live page in a real browser and over plain HTTP; what it refuses, what it survives, and what it costs."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daybreak import cli
from daybreak.core.errors import UsageError
from daybreak.core.process import NICENESS
from daybreak.core.records import Event, Log, Sample, Step, Validation
from daybreak.core.run import Run, write_json
from daybreak.core.types import Plan, Request
from daybreak.stages import watch
from daybreak.views import live, local_server
from daybreak.views.live import Reader, Stream

pytest.importorskip("fastapi", reason="pip install '.[serve]'")
uvicorn = pytest.importorskip("uvicorn", reason="pip install '.[serve]'")

HOSTILE = '</script><script>window.struck = 1</script><img src=x onerror="window.struck = 1"><b>bold</b>'


def step(number: int, nats: float = 3.0) -> Step:
    return Step(
        step=number,
        progress=number / 1000,
        micro_batch=8,
        accumulation=1,
        skipped=False,
        nats=nats,
        gradient_norm=1.0,
        learning_rate_factor=1.0,
        tokens=128 * number,
        seconds=0.1,
        used_seconds=10 + 0.1 * number,
    )


def validation(number: int, bits: float) -> Validation:
    at = step(number)
    return Validation(
        step=number,
        progress=at.progress,
        used_seconds=at.used_seconds,
        tokens=at.tokens,
        figure=bits,
        perplexity=8.0,
        bytes=10_000,
    )


def finished(used: float = 60.0) -> Event:
    return Event(name="finished", used_seconds=used, detail={"used_seconds": used})


@pytest.fixture
def run(tmp_path: Path, plan: Callable[..., Plan]) -> Run:
    """A run that has begun: a request, a plan, and the first steps."""
    made = Run(tmp_path / "a run")
    made.make()
    write_json(made.request_file, Request(sources=("text.txt",), seconds=600.0).to_json())
    write_json(made.plan_file, plan().to_json())
    write_json(made.heartbeat_file, {"used_seconds": 12.0, "pid": 0, "start": 0})
    append(made, *(step(number) for number in range(1, 21)))
    return made


def append(run: Run, *records: Any) -> None:
    log = Log(run.log_file)
    for record in records:
        log.append(record)
    log.close()


@dataclasses.dataclass
class Served:
    run: Run
    reader: Reader
    stream: Stream
    port: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def ask(self, path: str = "/", method: str = "GET", **headers: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        return connection.getresponse()


@pytest.fixture(autouse=True)
def _short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LEAST_PAUSE", 0.2)


@contextlib.contextmanager
def serving(run: Run, *, port: int = 0, language: str = "en") -> Iterator[Served]:
    """The live page in a thread of this process."""
    stream = Stream()
    reader = Reader(run, stream.publish, identity="a test")
    stream.on_clients = reader.wanted
    listening = local_server.listen(port)
    served = Served(run, reader, stream, listening.getsockname()[1])
    app = watch.application(reader, stream, language=language)
    server = local_server.server(app, opened=stream.opened, closing=stream.close)
    thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
    reader.start()
    thread.start()
    try:
        yield served
    finally:
        server.should_exit = True
        thread.join(timeout=5)
        reader.stop()
        listening.close()
    assert not thread.is_alive(), "open streams kept the server from ending"


def events(response: http.client.HTTPResponse, number: int) -> list[dict[str, Any]]:
    """The next states of an event stream; what is not of its format fails."""
    found: list[dict[str, Any]] = []
    while len(found) < number:
        line = response.readline().decode()
        assert line, "the stream has ended"
        assert line == "\n" or line.startswith(("data: ", "retry: ", ":")), line[:80]
        if line.startswith("data: "):
            found.append(json.loads(line[6:]))
    return found


# Over HTTP


def test_the_page_and_the_stream_say_the_same_and_the_stream_goes_on(run: Run) -> None:
    with serving(run) as served:
        page = served.ask()
        text = page.read().decode()
        assert page.status == 200
        assert f'id="facts">{{"schema": 1, "name": "{run.path.name}"' in text
        stream = served.ask("/events")
        assert stream.getheader("content-type", "").startswith("text/event-stream")
        first = events(stream, 1)[0]
        assert first["training"]["tokens"] == 2560
        append(run, *(step(number) for number in range(21, 31)))
        assert events(stream, 1)[0]["training"]["tokens"] == 3840
        stream.close()


def test_every_answer_carries_the_headers_that_shut_out_other_sites(run: Run) -> None:
    with serving(run) as served:
        for path in ("/", "/events", "/nothing", "/docs", "/openapi.json"):
            answer = served.ask(path)
            assert answer.status == (404 if path in ("/nothing", "/docs", "/openapi.json") else 200)
            assert answer.getheader("x-content-type-options") == "nosniff"
            assert answer.getheader("referrer-policy") == "no-referrer"
            assert answer.getheader("access-control-allow-origin") is None
            policy = answer.getheader("content-security-policy", "")
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            scripts = next((part for part in policy.split(";") if "script-src" in part), "")
            assert "unsafe" not in scripts
            assert ("sha256-" in scripts) == (path == "/")
            answer.close()


def test_only_get_is_answered(run: Run) -> None:
    with serving(run) as served:
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"):
            answer = served.ask("/", method)
            assert answer.status == 405, method
            assert answer.getheader("allow") == "GET"


def test_another_host_or_origin_is_refused(run: Run) -> None:
    with serving(run) as served:
        port = served.port
        for host in ("evil.example", f"evil.example:{port}", f"127.0.0.1.evil.example:{port}", "localhost.evil", ""):
            assert served.ask("/", Host=host).status == 400, host
        for origin in ("http://evil.example", "null", f"http://localhost:{port + 1}", f"https://127.0.0.1:{port}"):
            assert served.ask("/events", Origin=origin).status == 403, origin
        assert served.ask("/events", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors").status == 403
        assert served.ask("/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate").status == 200  # a link
        assert served.ask("/", Host=f"localhost:{port}", Origin=f"http://localhost:{port}").status == 200


def test_only_this_machine_can_reach_it() -> None:
    with contextlib.closing(local_server.listen(0)) as listening:
        assert listening.getsockname()[0] == "127.0.0.1"


def test_a_slow_client_gets_the_newest_and_nothing_piles_up() -> None:
    async def slow() -> list[bytes]:
        stream = Stream()
        stream.opened()
        stream.publish(b"0")
        client = stream.events()
        got = [await anext(client), await anext(client)]
        for number in range(1, 1000):
            stream.publish(str(number).encode())
        await asyncio.sleep(0)
        got.append(await anext(client))
        await client.aclose()
        return got

    assert asyncio.run(slow()) == [b"retry: 1000\n\n", b"data: 0\n\n", b"data: 999\n\n"]


def test_a_client_that_reads_nothing_for_a_while_skips_states(run: Run) -> None:
    with serving(run) as served, socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.settimeout(5)
        slow.connect(("127.0.0.1", served.port))
        slow.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.2)
        for number in range(60):
            served.stream.publish(b"[%d, " % number + b"0" * 500_000 + b"]")
            time.sleep(0.002)
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        received, last = bytearray(), b""
        while not last.startswith(b"[59,"):
            received += slow.recv(1 << 20)
            last = received[received.rfind(b"data: ") + 6 :][:10]
        assert received.count(b"data: ") < 20


def test_a_comment_keeps_a_quiet_stream_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "HEARTBEAT_SECONDS", 0.01)

    async def quiet() -> list[bytes]:
        stream = Stream()
        stream.opened()
        client = stream.events()
        return [await anext(client), await anext(client)]

    assert asyncio.run(quiet())[1].startswith(b": ")


def test_clients_that_leave_are_counted_out_and_nobody_reads_then(run: Run) -> None:
    with serving(run) as served:
        stream = served.ask("/events")
        events(stream, 1)
        assert served.reader._wanted.is_set()
        stream.close()
        limit = time.monotonic() + 5
        while served.reader._wanted.is_set() and time.monotonic() < limit:
            time.sleep(0.02)
        assert not served.reader._wanted.is_set()
        assert served.stream._clients == 0


# The reader


@pytest.fixture
def reader(run: Run, monkeypatch: pytest.MonkeyPatch) -> Reader:
    """A reader without its pause: every newest() reads."""
    monkeypatch.setattr(live, "LEAST_PAUSE", 0.0)
    monkeypatch.setattr(live, "MOST_PAUSE", 0.0)
    return Reader(run, lambda line: None)


def test_a_run_that_is_made_anew_is_read_anew(reader: Reader, run: Run) -> None:
    assert reader.newest()["training"]["tokens"] == 20 * 128
    run.log_file.write_text("")  # in the same file, and longer than before
    append(run, *(step(number, nats=1.0) for number in range(1, 41)))
    lines = run.log_file.read_text()
    assert reader.newest()["training"]["tokens"] == 40 * 128
    assert max(reader.newest()["curves"]["loss"]["values"]) < 2
    shutil.rmtree(run.path)
    gone = reader.newest()
    assert gone["watch"]["missing"]
    assert gone["training"]["tokens"] == 40 * 128, "what was known stays on the page"
    run.make()
    run.log_file.write_text("".join(lines.splitlines(keepends=True)[:5]))
    again = reader.newest()
    assert not again["watch"]["missing"]
    assert again["training"]["tokens"] == 5 * 128


def test_it_says_only_what_changed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LEAST_PAUSE", 0.0)
    monkeypatch.setattr(live, "MOST_PAUSE", 0.0)
    said: list[bytes] = []
    reader = Reader(run, said.append)
    for _ in range(3):
        reader.newest()
    assert len(said) == 1
    append(run, step(21))
    reader.newest()
    assert len(said) == 2
    assert b"\n" not in said[0]


def test_trouble_while_reading_is_told_and_passes(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Any) -> bool:
        raise OSError("the disk is away")

    with monkeypatch.context() as patch:
        patch.setattr(live.Facts, "read", broken)
        assert "the disk is away" in reader.newest()["watch"]["problem"]
    recovered = reader.newest()
    assert recovered["watch"]["problem"] == ""
    assert recovered["training"]["tokens"] == 20 * 128


def test_costly_reading_is_made_rare(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(run, lambda line: None)
    used = 0.0
    monkeypatch.setattr(live.time, "thread_time", lambda: used)
    read = live.Facts.read

    def costly(self: Any) -> bool:
        nonlocal used
        used += 0.05
        return read(self)

    monkeypatch.setattr(live.Facts, "read", costly)
    reader.newest()
    assert reader._pause == live.LEAST_PAUSE, "the first reading takes in the whole log, once"
    reader._read_at = float("-inf")
    reader.newest()
    assert 0.05 / reader._pause < 0.005
    before = used
    reader.newest()
    assert used == before, "within the pause nothing is read"


# The command


def failure(*words: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        cli.app(list(words), standalone_mode=False)
    assert caught.value.attempt
    return caught.value


def test_what_is_no_run_is_refused_but_a_folder_that_waits_for_one_is_not(run: Run, tmp_path: Path) -> None:
    failure("watch", str(tmp_path / "none"))
    (tmp_path / "diary").mkdir()
    (tmp_path / "diary" / "today.txt").write_text("mine")
    failure("watch", str(tmp_path / "diary"))
    (tmp_path / "empty").mkdir()
    assert watch._opened(str(tmp_path / "empty")).path.name == "empty"
    assert failure("watch", str(run.path), "--language", "tlh").exit_code == 2


def test_a_taken_port_is_an_error_where_it_was_named_and_passed_over_where_not(run: Run) -> None:
    with contextlib.closing(local_server.listen(0)) as other:
        taken = other.getsockname()[1]
        assert "in use" in failure("watch", str(run.path), "--port", str(taken)).what
        with contextlib.closing(local_server.listen(None, first=taken)) as next_one:
            assert taken < next_one.getsockname()[1] < taken + local_server.PORTS_TRIED


def test_a_missing_library_is_named_with_its_command(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    error = failure("watch", str(run.path))
    assert "uvicorn" in error.received
    assert error.attempt == "run pip install '.[serve]' in the checkout"


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C is sent as a signal")
def test_ctrl_c_ends_it_quietly_with_open_streams(run: Run) -> None:
    command = [sys.executable, "-m", "daybreak", "watch", str(run.path), "--port", "0", "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == NICENESS
        address = line.split("http://")[1].split("/")[0]
        open_stream = http.client.HTTPConnection(address, timeout=20)
        open_stream.request("GET", "/events")
        events(open_stream.getresponse(), 1)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130
        assert time.monotonic() - began < 5
        assert process.stderr.read() == "interrupted\n"
        open_stream.close()


# In a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    found = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
    )
    if not found:
        pytest.skip("no Chromium is installed")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()


@dataclasses.dataclass
class Seen:
    page: Any
    problems: list[str]

    def says(self, text: str, selector: str = "main", seconds: float = 8) -> None:
        self.page.locator(selector, has_text=text).first.wait_for(timeout=1000 * seconds)

    def connection(self, kind: str) -> None:
        self.page.wait_for_selector(f"#connection[data-kind={kind}]", timeout=10_000)


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[[str], Seen]]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})

    def shown(address: str) -> Seen:
        page = context.new_page()
        problems: list[str] = []
        page.on("console", lambda said: problems.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(address)
        return Seen(page, problems)

    yield shown
    context.close()


def test_a_running_run_is_followed_to_its_end(run: Run, opened: Callable[[str], Seen]) -> None:
    with serving(run) as served:
        with run.alive(lambda: 30.0):
            seen = opened(served.address)
            seen.connection("on")
            seen.says("running", ".state")
            append(run, *(step(n) for n in range(21, 41)), validation(40, 2.345))
            seen.says("2.345")
            seen.page.locator("#loss .chart > svg").wait_for(timeout=10_000)
            append(run, Sample(progress=0.04, used_seconds=14.0, prompt=HOSTILE, text=HOSTILE))
            seen.says(HOSTILE, "#samples")
            append(run, finished(31.0))
        seen.says("finished", ".state")
        seen.connection("ended")
        run.log_file.unlink()  # and the run is begun again
        append(run, *(step(n) for n in range(1, 4)), validation(3, 7.891))
        seen.says("7.891")
        assert seen.page.evaluate("window.struck") is None
        assert seen.page.locator("#samples img, #samples b b").count() == 0
        assert seen.problems == []


def test_a_hostile_page_of_the_first_moment_does_nothing(run: Run, opened: Callable[[str], Seen]) -> None:
    append(run, Sample(progress=0.04, used_seconds=14.0, prompt=HOSTILE, text=HOSTILE))
    hostile = Run(run.path.rename(run.path.with_name("<img src=x onerror='window.struck=1'>")))
    with serving(hostile) as served:
        seen = opened(served.address)
        seen.says(HOSTILE, "#samples")
        seen.says("<img src=x", "h1")
        seen.page.evaluate(
            "document.body.append(Object.assign(document.createElement('script'), {text: 'struck = 2'}))"
        )
        assert seen.page.evaluate("window.struck") is None, "a script that is not ours ran"


def test_a_restart_of_the_server_is_told_and_survived(run: Run, opened: Callable[[str], Seen]) -> None:
    with serving(run) as served:
        port = served.port
        seen = opened(served.address)
        seen.connection("ended")
    seen.connection("lost")
    append(run, validation(20, 3.456))
    with serving(run, port=port):
        seen.connection("ended")
        seen.says("3.456")
        shutil.rmtree(run.path)
        seen.connection("missing")
        seen.says("3.456")


def test_a_reader_is_not_disturbed(run: Run, opened: Callable[[str], Seen]) -> None:
    with serving(run) as served:
        seen = opened(served.address)
        seen.page.locator("#loss .chart > svg").wait_for(timeout=10_000)
        box = seen.page.locator("#loss .plot").bounding_box()
        assert box is not None
        whole = seen.page.text_content("#loss .chart > svg")
        seen.page.mouse.move(box["x"] + box["width"] / 4, box["y"] + 100)
        seen.page.mouse.down()
        seen.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 102, steps=3)
        seen.page.mouse.up()
        seen.page.locator("#loss .reset").wait_for()
        assert seen.page.text_content("#loss .chart > svg") != whole
        seen.page.evaluate("getSelection().selectAllChildren(document.querySelector('h1'))")
        append(run, validation(20, 4.567))
        seen.connection("held")
        assert "4.567" not in seen.page.inner_text("#headline")
        seen.page.evaluate("getSelection().removeAllRanges()")
        seen.says("4.567", "#headline")
        assert seen.page.locator("#loss .reset").is_visible(), "newer facts leave the zoom as it is"
        assert seen.page.text_content("#loss .chart > svg") != whole
        seen.page.locator("#loss .reset").click()
        assert seen.page.locator("#loss .reset").count() == 0


def test_an_empty_folder_in_chinese_waits_for_its_run(tmp_path: Path, opened: Callable[[str], Seen]) -> None:
    empty = Run(tmp_path / "空")
    empty.path.mkdir()
    with serving(empty, language="zh") as served:
        seen = opened(served.address)
        seen.connection("waiting")
        seen.says("等待运行开始", "#connection")
        append(empty, step(1), step(2), validation(2, 5.678))
        seen.says("5.678")
        assert seen.problems == []
