"""The documents: their commands exist and work, their links lead somewhere, and pages in two languages say the same."""

from __future__ import annotations

import ast
import datetime
import importlib.util
import json
import os
import random
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pages
import pytest
import typer.main

from daybreak import cli
from daybreak.core import errors
from daybreak.core.types import Request
from daybreak.planning import settings

sys.path[:0] = [str(pages.ROOT / "benchmarks")]

import techniques as techniques_page  # noqa: E402

GROUP = typer.main.get_command(cli.app)
VERBS = {name: verb for name, verb in GROUP.commands.items() if not verb.hidden}
OPTIONS = {
    name: {
        option
        for parameter in verb.params
        for option in (*parameter.opts, *parameter.secondary_opts)
        if option.startswith("--") and option != "--help"
    }
    for name, verb in VERBS.items()
}
SHORT = "30s"  # what stands in for every longer budget when the pages are carried out


def shown() -> list[tuple[str, pages.Command]]:
    return [(page.name, command) for page in pages.PAGES for command in pages.commands(page)]


# What the pages name, exists


@pytest.mark.parametrize(("page", "command"), shown(), ids=str)
def test_a_documented_command_parses(page, command):
    words = command.words()
    assert words[0] in VERBS
    context = VERBS[words[0]].make_context(words[0], words[1:], resilient_parsing=False)
    assert context.info_name == words[0]


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.name)
def test_verbs_and_options_in_the_prose_exist(page):
    known = set().union(*OPTIONS.values()) | {"--help"} | {flag for p in GROUP.params for flag in p.opts}
    for span in pages.spans(page):
        if re.match(r"daybreak [a-z]", span):
            verb = span.split()[1]
            assert verb in VERBS, span
            assert set(re.findall(r"(?<=\s)--[a-z-]+", span)) <= OPTIONS[verb] | {"--help"}, span
        elif span.startswith("--"):
            assert set(re.findall(r"(?<!\S)--[a-z-]+", span)) <= known, span


def test_the_reference_has_exactly_the_commands_and_options_of_the_command_line():
    text = pages.text_of(pages.ROOT / "docs" / "commands.md")
    sections = dict(part.split("\n", 1) for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:])
    assert set(sections) - {"Environment", "Completion", "Text that begins with a dash"} == set(VERBS)
    for verb, options in OPTIONS.items():
        rows = [line.split("|")[1] for line in sections[verb].splitlines() if line.startswith("| `--")]
        assert set(re.findall(r"`(--[a-z-]+)`", " ".join(rows))) == options, verb
        assert f"`daybreak {verb}" in sections[verb]


def test_the_reference_has_the_defaults_of_the_command_line():
    text = pages.text_of(pages.ROOT / "docs" / "commands.md")
    sections = dict(part.split("\n", 1) for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:])
    for verb, command in VERBS.items():
        rows = dict(re.findall(r"^\| `(--[a-z-]+)` \| (.*?) \|", sections[verb], re.MULTILINE))
        for parameter in command.params:
            name, default = max(parameter.opts, key=len), parameter.default
            if name in rows and type(default) in (int, float, str) and default != "":
                assert re.match(r"\W*([\w.]+(?:[,/]\w+)*)", rows[name])[1] == str(default), (verb, name)


def test_the_page_of_promises_has_every_promise():
    text = pages.text_of(pages.ROOT / "docs" / "reliability.md")
    told = set(re.findall(r"^\| ([^|]+?)(?: \(at most [^|]*\))? \| [\d,]+ \| [\d,]+ \|$", text, re.MULTILINE))
    assert told == promises_of(pages.ROOT / "tests")


def promises_of(folder: Path) -> set[str]:
    """What the marks in the tests promise, their constants worked out."""
    found = set()
    shared: dict[str, str] = {}
    for path in sorted(folder.glob("test_*.py"), key=lambda path: path.name != "test_untrusted_files.py"):
        names = dict(shared)  # the first file's constants are imported by others
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assign | ast.AugAssign) and isinstance(node.value, ast.Constant):
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                if isinstance(target, ast.Name) and isinstance(node.value.value, str):
                    names[target.id] = names.get(target.id, "") * isinstance(node, ast.AugAssign) + node.value.value
            elif isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.promise":
                asked = node.args[0]
                found.add(asked.value if isinstance(asked, ast.Constant) else names[ast.unparse(asked)])
        shared = shared or names
    return found


def test_every_verb_is_shown_at_work():
    at_work = {command.words()[0] for page in pages.PAGES for command in pages.commands(page)}
    assert at_work == set(VERBS)


def test_the_plan_page_has_exactly_the_settings():
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", pages.text_of(pages.ROOT / "docs" / "plan.md"), re.MULTILINE)
    listed = {kind: set(re.findall(r"`(\w+)`", names)) for kind, names in rows if kind not in ("of", "---")}
    counting = listed.pop("`--family ngram` only")
    assert set().union(*listed.values()) == _settings(reproducible=True)
    assert set().union(*listed.values()) - listed["`--reproducible` only"] == _settings()
    assert counting == _settings(family="ngram")


def _settings(**asked) -> set[str]:
    """What --set knows, from the error that lists it."""
    with pytest.raises(errors.UsageError) as raised:
        settings.parsed(Request(sources=(), seconds=60.0, settings={"!": "1"}, **asked))
    return set(raised.value.attempt.removeprefix("one of: ").split(", "))


def test_the_techniques_page_is_what_its_command_writes():
    page = pages.text_of(techniques_page.PAGE)
    assert page == techniques_page.written(page, techniques_page.known_results()), techniques_page.COMMAND


def test_the_errors_page_has_exactly_the_exit_codes():
    rows = re.findall(r"^\| (\d+) \|", pages.text_of(pages.ROOT / "docs" / "errors.md"), re.MULTILINE)
    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.DaybreakError)
    ]
    assert sorted(map(int, rows)) == sorted({0, *(kind.exit_code for kind in kinds)})


# Links, and two languages


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in pages.links(page):
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            assert anchor in pages.anchors(target), f"{page.name}: {link}"


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page):
    for span in pages.spans(page):
        for path in re.findall(r"\b(?:daybreak|benchmarks|tests|examples|docs)/[\w./-]+\.\w+", span):
            assert (pages.ROOT / path).exists(), f"{page.name}: {path}"


def test_every_page_is_reached_from_the_readmes():
    chinese = {one: other for one, other in pages.TWINS if one != pages.README}
    english = [page for page in pages.DOCS if page not in chinese.values()]
    for readme, wanted in ((pages.README, english), (pages.README_ZH, [chinese.get(page, page) for page in english])):
        linked = {(readme.parent / link).resolve() for link in pages.links(readme)}
        assert {page.resolve() for page in wanted} <= linked


@pytest.mark.parametrize("twins", pages.TWINS, ids=lambda twins: twins[0].name)
def test_both_languages_say_the_same(twins):
    english, chinese = map(pages.text_of, twins)
    assert pages.blocks(english) == pages.blocks(chinese)
    one, other = (re.split(r"^## ", text, flags=re.MULTILINE) for text in (english, chinese))
    assert len(one) == len(other)
    for section, same in zip(one, other, strict=True):
        assert pages.numbers(section) == pages.numbers(same), section.splitlines()[0]
    assert len(pages.links(twins[0])) == len(pages.links(twins[1]))
    assert f"({twins[1].name})" in one[0] and f"({twins[0].name})" in other[0]


def test_what_the_readmes_measured_stands_on_the_page_of_benchmarks():
    """There it has its command; a copy that is changed, or a line of the run that was not printed, is found."""
    for readme, page in zip(pages.TWINS[0], pages.TWINS[1], strict=True):
        measured, text = pages.text_of(page), pages.text_of(readme)
        table = next(section for section in re.split(r"^## ", text, flags=re.MULTILINE) if "versus.py" in section)
        scores = re.findall(r"\d+\.\d+", table)
        assert len(scores) > 5
        assert set(scores) <= set(pages.numbers(measured))
        printed = [line.removesuffix(", [...]") for line in pages.blocks(text, "text")[0].splitlines()]
        assert len(printed) > 7
        assert all(line in measured for line in printed)


# What the pages show, works


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with the files that the pages speak of, `daybreak` on its path, and the run of the quick start."""
    from pydoc_data import topics

    folder = tmp_path_factory.mktemp("pages")
    words = [topics.topics[name] for name in sorted(topics.topics)]
    (folder / "novel.txt").write_text("\n\n".join(words[:-8]))
    (folder / "test.txt").write_text("\n\n".join(words[-8:])[:60_000])
    pages_in_chinese = (pages.ROOT / "README.zh.md", pages.ROOT / "docs" / "benchmarks.zh.md")
    phrases = re.findall(r"[\u4e00-\u9fff]{3,}", "".join(page.read_text("utf-8") for page in pages_in_chinese))
    chance = random.Random(0)
    poems = ("\uff0c".join(chance.choices(phrases, k=chance.randint(1, 3))) for _ in range(4000))
    (folder / "诗词.txt").write_text("。\n".join(poems), encoding="utf-8")
    rows = [json.dumps({"title": str(i), "text": text[:2000]}) for i, text in enumerate(words)]
    (folder / "articles.jsonl").write_text("\n".join(rows))
    asked = [
        {"query": f"Section {i} says", "choices": ["a thing.", "nothing at all."], "gold": i % 2} for i in range(20)
    ]
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    (folder / "last-words.jsonl").write_text('{"context": "a list of", "continuation": "strings"}\n')
    (folder / "tasks").mkdir()
    (folder / "tasks" / "my_task.yaml").write_text(
        pages.blocks(pages.text_of(pages.ROOT / "docs/evaluation.md"), "yaml")[0]
    )
    (folder / "corpus").mkdir()
    size = 0
    for path in sorted(Path(json.__file__).parents[1].glob("*.py")):
        if size < 2_500_000:
            size += path.stat().st_size
            (folder / "corpus" / path.name).write_bytes(path.read_bytes())
    script = folder / "bin" / "daybreak"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m daybreak "$@"\n')
    script.chmod(0o755)
    done = carried_out(folder, pages.Command("daybreak run novel.txt --for 20m --out runs/novel --family gpt"))
    assert done.returncode == 0, done.stderr
    return folder


def carried_out(place: Path, command: pages.Command) -> subprocess.CompletedProcess[str]:
    line = command.line.replace("runs/NAME", "runs/novel")
    if command.words()[0] != "plan":  # which takes as long whatever the budget is
        line = re.sub(r"(--for) (?!20s\b)\S+", rf"\1 {SHORT}", line)
    line = line.replace("> novel.txt", "> sample.txt")  # runs/novel is of the text that is there
    if "--until" in line:
        end = datetime.datetime.now() + datetime.timedelta(seconds=40)
        line = re.sub(r"(--until) \S+", rf"\1 {end:%Y-%m-%dT%H:%M:%S}", line)
    if command.words()[0] == "watch":
        return watched(place, line)
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], cwd=place, env=_environment(place), capture_output=True, text=True
    )


def watched(place: Path, line: str) -> subprocess.CompletedProcess[str]:
    """Opens the page that the command serves, and ends the command as its user would."""
    process = subprocess.Popen(
        ["bash", "-c", f"exec {line} --no-open"],
        cwd=place,
        env=_environment(place),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    address = re.search(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())
    if address:
        with urllib.request.urlopen(address[0], timeout=20) as answer:
            assert "novel" in answer.read().decode()
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    code = 0 if address and process.returncode in (0, 130) else process.returncode
    return subprocess.CompletedProcess(line, code, out, err)


def _environment(place: Path) -> dict[str, str]:
    return {**os.environ, "PATH": f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}", "WANDB_MODE": "offline"}


@pytest.mark.long
@pytest.mark.parametrize("page", [pages.README, *pages.DOCS], ids=lambda page: page.name)
def test_the_commands_and_code_of_a_page_work(page, place):
    missing = []
    for command in pages.commands(page):
        done = carried_out(place, command)
        if done.returncode and "pip install '.[" in done.stderr:
            missing.append(f"an extra, for `{command.line}`")
            continue
        if done.returncode and "the Ray cluster cannot be reached" in done.stderr:
            missing.append(f"a cluster, for `{command.line}`")
            continue
        if done.returncode == 5 and "the deadline came at step" in done.stderr and "--reproducible" in command.line:
            missing.append(f"a longer run, or a quieter machine, for `{command.line}`")
            continue
        if done.returncode and "there is nothing to measure" in done.stderr:
            # A run of half a minute has no technique but those of the machine, and this machine may lack them all.
            missing.append(f"a longer run, or a C++ compiler, for `{command.line}`")
            continue
        assert done.returncode == command.exit_code, f"{command.line}\n{done.stdout}{done.stderr}"
    code = "\n".join(_runnable(pages.blocks(pages.text_of(page), "python")))
    done = subprocess.run(
        # Half a minute is too short for a network on a busy machine, and transformers cannot open counts.
        [sys.executable, "-c", code.replace('for_="20m"', 'for_="1m", family="gpt"')],
        cwd=place,
        env=_environment(place),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    if missing:
        pytest.skip(f"missing here: {'; '.join(missing)}")


def _runnable(code: list[str]) -> list[str]:
    """Without the blocks that need transformers, where it is not installed."""
    return [block for block in code if "transformers" not in block or importlib.util.find_spec("transformers")]
