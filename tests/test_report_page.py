"""Report: the facts by hand, every state of a run, texts that would do harm, and the page in a real browser."""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import itertools
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import daybreak
from daybreak import techniques
from daybreak.core.errors import UsageError
from daybreak.core.messages import localized
from daybreak.core.metrics import METRICS
from daybreak.core.records import Event, Log, Measurement, Phase, Sample, Step, Touched, Validation
from daybreak.core.run import Run, write_json
from daybreak.core.shapes import NgramShape
from daybreak.core.types import (
    UNASKED,
    Account,
    Corpus,
    Machine,
    OptimizerChoice,
    Plan,
    Request,
    ScheduleChoice,
    TechniqueChoice,
)
from daybreak.data import personal, quality
from daybreak.models import families
from daybreak.planning.planner import select_techniques
from daybreak.views import pages, report_data, report_page
from daybreak.views.curves import HEAD, Curves
from daybreak.views.run_facts import Facts

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> \u2028 <!-- & {{style}}"
NAME = "<img src=x onerror=alert(3)>"
CORPUS = Corpus(
    sources=("a<b>.txt",),
    heldout="",
    threshold=0.1,
    digest="d1ge5t",
    files=1,
    documents=100,
    bytes=1_000_000,
    heldout_documents=2,
    heldout_bytes=20_000,
    replaced_bytes=0,
    languages={"latin": 0.9, "cjk": 0.1},
    bytes_per_token={"257": 1.0},
    tokens_per_second=1e6,
    bytes_per_second=1e7,
    xz_bits_per_byte=2.9,
    ngram_bits_per_byte=2.4,
    ngram_unit="byte",
    ngram_order=5,
    ngram_bytes=100_000,
    ngram_fall=0.1,
)


def step(number: int, **changes: Any) -> Step:
    fields: dict[str, Any] = {
        "step": number,
        "progress": min(1.0, number / 100),
        "micro_batch": 8,
        "accumulation": 2,
        "skipped": False,
        "nats": 1 + 4 / number,
        "gradient_norm": 0.5,
        "learning_rate_factor": 1.0,
        "tokens": 256 * number,
        "seconds": 0.5,
        "used_seconds": 10 + 0.5 * number,
    }
    return Step(**(fields | changes))


@pytest.fixture
def written(tmp_path: Path, plan: Callable[..., Plan]) -> Callable[..., Run]:
    """A run's folder of 100 s: imports 4, scan 6, training 50 in 100 steps, and then whatever is given."""

    def made(name: str = "run", *more: Any, steps: int = 100, pid: int = 0, **changes: Any) -> Run:
        run = Run(tmp_path / name)
        run.make()
        request = Request(sources=("a file's.txt",), seconds=100.0, settings={"layers": "2"})
        write_json(run.request_file, request.to_json())
        given = plan(budget=plan().budget.replace(seconds=100.0), request=request, **changes)
        write_json(run.plan_file, given.to_json())
        write_json(run.corpus_file, CORPUS.to_json())
        log = Log(run.log_file)
        log.append(Phase(name="imports", seconds=4.0, used_seconds=4.0))
        log.append(Phase(name="scan", seconds=6.0, used_seconds=10.0))
        for number in range(1, steps + 1):
            log.append(step(number))
        if steps:
            log.append(Validation(step=50, progress=0.5, used_seconds=35, tokens=1, figure=2, perplexity=4, bytes=9))
            log.append(Sample(progress=0.5, used_seconds=35.0, prompt="Once", text=HOSTILE))
            log.append(Phase(name="training", seconds=0.5 * steps, used_seconds=10 + 0.5 * steps))
        for record in more:
            log.append(record)
        log.close()
        write_json(run.heartbeat_file, {"used_seconds": 10.5 + 0.5 * steps, "pid": pid, "start": 1})
        return run

    return made


END = (
    Measurement(name="bits_per_byte", value=1.9, unit="bits/byte", bytes=10_000),
    Measurement(name="bits_per_byte", value=1.7, unit="bits/byte", needs="model/ and mixture/", bytes=10_000),
    Event(name="warning", used_seconds=60.0, detail={"what": HOSTILE}),
    Event(name="finished", used_seconds=60.25, detail={"bits_per_byte": 1.9}),
)


# Facts


def test_the_phases_and_the_unused_rest_add_up_to_the_budget(written: Callable[..., Run]) -> None:
    facts = report_page.read(written("run", *END))
    spent = {phase["name"]: phase["seconds"] for phase in facts["phases"]}
    assert spent == {"imports": 4.0, "scan": 6.0, "training": 50.0, "leaving": pytest.approx(0.5)}
    assert sum(spent.values()) + facts["budget"]["unused"] == pytest.approx(100.0, abs=1e-9)


def test_the_figures_and_their_ratio_to_the_plan(written: Callable[..., Run]) -> None:
    facts = report_page.read(written("run", *END))
    assert facts["result"]["model"]["value"] == 1.9
    assert [more["needs"] for more in facts["result"]["more"]] == ["model/ and mixture/"]
    assert facts["result"]["scored_share"] == 0.5
    rows = {row["name"]: row for row in facts["comparison"]}
    assert rows["bits_per_byte"]["ratio"] == pytest.approx(1.9 / 2.0)
    assert rows["tokens_per_second"]["fact"] == pytest.approx(16 * 16 / 0.5)  # rows x context, a step of half a second
    assert rows["seconds"]["fact"] == pytest.approx(60.5)
    assert facts["commands"]["run"] == """daybreak run --for 100s --set layers=2 'a file'"'"'s.txt'"""


def test_facts_are_read_on_from_where_the_last_reading_ended(written: Callable[..., Run]) -> None:
    run = written("run", steps=10)
    facts = Facts(run)
    assert facts.read()
    assert not facts.read()
    line = json.dumps({"record": "step", **vars(step(11))})
    with run.log_file.open("a") as file:
        file.write(line[:30])
        file.flush()
        facts.read()
        assert report_data.of_run(facts)["training"]["steps"] == 10  # the line is not whole yet
        file.write(line[30:] + "\n" + '{"record": "step", "torn\n' + '{"record": "unknown"}\n[]\n')
    assert facts.read()
    assert report_data.of_run(facts)["training"]["steps"] == 11
    run.log_file.write_text("")
    facts.read()
    assert report_data.of_run(facts)["training"] is None  # another log: nothing of the old one is left


def test_a_step_repeated_after_a_resume_replaces_what_it_repeats(written: Callable[..., Run]) -> None:
    again = [step(n, nats=9.0, used_seconds=100.0 + n) for n in (41, 42)]
    run = written("run", Event(name="resumed", used_seconds=99.0, detail={"step": 40}), *again)
    facts = report_page.read(run)
    assert facts["training"]["steps"] == 42
    assert facts["curves"]["loss"]["step"] == list(range(1, 43))
    assert not facts["validations"], "the validation at step 50 belongs to steps that do not stand"
    assert not facts["samples"]


def test_thinning_keeps_extremes_the_beginning_and_a_number_of_points() -> None:
    curves = Curves(400)
    for number in range(1, 20_001):
        odd = {
            7_777: {"nats": 50.0, "gradient_norm": 99.0},
            9_001: {"nats": 0.01},
            5_000: {"skipped": True, "nats": float("nan")},
        }
        curves.append(vars(step(number, **odd.get(number, {}))))
    shown = curves.json(unit_per_nat=1.0, context_length=16)
    assert max(shown["loss"]["values"]) == 50.0
    assert min(shown["loss"]["values"]) == 0.01
    assert max(shown["gradient"]["norm"]) == 99.0
    assert shown["loss"]["step"][:HEAD] == list(range(1, HEAD + 1))
    assert shown["loss"]["step"] == sorted(shown["loss"]["step"])
    assert 200 <= len(shown["loss"]["step"]) <= 2 * HEAD + 400
    assert curves.totals()["skipped"] == 1
    assert curves.totals()["seconds"] == pytest.approx(0.5 * 19_999)
    assert shown["rates"]["tokens_per_second"][-1] == pytest.approx(512.0)


def test_a_technique_is_told_by_what_it_did_and_what_nobody_asked_for_is_marked(
    written: Callable[..., Run], plan: Callable[..., Plan], machine: Callable[..., Machine]
) -> None:
    _, refused = select_techniques(plan(), machine(), Request(sources=(), seconds=9.0), ())
    chosen = ("html_text", "unicode_repair", "kernels")
    run = written(
        "run",
        Touched(technique="kernels", seam="module", places=3),
        Touched(technique="kernels", seam="optimizer", places=0),
        *END,
        techniques=tuple(TechniqueChoice(name=name) for name in chosen),
        refused={name: reason for name, reason in refused.items() if name not in chosen},
    )
    nothing = dict.fromkeys(("bytes", "removed_documents", "removed_bytes", "changed_documents", "fewer_bytes"), 0)
    accounts = (
        Account(name="html_text", documents=9, **{**nothing, "changed_documents": 5, "removed_documents": 4}),
        Account(name="unicode_repair", documents=5, **nothing),
    )
    write_json(run.corpus_file, CORPUS.replace(accounts=accounts).to_json())
    told = {one["name"]: one for one in report_page.read(run)["techniques"]}
    assert told["html_text"]["account"] == {
        "documents": 9,
        "changed_documents": 5,
        "removed_documents": 4,
        "removed_bytes": 0,
    }
    assert told["unicode_repair"]["account"]["changed_documents"] == 0
    assert told["kernels"]["account"] is None
    optional = {name for name, one in told.items() if one.get("optional")}
    by_default = {name for name in techniques.names() if techniques.class_of(name).default}
    assert optional and not optional & by_default, "what is on by default was refused for a reason"
    assert {"dropout", "packing", "ema"} <= optional


def test_before_the_first_step_the_page_knows_what_is_going_on_and_for_how_long(written: Callable[..., Run]) -> None:
    def beginning(name: str, *phases: str, used: float) -> dict[str, Any] | None:
        run = written(name, *(Phase(name=one, seconds=1.0, used_seconds=12.0) for one in phases), steps=0, **planned)
        write_json(run.heartbeat_file, {"used_seconds": used, "pid": os.getpid(), "start": 1})
        facts = report_page.read(run)
        assert facts["state"] == "running"
        return facts["now"]

    seconds = {"encode": 8.0, "counting": 5.0, "compile": 20.0, "training": 40.0}
    predicted = written("any").plan().predicted.replace(phase_seconds=seconds)
    planned = {"predicted": predicted}
    assert beginning("a", used=11.0) == {"phase": "probe", "seconds": 1.0, "left": None}
    assert beginning("b", "probe", "plan", used=14.0) == {"phase": "encode", "seconds": 2.0, "left": 6.0}
    assert beginning("c", "probe", "plan", used=99.0)["left"] == 0.0  # type: ignore[index]
    assert beginning("d", "encode", "build", used=13.0) == {"phase": "counting", "seconds": 1.0, "left": 4.0}
    begun = beginning("e", "encode", "build", "counting", used=16.0)
    assert begun == {"phase": "training", "seconds": 4.0, "left": 16.0}
    assert report_page.read(written("f", *END))["now"] is None


# States


def test_every_state_of_a_run_has_a_page(
    written: Callable[..., Run], tmp_path: Path, plan: Callable[..., Plan]
) -> None:
    own = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]) if Path("/proc").exists() else 0
    crashed = written("crashed", pid=2**22 + 1)
    os.utime(crashed.heartbeat_file, (1, 1))
    running = written("running", pid=os.getpid())
    write_json(running.heartbeat_file, {"used_seconds": 60.5, "pid": os.getpid(), "start": own})
    counted = written("counted", *END, steps=0, shape=NgramShape(order=8, unit="byte", vocabulary=257))
    empty = Run(tmp_path / "empty")
    empty.path.mkdir()
    write_json(empty.request_file, Request(sources=(), seconds=0.0).to_json())
    planned = Run(tmp_path / "planned")
    planned.path.mkdir()
    planned.plan_file.write_text(json.dumps(plan().to_json()))
    planned.log_file.write_text("\n\nnot json\n")
    broken = written("broken")
    broken.plan_file.write_text('{"schema": 99}')
    broken.corpus_file.write_text("{")
    broken.heartbeat_file.write_text("[")
    broken.amendments_file.write_text('{"amendment": "budget", "seconds": 120}\n{"torn')
    runs = {
        "finished": written("finished", *END),
        "interrupted": written("interrupted"),
        "crashed": crashed,
        "running": running,
        "prepared": empty,
        "planned": planned,
    }
    for state, run in runs.items():
        assert report_page.read(run)["state"] == state
    for run in (*runs.values(), counted, broken):
        for language in pages.LANGUAGES:
            page_file, data_file = report_page.write(run, language=language)
            assert "<main" in page_file.read_text(encoding="utf-8")
            json.loads(
                data_file.read_text(encoding="utf-8"), parse_constant=lambda name: pytest.fail(f"{name} is no JSON")
            )
    facts = report_page.read(broken)
    assert set(facts["unreadable"]) == {"plan.json", "corpus.json"}
    assert facts["budget"]["seconds"] == 120


def test_errors_are_for_users(written: Callable[..., Run], tmp_path: Path) -> None:
    run = written("run", steps=1)
    with pytest.raises(UsageError, match="language"):
        report_page.write(run, language="fr")
    with pytest.raises(UsageError, match="html"):
        report_page.write(run, out=str(tmp_path / "report.pdf"))
    with pytest.raises(UsageError, match="written"):
        report_page.write(run, out=str(tmp_path / "no" / "such" / "report.html"))


def test_a_report_that_fails_does_not_fail_the_run(
    written: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = written("run", steps=1)
    assert report_page.at_the_end(run) == ""

    def broken(run: Run) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(report_page, "read", broken)
    assert "ZeroDivisionError" in report_page.at_the_end(run)


# Words and safety


def test_both_languages_have_all_words_with_the_same_places() -> None:
    for key, line in json.loads(pages.web("words.json")).items():
        assert set(line) == set(pages.LANGUAGES), key
        places = {language: sorted(set(re.findall(r"\{\w+\}", text))) for language, text in line.items()}
        assert places["en"] == places["zh"], key
    scripts = "".join(map(pages.web, ("report.js", "sections.js", "parts.js")))
    used = set(re.findall(r'\bsay\("([^"]+)"', scripts)) | set(
        re.findall(r'"((?:loss|time|budget|told|lede)\.\w+)"', scripts)
    )
    assert used <= set(pages.words("en")), used - set(pages.words("en"))


def test_what_cleaning_counts_has_a_name_in_both_languages() -> None:
    noted = set()
    for path in Path(quality.__file__).parent.glob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "note":
                noted |= {one.value for one in ast.walk(call.args[0]) if isinstance(getattr(one, "value", 0), str)}
    reasons = re.findall(r'return "([a-z ]+)"', Path(quality.__file__).read_text(encoding="utf-8"))
    kinds = {number.kind for number in personal._NUMBERS}
    words = pages.words("zh")
    plain = {
        one
        for one in (*noted, *reasons, *kinds)
        if isinstance(one, str) and "evaluation" not in one and "kept" not in one
    }
    assert len(plain) > 20
    assert {one for one in plain if f"count.{one}" not in words} == set()


def test_whatever_a_plan_decides_and_a_run_amends_has_a_name_in_both_languages() -> None:
    networks = [family for family in families.every() if family.rung is not None]
    kinds = (*(family.shape for family in networks), OptimizerChoice, ScheduleChoice)
    settings = {field.name for kind in kinds for field in dataclasses.fields(kind)} - {"name"}
    words = pages.words("zh")
    assert {name for name in settings if f"decision.{name}" not in words} == set()
    names = {family.name for family in families.OURS}
    assert len(names) > len(networks) and {name for name in names if f"lede.{name}" not in words} == set()
    assert {name for name in METRICS for kind in ("unit", "unit.loss") if f"{kind}.{name}" not in words} == set()
    source = "".join(path.read_text(encoding="utf-8") for path in Path(daybreak.__file__).parent.rglob("*.py"))
    amended, told = re.findall(r'\.amend\("([^"]+)"', source), re.findall(r'Event\(name="([^"]+)"', source)
    assert {name for name in amended if f"amendment.{name}" not in words} == set() != set(amended)
    assert {name for name in told if f"event.{name}" not in words} <= {"finished", "versions", "machine", "claims"}


def test_texts_cannot_leave_their_place(written: Callable[..., Run]) -> None:
    html = report_page.page(report_page.read(written(NAME, *END)))
    assert "alert(1)</script>" not in html
    assert "<img src=x" not in html
    assert html.count("{{style}}") >= 1, "a text that looks like a place of the template is left as it is"
    blocks = re.findall(r'<script type="application/json" id="facts">(.*?)</script>', html, re.S)
    assert json.loads(blocks[0])["samples"][0]["text"] == HOSTILE
    assert "\u2028" not in blocks[0]
    scripts = [pages.web(name) for name in ("parts.js", "charts.js", "sections.js", "report.js")]
    assert not any("</script" in script or "<!--" in script for script in scripts)
    assert "innerHTML" not in "".join(scripts)


def test_a_page_is_small_and_only_a_live_one_asks_for_anything(written: Callable[..., Run]) -> None:
    facts = report_page.read(written("run", *END, steps=4000))
    live, kept = report_page.page(facts, live=True), report_page.page(facts)
    assert len(kept.encode()) < 400_000, "with the curves of 4,000 steps"
    assert "connect-src 'self'" in live
    assert "connect-src 'none'" in kept


# In a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("playwright is not installed")
    chromium = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )
    if chromium is None:
        pytest.skip("there is no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


class Opened:
    """A page and what went wrong in it: messages, errors, dialogs, and requests to elsewhere."""

    def __init__(self, browser: Any, path: Path, **settings: Any) -> None:
        self.page = browser.new_context(**settings).new_page()
        self.wrong: list[str] = []
        self.page.on("console", lambda message: self.wrong.append(message.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.wrong.append("dialog"), dialog.dismiss()))
        self.page.on(
            "request", lambda asked: self.wrong.append(asked.url) if asked.url[:5] not in ("file:", "data:") else None
        )
        self.page.goto(path.resolve().as_uri())


CONTRAST = """(selector) => {
  const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (rgb) => [0.2126, 0.7152, 0.0722].reduce((sum, share, i) => {
    const c = rgb[i] / 255;
    return sum + share * (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  }, 0);
  const element = document.querySelector(selector);
  let under = element;
  while (under && numbers(getComputedStyle(under).backgroundColor)[3] === 0) under = under.parentElement;
  const [a, b] = [getComputedStyle(element).color, getComputedStyle(under || document.body).backgroundColor]
    .map((text) => light(numbers(text)));
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
}"""


def test_the_page_in_a_browser(browser: Any, written: Callable[..., Run]) -> None:
    page_file, _ = report_page.write(written(NAME, *END))
    opened = Opened(browser, page_file, viewport={"width": 1280, "height": 900}, color_scheme="light")
    page = opened.page
    page.wait_for_selector("#loss .chart > svg")
    assert page.inner_text("h1") == NAME
    assert "alert(1)" in page.inner_text("#samples")
    assert page.evaluate("document.querySelectorAll('img').length") == 0
    mark = page.locator(".mark").first
    mark.scroll_into_view_if_needed()
    mark.hover()
    assert HOSTILE.split(" ")[0] in page.inner_text("#tooltip")
    page.keyboard.press("Escape")
    assert not page.is_visible("#tooltip")
    box = page.locator("#loss .plot").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 3)
    assert "training, mean" in page.inner_text("#loss .readout")
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3')].map((h) => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(levels))
    for _ in range(2):
        for selector in (
            ".lede",
            ".quiet",
            ".figures .main dd",
            "nav a",
            "thead th",
            ".toggle",
            "summary",
            "small",
            "footer p",
        ):
            assert page.evaluate(CONTRAST, selector) >= 4.5, selector
        page.focus(".theme")
        page.keyboard.press("Enter")
    for toggle in range(2):  # logarithmic time, and loss too
        page.click(f"#loss .toggle >> nth={toggle}")
        assert page.get_attribute(f"#loss .toggle >> nth={toggle}", "aria-pressed") == "true"
        for anchor in ("end", "middle"):  # of the axis upwards, and of the other
            told = page.locator(f"#loss .chart > svg > text[text-anchor={anchor}]").all_text_contents()
            assert len(told) > 3 and len(told) == len(set(told)), "every tick has a number of its own"
    assert opened.wrong == []


@pytest.mark.parametrize(
    ("model", "mixed", "told", "best"),
    [
        (1.9, 1.7, "The network with its n-gram counts mixed in is the best, at 1.700", "1.700"),
        (1.9, None, "The network is the best, at 1.900", "1.900"),
        (2.6, None, "Counting is still better than this model: Kneser-Ney counts, 2.400", "2.600"),
        (1.6, 1.7, "The network is the best, at 1.600", "1.600"),
    ],
)
def test_the_page_leads_with_the_verdict_and_the_best_figure(
    browser: Any, written: Callable[..., Run], model: float, mixed: float | None, told: str, best: str
) -> None:
    more = [] if mixed is None else [Measurement(name="bits_per_byte", value=mixed, unit="bits/byte", needs="both")]
    run = written("run", Measurement(name="bits_per_byte", value=model, unit="bits/byte"), *more, *END[2:])
    opened = Opened(browser, report_page.write(run)[0])
    assert told in opened.page.inner_text(".verdict-line")
    assert opened.page.inner_text(".figures .main dd") == best
    places = opened.page.evaluate("[...document.querySelectorAll('.places .dot')].map((e) => parseFloat(e.style.left))")
    assert places == sorted(places) and places[-1] - places[0] > 70, "the differences fill the axis"
    assert "The axis begins at" in opened.page.inner_text(".compared .caption")


def test_the_sentence_at_the_end_of_the_run_leads_the_page_and_its_own_counts_stand_beside(
    browser: Any, written: Callable[..., Run]
) -> None:
    said = "Best result: the network with its n-gram counts, 1.70 bits per byte. <b>generate</b> uses both."
    detail = {"bits_per_byte": 1.9, "mixture": {"counts_bits_per_byte": 2.05}, "verdict": said}
    run = written("run", *END[:2], Event(name="finished", used_seconds=60.25, detail=detail))
    facts = report_page.read(run)
    assert (facts["result"]["verdict"], facts["result"]["counts"]) == (said, 2.05)
    page = Opened(browser, report_page.write(run)[0]).page
    assert page.inner_text(".verdict-line") == said
    assert "its n-gram counts alone" in page.inner_text(".places") and "2.050" in page.inner_text(".places")
    assert "Kneser-Ney" not in page.inner_text(".places"), "which was of a part of the text"
    chinese = Opened(browser, report_page.write(run, language="zh")[0]).page
    assert "1.700" in chinese.inner_text(".verdict-line") and "generate" not in chinese.inner_text(".verdict-line")


def test_the_table_of_techniques_says_what_was_done_and_folds_what_nobody_asked_for(
    browser: Any, written: Callable[..., Run], plan: Callable[..., Plan], machine: Callable[..., Machine]
) -> None:
    _, refused = select_techniques(plan(), machine(), Request(sources=(), seconds=9.0), ())
    run = written(
        "run", *END, techniques=(TechniqueChoice(name="quality"), TechniqueChoice(name="ema")), refused=refused
    )
    sums = {"documents": 9, "bytes": 99, "removed_bytes": 2_010_000, "fewer_bytes": 0}
    account = Account(name="quality", removed_documents=440, changed_documents=0, **sums)
    write_json(run.corpus_file, CORPUS.replace(accounts=(account,)).to_json())
    page = Opened(browser, report_page.write(run)[0]).page
    told = page.inner_text("#decisions")
    assert "documents removed: 440 (2.01 MB)" in told and "yet" not in told
    optional = sum(reason.startswith(UNASKED) for reason in refused.values())
    assert f"{optional} more are off unless asked for" in told and "dropout" not in told
    page.click("#decisions summary")
    assert "dropout" in page.inner_text("#decisions")


def test_a_chinese_page_has_the_planners_reasons_in_chinese_and_its_data_in_english(
    written: Callable[..., Run], plan: Callable[..., Plan], machine: Callable[..., Machine]
) -> None:
    _, refused = select_techniques(plan(), machine(), Request(sources=(), seconds=9.0), ())
    reasons = {"layers": "you set layers=4", "seed": "a reason that has no translation"}
    run = written("run", *END, reasons=reasons, refused=refused)
    page_file, data_file = report_page.write(run, language="zh")
    html = page_file.read_text(encoding="utf-8")
    [block] = re.findall(r'<script type="application/json" id="facts">(.*?)</script>', html, re.S)
    shown = json.loads(block)
    assert shown["reasons"] == {"layers": localized("you set layers=4", "zh"), "seed": reasons["seed"]}
    assert shown["reasons"]["layers"] != reasons["layers"], "the table of messages has this sentence"
    told = {one["name"]: one["reason"] for one in shown["techniques"] if not one["on"]}
    assert told == {name: localized(reason, "zh") for name, reason in refused.items()} != refused
    assert json.loads(data_file.read_text(encoding="utf-8"))["reasons"] == reasons


def test_while_it_runs_the_last_score_stands_beside_the_baselines(browser: Any, written: Callable[..., Run]) -> None:
    page = Opened(browser, report_page.write(written("run"))[0]).page  # its last score is 2 bits, at half the way
    places = page.locator(".places li").all_inner_texts()
    assert ["so far, at 50%" in line for line in places] == [True, False, False] and "best" in places[0]
    first = Opened(browser, report_page.write(written("early", steps=0, pid=os.getpid()))[0]).page
    assert first.locator(".places").count() == 0, "nothing of its own to compare yet"
    assert first.inner_text(".now").startswith("Now: timing this machine, for 1 s.")
    assert "no figure" not in first.inner_text("main") and "no step" not in first.inner_text("#loss")


def test_sections_without_content_are_left_out_of_the_page_and_of_the_menu(
    browser: Any, written: Callable[..., Run]
) -> None:
    page = Opened(browser, report_page.write(written("run", *END))[0]).page
    for name in ("gains", "tasks"):
        assert not page.is_visible(f"#{name}") and not page.is_visible(f'nav a[href="#{name}"]')
    assert page.is_visible("#rates") and page.is_visible('nav a[href="#rates"]')
    counted = written("counted", *END, steps=0, shape=NgramShape(order=8, unit="byte", vocabulary=257))
    page = Opened(browser, report_page.write(counted)[0]).page
    for name in ("loss", "rates", "samples"):
        assert not page.is_visible(f"#{name}") and not page.is_visible(f'nav a[href="#{name}"]')
    assert page.is_visible("#data")
    fast = Phase(name="training", seconds=9.0, used_seconds=30.0)
    counted = written("counted-too", fast, *END, steps=0, shape=NgramShape(order=8, unit="byte", vocabulary=257))
    told = Opened(browser, report_page.write(counted)[0]).page.inner_text("#time")
    assert "counting n-grams" in told and "training" not in told


def test_the_loss_begins_where_training_does_and_every_language_has_a_name(
    browser: Any, written: Callable[..., Run]
) -> None:
    late = [step(number, used_seconds=40 + 0.5 * number) for number in range(1, 101)]
    page = Opened(browser, report_page.write(written("run", *late, steps=0))[0]).page
    page.locator("#loss").scroll_into_view_if_needed()
    line = page.locator("#loss .chart > svg path >> nth=0")
    box, plot = line.bounding_box(), page.locator("#loss .plot").bounding_box()
    assert box["x"] - plot["x"] < 0.1 * plot["width"], "no empty part before the first step"
    assert "the first step began after 40" in page.text_content("#loss .chart > svg")
    codes = ["en", "zh", "gcr", "ace", "vo", "zxx", "und"]
    assert not set(page.evaluate("(codes) => codes.map(languageName)", codes)) & set(codes)


def test_a_phone_scrolls_no_page_sideways(browser: Any, written: Callable[..., Run]) -> None:
    for name, language, more in (("long-" * 30, "en", END), ("zh", "zh", ())):
        page_file, _ = report_page.write(written(name, *more), language=language)
        phone = {"width": 390, "height": 844}
        opened = Opened(browser, page_file, viewport=phone, has_touch=True, color_scheme="dark")
        opened.page.locator("#loss").scroll_into_view_if_needed()
        opened.page.wait_for_selector("#loss .chart > svg")
        opened.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        assert opened.page.evaluate("document.documentElement.scrollWidth") == 390
        assert opened.page.get_attribute("html", "lang") == {"en": "en", "zh": "zh-CN"}[language]
        opened.page.locator(".mark").first.tap()
        assert "alert(1)" in opened.page.inner_text("#tooltip")
        assert opened.wrong == []


@pytest.mark.parametrize(("higher", "told"), [(True, "better than its band"), (False, "worse than its band")])
def test_more_is_better_where_the_headline_says_so(
    browser: Any, written: Callable[..., Run], tmp_path: Path, higher: bool, told: str
) -> None:
    facts = report_page.read(written("run", *END))
    assert facts["comparison"][0]["higher"] is False
    facts["comparison"][0] |= {"low": 0.4, "high": 0.6, "fact": 0.9, "higher": higher}
    (tmp_path / "page.html").write_text(report_page.page(facts), encoding="utf-8")
    assert told in Opened(browser, tmp_path / "page.html").page.inner_text("#comparison")


def test_what_was_measured_is_in_the_page_and_fits_a_phone(browser: Any, written: Callable[..., Run]) -> None:
    run = written("run", *END)
    interval = {"low": -0.02, "high": 0.4}
    row = {
        "name": NAME,
        "verdict": "gain",
        "diverged": "",
        "negligible": False,
        "step_time": {"ratio": 0.8, "low": 0.79, "high": 0.81},
        "equal_steps": {"difference": 0.01, "low": None, "high": None, "pairs": [0.01]},
        "equal_time": {"difference": -0.1, **interval},
        "time_saved": {"share": 0.2, **interval},
        "seeds": 3,
        "modes": {"with": "eager", "without": "kernels"},
        "start": {"cold": {"with": 30.0, "without": 1.0}, "warm": {"with": 4.0, "without": 1.0}},
        "cold_start": {"time_saved": {"share": -0.3, **interval}, "verdict": "loss"},
        "memory": {"with": 10**8, "without": 2 * 10**8, "ratio": 0.5},
        "rate_factor": None,
    }
    bare = {**row, "name": "nothing", "verdict": "not measured", "seeds": 0}
    for key in ("step_time", "equal_steps", "equal_time", "time_saved", "start", "cold_start", "memory"):
        bare[key] = None
    method = {"steps": 400, "share": 0.25, "most_seeds": 8}
    write_json(run.measure_file, {"schema": 2, "rows": [row, bare], "method": method, "missing": ["one"]})
    scores = {"accuracy": {"value": 0.75, "low": 0.5, "high": 0.9}, "f1": {"value": "none", "low": None, "high": None}}
    task = {"name": NAME, "kind": "pairs", "items": 40, "chance": 0.5, "scores": scores}
    write_json(run.task_scores_file, {"schema": 1, "tasks": {NAME: task}})
    page_file, _ = report_page.write(run, language="zh")
    opened = Opened(browser, page_file, viewport={"width": 390, "height": 844}, has_touch=True)
    asked = opened.page.inner_text("#tasks")
    assert NAME in asked and "准确率" in asked and "0.75" in asked and "none" in asked and "40" in asked
    told = opened.page.inner_text("#gains")
    assert NAME in told and "有收益" in told and "20.0%" in told and "400" in told and "融合内核" in told
    left, right = opened.page.evaluate(
        "[...document.querySelectorAll('#gains .interval')].map((e) => [e.style.left, e.style.width])"
    )[0]
    assert (left, right) == ("47.5%", "52.5%")  # of a line that ends at the largest figure, 40%
    assert opened.page.evaluate("document.documentElement.scrollWidth") == 390
    assert opened.wrong == []
    write_json(run.measure_file, {"schema": 9})
    write_json(run.task_scores_file, {"schema": 9})
    assert report_page.read(run)["measured"] is None and report_page.read(run)["tasks"] == []
