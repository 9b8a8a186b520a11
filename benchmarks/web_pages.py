"""How much of real pages' text daybreak keeps, and how much of what stands around it; and its peers on the same pages.

    python benchmarks/web_pages.py --pages PAGES --peers-python PEERS/bin/python

The pages are in packages of Debian and of Python; PAGES gets them through `apt-get download` and `pip download`, once.
marked_pages.json says of each page which elements hold its text (`body`), marked by hand after reading the page, and
which are neither text nor navigation, such as marks of permanent links (`neither`); all else that a browser shows is
around the text. A page whose bytes are not those that were marked is left out and said.

Words are runs of letters and digits; of Chinese, characters. `kept` is the share of the words of the text that come
out, each as often as it is there; `around` the share of the words that come out which only stand around the text;
`markup` counts tags, comments and entities that come out and that the text does not show. All means are over pages. The
peers live in an environment of their own (`pip install trafilatura resiliparse readability-lxml justext html2text`).
"""

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lxml.html

HERE = Path(__file__).resolve().parent
MARKS = HERE / "marked_pages.json"
TOOLS = ("daybreak", "trafilatura", "resiliparse", "readability", "justext", "html2text")
WORD = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+")
MARKUP = re.compile(r"</?[a-zA-Z][\w-]*(?:\s[^<>]*)?/?>|<!--|-->|&(?:#\d+|#x[0-9a-fA-F]+|[a-zA-Z]{2,8});")
_SELECTOR = re.compile(
    r"(?P<tag>[\w*]*)(?:#(?P<id>[\w:.-]+))?(?:\.(?P<name>[\w-]+))?(?:\[(?P<key>\w+)=(?P<value>\w+)\])?"
)
_NOT_SHOWN = ("script", "style", "template", "noscript", "head", "textarea", "select", "button", "iframe")
_BLOCK_NAMES = (
    "p div br hr li ul ol dl dt dd table tr td th section article main h1 h2 h3 h4 h5 h6 pre blockquote header footer"
    " nav aside form body caption figure figcaption address summary details"
)
_BLOCKS = frozenset(_BLOCK_NAMES.split())


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A page, and what of it is its text. Selectors are `tag#id.class[attribute=value]`, each part as needed."""

    package: str  # `deb:NAME` or `pip:NAME`
    version: str
    file: str
    sha256: str
    kind: str
    body: tuple[str, ...]
    neither: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.package.partition(':')[2]}/{self.file.rpartition('/')[2]}"


def marks() -> list[Mark]:
    rows = json.loads(MARKS.read_text(encoding="utf-8"))
    return [Mark(**row | {"body": tuple(row["body"]), "neither": tuple(row["neither"])}) for row in rows]


# The pages


def get(every: list[Mark], folder: Path) -> None:
    """Downloads and unpacks the packages that are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for package in sorted({mark.package for mark in every}):
        kind, _, name = package.partition(":")
        place = folder / name
        if place.exists():
            continue
        for old in folder.glob(f"{name}[_-]*"):
            old.unlink()
        if kind == "deb":
            subprocess.run(["apt-get", "download", "-qq", name], cwd=folder, check=False)
        else:
            words = ["download", "-q", "--no-deps", "--no-binary", ":all:", "-d", str(folder)]
            version = next(mark.version for mark in every if mark.package == package)
            subprocess.run([sys.executable, "-P", "-m", "pip", *words, f"{name}=={version}"], check=False)
        for file in folder.glob(f"{name}[_-]*"):
            if file.suffix == ".deb":
                subprocess.run(["dpkg-deb", "-x", str(file), str(place)], check=True)
            else:
                with tarfile.open(file) as archive:
                    archive.extractall(place, filter="data")


def page_of(mark: Mark, folder: Path) -> str | None:
    """Its characters; None: it is not there, or is another."""
    path = folder / mark.package.partition(":")[2] / mark.file
    if not path.is_file():
        return None
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != mark.sha256:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


# What is marked


def selected(tree: Any, selector: str) -> list[Any]:
    found = _SELECTOR.fullmatch(selector)
    if found is None:
        raise ValueError(f"not a selector: {selector}")

    def fits(element: Any) -> bool:
        return (
            (found["id"] is None or element.get("id") == found["id"])
            and (found["name"] is None or found["name"] in (element.get("class") or "").split())
            and (found["key"] is None or element.get(found["key"]) == found["value"])
        )

    return [element for element in tree.iter(found["tag"] or "*") if isinstance(element.tag, str) and fits(element)]


def words_of(text: str) -> Counter[str]:
    return Counter(WORD.findall(text))


def shown(tree: Any) -> str:
    """All text of an element, with a break around blocks."""
    parts: list[str] = []

    def walk(element: Any) -> None:
        if isinstance(element.tag, str) and element.tag not in _NOT_SHOWN and element.get("hidden") is None:
            parts.append("\n" if element.tag in _BLOCKS else "")
            parts.append(element.text or "")
            for child in element:
                walk(child)
            parts.append("\n" if element.tag in _BLOCKS else "")
        parts.append(element.tail or "")

    walk(tree)
    return "".join(parts)


def marked(mark: Mark, page: str) -> tuple[str, Counter[str], Counter[str]]:
    """The text, its words, and the words around it."""
    tree = lxml.html.document_fromstring(re.sub(r"^\s*<\?xml[^<>]*>", "", page))
    for selector in mark.neither:
        for element in selected(tree, selector):
            element.drop_tree()
    every = words_of(shown(tree))
    found = [element for selector in mark.body for element in selected(tree, selector)]
    tails = [element for element in found if not any(above in found for above in element.iterancestors())]
    if not tails:
        raise ValueError(f"{mark.name}: no element is {mark.body}")
    parts = []
    for element in tails:
        element.tail = None
        parts.append(shown(element))
    text = "\n".join(parts)
    words = words_of(text)
    return text, words, every - words


# What comes out


def extractor(tool: str) -> Callable[[str], str]:
    if tool == "daybreak":
        from daybreak.data.cleaning import Document
        from daybreak.data.pages import HtmlText

        clean = HtmlText()

        def extract(page: str) -> str:
            found = clean(Document(page, True, "page"), lambda *about: None)
            return found.text if found else ""

        return extract
    if tool == "trafilatura":
        import trafilatura

        return lambda page: trafilatura.extract(page) or ""
    if tool == "resiliparse":
        from resiliparse.extract.html2text import extract_plain_text

        return lambda page: str(extract_plain_text(page, main_content=True))
    if tool == "readability":
        from readability import Document as Readable

        return lambda page: shown(lxml.html.fromstring(Readable(page).summary()))
    if tool == "justext":
        import justext

        words = justext.get_stoplist("English")
        return lambda page: "\n".join(p.text for p in justext.justext(page.encode(), words) if not p.is_boilerplate)
    import html2text

    return lambda page: str(html2text.html2text(page))


@dataclass(frozen=True, kw_only=True)
class Score:
    kept: float
    around: float
    markup: int


def score(out: str, text: str, body: Counter[str], around: Counter[str]) -> Score:
    words = words_of(out)
    extra = words - body
    markup = _markup(out) - _markup(text)
    return Score(
        kept=(words & body).total() / max(1, body.total()),
        around=(extra & around).total() / max(1, words.total()),
        markup=markup.total(),
    )


def _markup(text: str) -> Counter[str]:
    return Counter(MARKUP.findall(" ".join(text.split())))


def compare(folder: Path, tool: str) -> dict[str, Any]:
    """Means over the pages, and each page's own."""
    extract, pages, missing = extractor(tool), {}, []
    begun, size = 0.0, 0
    for mark in marks():
        page = page_of(mark, folder)
        if page is None:
            missing.append(mark.name)
            continue
        text, body, around = marked(mark, page)
        start = time.perf_counter()
        try:
            out = extract(page)
        except Exception as error:  # of a peer
            out = ""
            print(f"{tool}: {mark.name}: {type(error).__name__}", file=sys.stderr)
        begun += time.perf_counter() - start
        size += len(page.encode("utf-8", "replace"))
        pages[mark.name] = score(out, text, body, around)
    count = max(1, len(pages))
    return {
        "tool": tool,
        "pages": len(pages),
        "missing": missing,
        "kept": round(sum(one.kept for one in pages.values()) / count, 4),
        "around": round(sum(one.around for one in pages.values()) / count, 4),
        "markup": sum(one.markup for one in pages.values()),
        "below_95": sum(one.kept < 0.95 for one in pages.values()),
        "above_2": sum(one.around > 0.02 for one in pages.values()),
        "mb_per_second": round(size / 1e6 / max(begun, 1e-9), 2),
        "each": {name: [round(one.kept, 3), round(one.around, 3), one.markup] for name, one in pages.items()},
    }


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--pages", type=Path, required=True, help="folder of the packages' files")
    parser.add_argument("--peers-python", type=Path)
    parser.add_argument("--tool", choices=TOOLS, help="this one alone, in this environment")
    parser.add_argument("--each", action="store_true", help="the figures of every page, too")
    given = parser.parse_args(words)
    if given.tool:
        print(json.dumps(compare(given.pages, given.tool)))
        return
    get(marks(), given.pages)
    tools = TOOLS if given.peers_python else TOOLS[:1]
    for tool in tools:
        python = sys.executable if tool == "daybreak" else str(given.peers_python)
        command = [python, str(Path(__file__).resolve()), "--pages", str(given.pages), "--tool", tool]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode:
            print(f"{tool}: {run.stderr.strip().splitlines()[-1:]}")
            continue
        facts = json.loads(run.stdout)
        each = facts.pop("each")
        print(json.dumps(facts))
        if given.each:
            for name, figures in each.items():
                print(f"    {name:70} {figures}")


if __name__ == "__main__":
    main()
