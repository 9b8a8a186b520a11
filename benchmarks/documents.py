"""How much of a text comes out of documents: known texts in many formats, and documents that packages of Debian ship.

    python benchmarks/documents.py known --data DATA --out OUT --pandoc PANDOC --soffice SOFFICE
    python benchmarks/documents.py real --out OUT

`known` makes documents of the English and Chinese texts of the data folder: headings, paragraphs with words in bold
and italic, notes, a list and a table. pandoc (https://pandoc.org) writes them as DOCX, ODT, EPUB, HTML, RTF, FB2,
DocBook, JATS and TEI; LibreOffice writes its own DOCX, ODT, flat ODT, RTF, HTML and PDF of pandoc's ODT; and reportlab
writes PDFs of one column and of two. Each file is read and cleaned as a page is, and its words are compared with those
of the text: what share is there, and how many there are that the text does not have. A Chinese character is a word.

`real` downloads packages of Debian, by apt-get, unpacks them and reads the documents in them: each is read, or refused
in words, and what is read holds no markup; where the same document is there in two formats, the words of one are looked
for in the other.

A tool that is missing leaves its rows out.
"""

import argparse
import collections
import contextlib
import datetime
import gzip
import json
import lzma
import random
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from daybreak.core.errors import DaybreakError
from daybreak.data.pages import HtmlText
from daybreak.data.sources import Reading

ENGLISH = (("lm_en_textbooks", "text"), ("lm_en_books", "text"))
CHINESE = (("lm_zh_laws", "text"), ("lm_zh_techdocs", "text"))
WORDS_OF_ONE = 2500  # of a document
EMPHASIS = 0.03  # of the words
PARAGRAPHS_OF_SECTION = 6
WORD = re.compile(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+")
# What no text of a document holds; the sources are cleaned of it.
MARKUP = re.compile(
    r"</?(?:a|b|br|body|code|div|em|h[1-6]|head|html|i|img|li|link|meta|ol|p|para|pre|script|section|span|strong|style|sub"
    r"|sup|table|tbody|td|th|tr|tt|ul|w:[a-zA-Z]+|text:[a-z-]+|office:[a-z-]+)(?:\s+[\w:.-]+\s*=\s*[\"'][^<>]*)?\s*/?>"
    r"|&(?:amp|lt|gt|quot|apos|nbsp|[mn]dash|hellip|[lr][sd]quo|#x?[0-9a-fA-F]{2,6});"
    r"|\\(?:par|pard|fs\d+|rtlch|ltrch)\b|\bendobj\b|\bendstream\b|<!\[CDATA\[|\{\\rtf"
)
PANDOC = {
    "docx": "docx",
    "odt": "odt",
    "epub": "epub3",
    "epub2": "epub2",
    "html": "html5",
    "rtf": "rtf",
    "fb2": "fb2",
    "docbook": "docbook5",
    "docbook4": "docbook4",
    "jats": "jats_archiving",
    "tei": "tei",
}
ENDS = {"epub2": "epub", "docbook": "xml", "docbook4": "xml", "jats": "xml", "tei": "xml"}
OFFICE = ("docx", "odt", "fodt", "rtf", "html", "pdf")
# Documentation that is small, of many formats, and partly there in two of them.
PACKAGES = (
    "apt-doc aptitude-doc-en aptitude-doc-ja bash-doc debian-faq debian-faq-zh-cn debian-policy debian-reference-en"
    " debian-reference-zh-cn developers-reference developers-reference-de docbook-xsl-doc-pdf flex-doc"
    " freedombox-doc-en git-doc gnuplot-doc libfftw3-doc libpam-doc maint-guide xorg-docs-core zsh-doc"
)


# The text


@dataclass
class Made:
    """A document that is known: its Markdown for pandoc, its paragraphs, and its words."""

    name: str
    markdown: str
    paragraphs: list[str]

    @property
    def words(self) -> list[str]:
        return words_of("\n".join(self.paragraphs))


def words_of(text: str) -> list[str]:
    return [word.lower() for word in WORD.findall(text)]


def plain_paragraphs(text: str) -> list[str]:
    """Those that are prose, without signs that Markdown reads."""
    found = []
    for paragraph in re.split(r"\n\s*\n", text):
        line = " ".join(re.sub(r"[*_`#|\[\]<>\\^~$&@{}\"]|\(?https?://\S+", " ", paragraph).split())
        line = re.sub(r"--+|^[-+\d.) ]+", " ", line).strip()
        if len(words_of(line)) >= 12 and "  " not in line:
            found.append(line)
    return found


def known(data: Path, language: str, count: int, seed: int) -> list[Made]:
    """As many documents as asked for, from texts all over the data sets."""
    made = []
    for number in range(count):
        name, column = (CHINESE if language == "zh" else ENGLISH)[number % 2]
        rows = texts(data / name, column)
        chance = random.Random(f"{seed} {language} {number}")
        start = chance.randrange(200)
        paragraphs: list[str] = []
        for text in rows:
            start -= 1
            if start < 0:
                for one in plain_paragraphs(text)[:40]:
                    paragraphs.append(one[:3000])
            if sum(len(words_of(one)) for one in paragraphs) >= WORDS_OF_ONE:
                break
        made.append(composed(f"{language}{number}", paragraphs, chance))
    return made


def texts(folder: Path, column: str) -> Iterator[str]:
    for path in sorted(folder.glob("*.jsonl.xz")):
        with lzma.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)[column]


def composed(name: str, paragraphs: list[str], chance: random.Random) -> Made:
    """Markdown of the paragraphs: some are headings, notes, items of a list and cells of a table."""
    lines, told = [], []
    for number, paragraph in enumerate(paragraphs):
        place = number % PARAGRAPHS_OF_SECTION
        if place == 0:
            heading = paragraph[:60].rsplit(" ", 1)[0].rstrip(" .,;:，。；：")
            lines.append(f"## {heading}")
            told.append(heading)
        if place == 2:
            words = words_of(paragraph)[:12]
            rows = [words[index : index + 3] for index in range(0, 12, 3)]
            rows = [row for row in rows if len(row) == 3]
            lines.append("\n".join(table_lines(rows)))
            told += [" ".join(row) for row in rows]
        elif place == 4:
            half = len(paragraph) // 2
            cut = paragraph.find(" ", half) if " " in paragraph[half:] else half
            lines.append(f"- {paragraph[:cut].strip()}\n- {paragraph[cut:].strip()}")
            told += [paragraph[:cut], paragraph[cut:]]
            continue
        note = f"[^{number}]" if place == 3 else ""
        lines.append(emphasised(paragraph, chance) + note)
        told.append(paragraph)
        if note:
            said = paragraph[:80].rsplit(" ", 1)[0]
            lines.append(f"{note}: {said}")
            told.append(said)
    return Made(name, "\n\n".join(lines) + "\n", told)


def table_lines(rows: list[list[str]]) -> list[str]:
    first, *others = [f"| {' | '.join(row)} |" for row in rows]
    return [first, f"|{'---|' * len(rows[0])}", *others]


def emphasised(paragraph: str, chance: random.Random) -> str:
    """Some words are in bold or italic."""
    words = paragraph.split(" ")
    for index, word in enumerate(words):
        if word.isalnum() and len(words) > 3 and chance.random() < EMPHASIS:
            mark = chance.choice(("*", "**"))
            words[index] = f"{mark}{word}{mark}"
    return " ".join(words)


# Known documents


@dataclass
class Row:
    """What came out of the documents of one tool and format."""

    tool: str
    format: str
    language: str
    files: int = 0
    refused: list[str] = field(default_factory=list)
    words: int = 0
    found: int = 0
    more: int = 0
    markup: collections.Counter[str] = field(default_factory=collections.Counter)
    least: float = 1.0  # of the files, the share of the words in the worst

    def add(self, path: Path, words: list[str], given: "Came") -> None:
        self.files += 1
        if given.refused:
            self.refused.append(f"{path.name}: {given.refused}")
        have, want = collections.Counter(words_of(given.text)), collections.Counter(words)
        there = (have & want).total()
        self.words += want.total()
        self.found += there
        self.more += (have - want).total()
        self.least = min(self.least, there / max(1, want.total()))
        self.markup.update(MARKUP.findall(given.text))

    def facts(self) -> dict[str, object]:
        return {
            "tool": self.tool,
            "format": self.format,
            "language": self.language,
            "files": self.files,
            "refused": self.refused,
            "words": self.words,
            "found": round(self.found / max(1, self.words), 5),
            "least": round(self.least, 5),
            "more": round(self.more / max(1, self.words), 5),
            "markup": dict(self.markup),
        }


@dataclass
class Came:
    """What came out of a file: its text after pages were taken apart, the notes, or why it was refused."""

    text: str = ""
    notes: tuple[str, ...] = ()
    refused: str = ""


def came_out(path: Path) -> Came:
    page = HtmlText()
    reading = Reading([path], named=[path])
    parts = []
    try:
        for document in reading:
            if cleaned := page(document, lambda _: None):
                parts.append(cleaned.text)
    except DaybreakError as error:
        return Came(refused=f"{error.what}: {error.received}")
    return Came("\n".join(parts), reading.notes)


def by_pandoc(made: Made, folder: Path, pandoc: str) -> Iterator[tuple[str, str, Path]]:
    source = folder / f"{made.name}.md"
    source.write_text(made.markdown, encoding="utf-8")
    for name, to in PANDOC.items():
        path = folder / f"{made.name}-{name}.{ENDS.get(name, name)}"
        words = [pandoc, "-f", "markdown-smart", "-t", to, "-s", "--metadata", "title=", str(source), "-o", str(path)]
        if subprocess.run(words, capture_output=True, check=False).returncode == 0:
            yield "pandoc", name, path


def by_office(sources: list[Path], folder: Path, soffice: str) -> Iterator[tuple[str, str, Path]]:
    for name in OFFICE:
        to = folder / name
        to.mkdir(parents=True, exist_ok=True)
        filters = {"html": "html:XHTML Writer File:UTF8", "rtf": "rtf"}
        words = [soffice, "--headless", f"-env:UserInstallation={(folder / 'profile').as_uri()}", "--convert-to"]
        subprocess.run(
            [*words, filters.get(name, name), "--outdir", str(to), *map(str, sources)], capture_output=True, check=False
        )
        for path in sorted(to.iterdir()):
            yield "LibreOffice", name, path


def by_reportlab(made: Made, folder: Path) -> Iterator[tuple[str, str, Path]]:
    """A PDF of one column and one of two, with a heading and a number on every page."""
    try:
        from reportlab.lib.pagesizes import A4
        from reportlab.lib.styles import ParagraphStyle
        from reportlab.pdfbase import pdfmetrics
        from reportlab.pdfbase.cidfonts import UnicodeCIDFont
        from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate, Paragraph, Spacer
    except ImportError:
        return
    chinese = made.name.startswith("zh")
    font = "STSong-Light" if chinese else "Times-Roman"
    if chinese:
        pdfmetrics.registerFont(UnicodeCIDFont(font))
    style = ParagraphStyle("text", fontName=font, fontSize=10, leading=13, wordWrap="CJK" if chinese else None)
    for columns in (1, 2):
        path = folder / f"{made.name}-{columns}.pdf"
        width = (A4[0] - 100 - 20 * (columns - 1)) / columns
        frames = [Frame(50 + (width + 20) * index, 60, width, A4[1] - 120) for index in range(columns)]

        def furniture(canvas: object, document: object, font: str = font) -> None:
            canvas.setFont(font, 9)  # type: ignore[attr-defined]
            canvas.drawString(50, A4[1] - 40, "Proceedings")  # type: ignore[attr-defined]
            canvas.drawCentredString(A4[0] / 2, 30, str(document.page))  # type: ignore[attr-defined]

        document = BaseDocTemplate(str(path), pagesize=A4)
        document.addPageTemplates([PageTemplate(frames=frames, onPage=furniture)])
        latin = made.paragraphs if chinese else [p.encode("cp1252", "ignore").decode("cp1252") for p in made.paragraphs]
        document.build([part for one in latin for part in (Paragraph(one, style), Spacer(1, 6))])
        yield "reportlab", f"pdf, {columns} column{'s' if columns > 1 else ''}", path


def known_rows(given: argparse.Namespace) -> list[Row]:
    rows: dict[tuple[str, str, str], Row] = {}
    work = given.out / "known"
    shutil.rmtree(work, ignore_errors=True)
    for language in ("en", "zh"):
        folder = work / language
        folder.mkdir(parents=True)
        every = known(given.data, language, given.documents, given.seed)
        words = {made.name: made.words for made in every}
        files: list[tuple[str, str, Path]] = []
        for made in every:
            if given.pandoc:
                files += by_pandoc(made, folder, given.pandoc)
            files += by_reportlab(made, folder)
        if given.soffice:
            sources = [path for tool, name, path in files if (tool, name) == ("pandoc", "odt")]
            files += by_office(sources, folder / "office", given.soffice)
        for tool, name, path in files:
            row = rows.setdefault((tool, name, language), Row(tool, name, language))
            row.add(path, words[re.split(r"[-.]", path.name)[0]], came_out(path))
    return list(rows.values())


def known_table(rows: list[dict[str, object]]) -> str:
    lines = [
        "| written by | format | language | files | words found | in the worst file | words more | markup |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        markup = sum(row["markup"].values())  # type: ignore[attr-defined]
        lines.append(
            f"| {row['tool']} | {row['format']} | {row['language']} | {row['files']} | {row['found']:.2%} "
            f"| {row['least']:.2%} | {row['more']:.2%} | {markup} |"
        )
    return "\n".join(lines)


# Real documents


def downloaded(packages: Iterable[str], folder: Path) -> Iterator[tuple[str, Path]]:
    """The names of packages that could be had, and the folder that each is unpacked in."""
    archives = folder / "packages"
    archives.mkdir(parents=True, exist_ok=True)
    for package in packages:
        to = folder / "unpacked" / package
        if not to.exists():
            subprocess.run(["apt-get", "download", "-q", package], cwd=archives, capture_output=True, check=False)
            found = sorted(archives.glob(f"{package}_*.deb"))
            if not found:
                continue
            to.mkdir(parents=True)
            subprocess.run(["dpkg-deb", "-x", str(found[-1]), str(to)], capture_output=True, check=True)
        yield package, to


KINDS = ("pdf", "epub", "html", "txt", "xml", "docx", "odt", "rtf", "ps")


def documents_of(folder: Path, most: int) -> Iterator[tuple[str, Path]]:
    """The kind and the path of documents in a package, at most so many of a kind; what gzip has packed is unpacked."""
    count: collections.Counter[str] = collections.Counter()
    for path in sorted(folder.rglob("*")):
        name = path.name.removesuffix(".gz")
        kind = {"htm": "html", "xhtml": "html"}.get(name.rpartition(".")[2].lower(), name.rpartition(".")[2].lower())
        if path.is_symlink() or not path.is_file() or kind not in KINDS or path.stat().st_size < 3000:
            continue
        if count[kind] < most:
            count[kind] += 1
            yield kind, path


def pairs(documents: list[tuple[str, Path]]) -> Iterator[tuple[str, str, Path, Path]]:
    """Documents of the same name in two formats."""
    named = collections.defaultdict[str, dict[str, Path]](dict)
    for kind, path in documents:
        named[re.sub(r"[.](?:gz|\w+)$|[.]\w+[.]gz$", "", path.name)].setdefault(kind, path)
    for found in named.values():
        for first, second in (("txt", "html"), ("txt", "pdf"), ("txt", "epub"), ("epub", "pdf"), ("html", "pdf")):
            if first in found and second in found:
                yield first, second, found[first], found[second]


def visible(path: Path) -> str:
    """The text of a plain file, packed or not."""
    data = path.read_bytes()
    return (gzip.decompress(data) if path.name.endswith(".gz") else data).decode("utf-8", "replace")


def real_facts(given: argparse.Namespace) -> dict[str, object]:
    read = collections.defaultdict[str, dict[str, object]](dict)
    refused, notes, marked, compared = [], collections.Counter[str](), [], []
    packages = []
    for package, folder in downloaded(given.packages, given.out / "real"):
        documents = list(documents_of(folder, given.most))
        packages.append(package)
        texts = {}
        for kind, path in documents:
            came = came_out(path)
            texts[path] = came.text
            facts = read[kind]
            facts["files"] = facts.get("files", 0) + 1  # type: ignore[operator]
            name = f"{package}/{path.name}"
            if came.refused:
                refused.append(f"{name}: {came.refused.partition(': ')[2].rpartition(': ')[2]}")
                continue
            facts["read"] = facts.get("read", 0) + 1  # type: ignore[operator]
            facts["words"] = facts.get("words", 0) + len(words_of(came.text))  # type: ignore[operator]
            for note in came.notes:
                notes[re.sub(r"\d[\d,.]*|\([^()]*\)", "n", note)[:120]] += 1
            if kind != "txt" and (found := MARKUP.findall(came.text)):
                marked.append({"file": name, "count": len(found), "first": found[:5]})
        for first, second, one, other in pairs(documents):
            want, have = collections.Counter(words_of(texts[one])), collections.Counter(words_of(texts[other]))
            if 300 < want.total() < 1.25 * have.total():  # else the other is a part of it, such as its contents
                share = (want & have).total() / want.total()
                compared.append({"file": f"{package}/{one.name}", "of": first, "in": second, "found": round(share, 4)})
    return {
        "packages": packages,
        "kinds": read,
        "refused": refused,
        "markup": marked,
        "compared": compared,
        "notes": dict(notes.most_common(40)),
    }


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("what", choices=("known", "real"))
    parser.add_argument("--data", type=Path, help="the folder with lm_en_books and others")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--documents", type=int, default=10, help="of each language")
    parser.add_argument("--pandoc", default=shutil.which("pandoc"))
    parser.add_argument("--soffice", default=shutil.which("soffice"))
    parser.add_argument("--packages", nargs="+", default=PACKAGES.split())
    parser.add_argument("--most", type=int, default=12, help="files of a kind from a package")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(words)
    given.out = given.out.resolve()
    given.out.mkdir(parents=True, exist_ok=True)
    if given.what == "known":
        rows = [row.facts() for row in known_rows(given)]
        result: dict[str, object] = {"rows": rows}
        (given.out / "known.md").write_text(known_table(rows) + "\n")
        print(known_table(rows))
    else:
        result = real_facts(given)
        print(json.dumps(result, indent=1, ensure_ascii=False))
    result |= {"seed": given.seed, "when": datetime.date.today().isoformat()}
    (given.out / f"{given.what}.json").write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main()
