"""Encodings: text in sixty encodings and the languages that are written in them, without any label; what is read of it.

    pip download --no-deps --no-binary :none: Django==5.2.19 && unzip -q Django-*.whl -d catalogues
    python benchmarks/charsets.py --data catalogues

DATA is a folder with catalogues of gettext, `.../locale/LANGUAGE/.../*.po`, as Django, Sphinx and most other programs
ship them. Their translations are shuffled and cut at 2, 20 and 200 KB, as prose (messages) and as words (one a line);
characters that an encoding does not have are left out. Each is written to a file and read as daybreak reads any. A case
is right where every character comes out; warned where the reader says that the encoding is doubtful and names another;
refused where the file is skipped and the likeliest encodings are named; wrong else. Prints the table of
docs/benchmarks.md.
"""

import argparse
import codecs
import json
import random
import re
import tempfile
import time
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from daybreak.data.formats.charsets import of_label
from daybreak.data.sources import Reading

SIZES = (2_000, 20_000, 200_000)
KINDS = ("prose", "words")
LANGUAGES = {
    "cp1250": "cs pl hu hr sk sl ro",
    "iso8859_2": "cs pl hu hr sk sl ro",
    "cp852": "cs pl hu hr sk sl",
    "mac_latin2": "cs pl",
    "iso8859_16": "ro pl",
    "cp1252": "de fr es it pt nl sv da nb fi is ga af",
    "iso8859_15": "de fr es it fi",
    "cp850": "de fr es sv pt it",
    "cp437": "de fr sv",
    "cp858": "de",
    "cp860": "pt",
    "cp861": "is",
    "cp865": "da nb",
    "mac_roman": "de fr es it",
    "mac_iceland": "is",
    "iso8859_3": "eo",
    "iso8859_10": "is",
    "iso8859_14": "cy ga",
    "cp1251": "ru uk bg sr mk be",
    "koi8_r": "ru",
    "koi8_u": "uk",
    "cp866": "ru be uk",
    "cp855": "ru sr",
    "iso8859_5": "ru bg sr mk",
    "mac_cyrillic": "ru uk",
    "kz1048": "kk",
    "ptcp154": "kk",
    "cp1253": "el",
    "iso8859_7": "el",
    "cp737": "el",
    "cp869": "el",
    "mac_greek": "el",
    "cp1254": "tr az",
    "iso8859_9": "tr",
    "cp857": "tr",
    "mac_turkish": "tr",
    "cp1255": "he",
    "iso8859_8": "he",
    "cp862": "he",
    "cp1256": "ar fa",
    "iso8859_6": "ar",
    "cp1257": "lt lv et",
    "iso8859_13": "lt lv",
    "iso8859_4": "et lt lv",
    "cp775": "lt lv et",
    "cp1258": "vi",
    "cp874": "th",
    "tis_620": "th",
    "cp932": "ja",
    "euc_jp": "ja",
    "euc_jis_2004": "ja",
    "iso2022_jp": "ja",
    "cp949": "ko",
    "euc_kr": "ko",
    "johab": "ko",
    "iso2022_kr": "ko",
    "gb18030": "zh_Hans",
    "gbk": "zh_Hans",
    "hz": "zh_Hans",
    "big5": "zh_Hant",
    "big5hkscs": "zh_Hant",
    "utf_16_le": "zh_Hans ru de ja",
    "utf_16_be": "zh_Hans ko ar",
    "utf_32_le": "zh_Hans fr",
}
SAME = {"zh_Hans": ("zh_CN",), "zh_Hant": ("zh_TW",), "uk": ("uk_UA",)}  # a language's other names in catalogues
TONES = "\u0300\u0301\u0303\u0309\u0323"  # of Vietnamese, which cp1258 writes behind their letters


@dataclass(frozen=True)
class Case:
    """Bytes and the text that they are."""

    encoding: str
    language: str
    kind: str
    size: int
    data: bytes
    text: str


def messages(folders: list[Path], language: str) -> list[str]:
    """The translations in catalogues."""
    found = []
    for name in (language, *SAME.get(language, ())):
        for folder in folders:
            for file in sorted(folder.rglob(f"locale/{name}/**/*.po")):
                source = file.read_text(encoding="utf-8", errors="ignore")
                for entry in re.findall(r'msgstr(?:\[\d\])? ((?:"(?:[^"\\]|\\.)*"\s*)+)', source):
                    text = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', entry))
                    text = text.replace("\\n", "\n").replace('\\"', '"').strip()
                    text = re.sub(r"<[^<>]*>", "", text)  # lest the file is one of XML
                    if text and "Content-Type" not in text:
                        found.append(text)
    return found


def with_tones(text: str) -> str:
    """Vietnamese as cp1258 writes it."""
    out = []
    for letter in unicodedata.normalize("NFC", text):
        spelled = unicodedata.normalize("NFD", letter)
        tones = "".join(mark for mark in spelled if mark in TONES)
        rest = "".join(mark for mark in spelled if mark not in TONES)
        out.append(unicodedata.normalize("NFC", rest) + tones)
    return "".join(out)


def encoded(text: str, encoding: str) -> bytes:
    if encoding == "cp1258":
        text = with_tones(text)
    if encoding == "hz":
        text = text.replace("~", "")
    known = "".join(c for c in dict.fromkeys(text) if _has(c, encoding))
    return text.translate({ord(c): None for c in set(text) - set(known)}).encode(encoding)


def _has(character: str, encoding: str) -> bool:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def cases(folders: list[Path], sizes: tuple[int, ...] = SIZES, seed: int = 0) -> Iterator[Case]:
    """Those whose catalogues are there and that are not ASCII alone."""
    for encoding, languages in LANGUAGES.items():
        for language in languages.split():
            texts = messages(folders, language)
            for kind in KINDS:
                chance = random.Random(f"{seed} {language} {kind}")
                items = texts if kind == "prose" else [word for text in texts for word in re.findall(r"\w+", text)]
                items = chance.sample(items, len(items))
                whole = ("  " if kind == "prose" else "\n").join(items)
                for size in sizes:
                    data = encoded(whole[: 2 * size], encoding)[: size - size % 4]
                    text = data.decode(encoding, "ignore")
                    try:
                        data = text.encode(encoding)
                    except UnicodeEncodeError:
                        continue
                    if data and (text != data.decode("ascii", "ignore")):
                        yield Case(encoding, language, kind, size, data, text)


def outcome(case: Case, folder: Path) -> str:
    """right, right warned, wrong warned, refused or wrong."""
    path = folder / "text.txt"
    path.write_bytes(case.data)
    reading = Reading([path])
    found = "".join(document.text for document in reading)
    if reading.findings.skipped:
        return "refused"
    codec = of_label(case.encoding.replace("_", "-")) or case.encoding
    meant = {case.text, case.data.decode(codec, "replace")}
    right = unicodedata.normalize("NFC", found) in {unicodedata.normalize("NFC", text) for text in meant}
    warned = bool(reading.findings.doubts)
    return ("right" if right else "wrong") + (" warned" if warned else "")


def table(counts: dict[str, dict[int, Counter[str]]]) -> str:
    """As docs/benchmarks.md has it."""
    lines = ["| encoding | languages | 2 KB | 20 KB | 200 KB | warned | refused | wrong |", "| --- " * 8 + "|"]
    for encoding, by_size in counts.items():
        every = sum(by_size.values(), Counter[str]())
        right = [f"{_right(by_size[size])} of {by_size[size].total()}" for size in SIZES]
        warned = every["right warned"] + every["wrong warned"]
        name = codecs.lookup(encoding).name
        told = [name, LANGUAGES[encoding], *right, str(warned), str(every["refused"]), str(every["wrong"])]
        lines.append(f"| {' | '.join(told)} |")
    by_size = {size: sum((one[size] for one in counts.values()), Counter[str]()) for size in SIZES}
    every = sum(by_size.values(), Counter[str]())
    right = [f"{_right(by_size[size]) / max(1, by_size[size].total()):.1%}" for size in SIZES]
    warned = every["right warned"] + every["wrong warned"]
    lines.append(f"| **all** | | {' | '.join(right)} | {warned} | {every['refused']} | {every['wrong']} |")
    return "\n".join(lines)


def _right(counts: Counter[str]) -> int:
    return counts["right"] + counts["right warned"]


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--data", type=Path, action="append", required=True, help="a folder with catalogues of gettext")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", action="store_true", help="name each that is not right")
    given = parser.parse_args(words)
    counts: dict[str, dict[int, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    began, read = time.monotonic(), 0
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(given.data, seed=given.seed):
            found = outcome(case, Path(folder))
            counts[case.encoding][case.size][found] += 1
            read += 1
            if given.cases and not found.startswith("right"):
                print(found, case.encoding, case.language, case.kind, case.size)
    print(table(counts))
    every = sum((one for by_size in counts.values() for one in by_size.values()), Counter[str]())
    print(json.dumps({"cases": read, **every, "seconds": round(time.monotonic() - began, 1)}))


if __name__ == "__main__":
    main()
