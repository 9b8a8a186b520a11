"""Makes daybreak/data/letters.txt: how often letters follow each other in some fifty languages, to tell encodings.

The frequencies are those that two language detectors, both under Apache-2.0, have counted: of letters and pairs
lingua-language-detector 1.4.2 (from news of the Leipzig Corpora Collection), of letters that begin and end words
langdetect 1.0.9 (from Wikipedia). Unpack their packages (`pip download --no-deps`) and run

    python benchmarks/letters.py LINGUA_FOLDER LANGDETECT_FOLDER

where the folders hold `lingua/language-models` and `langdetect/profiles`. Needs `pip install brotli opencc`.
"""

import json
import math
import re
import sys
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path

OUT = Path(__file__).parents[1] / "daybreak" / "data" / "letters.txt"
PAIRS = """
    af ar az be bg bs ca cs cy da de el en eo es et eu fa fi fr ga he hr hu id is it kk lt lv mi mk mn ms nb nl nn pl
    pt ro ru sk sl so sq sr sv sw th tl tr uk ur vi
""".split()  # noqa: SIM905
# Letters beyond a to z, for some of the counted texts had themselves been read in a wrong encoding.
LATIN = dict(
    words.split(" ")
    for words in """
az çəğıöşü|bs čćđšž|ca àçéèíïóòúüñ|cs áčďéěíňóřšťúůýžöü|cy áâéêëîïôŵŷ|da æøåéäöü|de äöüßéàè|en éèêüöäñçï|eo ĉĝĥĵŝŭé
es áéíñóúü|et äõöüšž|eu ñçé|fi äöåšž|fr àâæçéèêëîïôœùûü|ga áéíóú|hr čćđšž|hu áéíóöőúüű|id é|is áæéíðóöúýþ|it àèéìòùíó
lt ąčęėįšųūž|lv āčēģīķļņšūž|mi āēīōū|ms é|nb æøåéóòôäöü|nl éëïóöüáèê|nn æøåéóòôäöü|pl ąćęłńóśźżéü|pt àáâãçéêíóôõúü
ro ăâîşţ|sk áäčďéíĺľňóôŕšťúýžöü|sl čšžćđ|so é|sq çë|sv åäöéüà|sw é|tl ñ|tr çğıöşüâîû|af áéêëíïóôöúû
""".strip()
    .replace("\n", "|")
    .split("|")
)
SAME = str.maketrans("șț", "şţ")  # two spellings of one letter
VIETNAMESE = re.compile("[aeiouy][\u0302\u0306\u031b]?[\u0300\u0301\u0303\u0309\u0323]?")
IDEOGRAPHS = {"zh": 7000, "ja": 2300, "ko": 1500}  # characters kept
LEAST = 3e-5  # share of a letter in its language, below which it comes from names and quotations
STEPS = 4  # a step of the table is a quarter of a nat
MOST = 60
SEEN = 0.98  # weight of the counted pair; the rest goes to the letter alone, for pairs that were not seen


def ratios(file: Path) -> dict[str, float]:
    import brotli

    found: dict[str, float] = {}
    for ratio, keys in json.loads(brotli.decompress(file.read_bytes()))["ngrams"].items():
        over, under = ratio.split("/")
        for key in keys.translate(SAME).split(" "):
            found[key] = found.get(key, 0) + int(over) / int(under)
    return found


def edges(file: Path) -> tuple[Counter[str], Counter[str], Counter[str], dict[str, Counter[str]]]:
    """Of letters in lower case: how often they begin a word, end one, and are there; and of pairs."""
    starts, ends, every = Counter[str](), Counter[str](), Counter[str]()
    pairs: dict[str, Counter[str]] = defaultdict(Counter)
    if file.exists():
        for key, count in json.loads(file.read_text(encoding="utf-8"))["freq"].items():
            key = key.lower().translate(SAME)
            if len(key) == 1:
                every[key] += count
            elif len(key) == 2 and key[0] == " ":
                starts[key[1]] += count
            elif len(key) == 2 and key[1] == " ":
                ends[key[0]] += count
            elif len(key) == 2:
                pairs[key[0]][key[1]] += count
    return starts, ends, every, pairs


def _marks(letter: str) -> str:
    """Decomposed, with the mark that makes the vowel in front of that of the tone."""
    spelled = unicodedata.normalize("NFD", letter)
    return spelled[:1] + "".join(sorted(spelled[1:], key=lambda mark: mark not in "\u0302\u0306\u031b"))


def step(share: float) -> str:
    return chr(33 + min(MOST, round(-math.log(min(max(share, 1e-9), 1)) * STEPS)))


def line(language: str, lingua: Path, langdetect: Path) -> str:
    letters = ratios(lingua / language / "unigrams.json.br")
    pairs = ratios(lingua / language / "bigrams.json.br")
    profile = langdetect / {"nb": "no"}.get(language, language)
    starts, ends, every, counted = edges(profile)
    if language == "th":  # the other source has no vowels
        letters = {c: n / every.total() for c, n in every.items() if "\u0e00" < c < "\u0e5c"}
        pairs = {a + b: n / every[a] for a, row in counted.items() for b, n in row.items() if a in letters}
    kept = sorted(c for c, share in letters.items() if share >= LEAST and unicodedata.normalize("NFKC", c) == c)
    if language == "vi":
        kept = [c for c in kept if c == "đ" or VIETNAMESE.fullmatch(_marks(c))]
    if language == "vi" or language in LATIN:
        kept = sorted({*"abcdefghijklmnopqrstuvwxyz", *LATIN.get(language, kept)})
    rows = [step(0.2)]
    for b in kept:
        share = starts[b] / starts.total() if starts.total() else letters.get(b, 0)
        rows.append(step(max(share * SEEN, letters.get(b, 0) * (1 - SEEN))))
    for a in kept:
        rows.append(step(max(ends[a] / every[a] if every[a] else 0.15, 0.03)))
        rows += [step(pairs.get(a + b, 0) * SEEN + letters.get(b, 0) * (1 - SEEN)) for b in kept]
    return f"{language}\t{''.join(kept)}\t{''.join(rows)}\n"


def ideographs(language: str, lingua: Path) -> str:
    letters = ratios(lingua / language / "unigrams.json.br")
    if language == "zh":  # counted in traditional characters
        import opencc

        simplified = opencc.OpenCC("t2s")
        for c, share in list(letters.items()):
            if (short := simplified.convert(c)) != c and len(short) == 1:
                letters[short] = letters.get(short, 0) + share
    best = sorted(letters, key=lambda c: -letters[c])[: IDEOGRAPHS[language]]
    bands: dict[str, str] = defaultdict(str)
    for c in best:
        bands[step(letters[c])] += c
    return f"{language}\t" + "\t".join(band + of for band, of in sorted(bands.items())) + "\n"


def main() -> None:
    lingua, langdetect = Path(sys.argv[1], "lingua", "language-models"), Path(sys.argv[2], "langdetect", "profiles")
    lines = [line(language, lingua, langdetect) for language in PAIRS]
    lines += [ideographs(language, lingua) for language in IDEOGRAPHS]
    OUT.write_text("".join(lines), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
