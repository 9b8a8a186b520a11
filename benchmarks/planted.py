"""Plants near-copies and personal data among look-alikes, seeded; run as a script it prints recall and precision."""

from __future__ import annotations

import bisect
import itertools
import random
import re
from collections.abc import Sequence

_PART = re.compile(r"[一-鿿]|[^\s一-鿿]+|\s+")
_SYLLABLES = [
    "ba",
    "ce",
    "di",
    "fo",
    "gu",
    "la",
    "me",
    "ni",
    "so",
    "tu",
    "ra",
    "pe",
    "vi",
    "no",
    "ku",
    "sha",
    "che",
    "thi",
]


# Near-copies


def made_texts(generator: random.Random, count: int, language: str = "en", length: int = 120) -> list[str]:
    """Texts of about so many words (characters, in Chinese), of a made vocabulary, as frequent as in Zipf's law."""
    if language == "zh":
        vocabulary = [chr(code) for code in generator.sample(range(0x4E00, 0x9FA5), 3000)]
    else:
        vocabulary = ["".join(generator.choices(_SYLLABLES, k=1 + i % 3)) + str(i % 7 or "") for i in range(5000)]
    cumulative = list(itertools.accumulate(1 / (rank + 3) for rank in range(len(vocabulary))))
    between = "" if language == "zh" else " "
    texts = []
    for _ in range(count):
        size = int(length * generator.uniform(0.7, 1.3))
        drawn = (bisect.bisect(cumulative, generator.random() * cumulative[-1]) for _ in range(size))
        parts = [vocabulary[min(index, len(vocabulary) - 1)] for index in drawn]
        for at in range(12, len(parts), 13):
            parts[at] += "。" if language == "zh" else ".\n"
        texts.append(between.join(parts))
    return texts


def edited(text: str, generator: random.Random, rate: float = 0.05) -> str:
    """The text with that share of its words (characters, in Chinese) replaced, left out or joined by another."""
    parts = _PART.findall(text)
    places = [index for index, part in enumerate(parts) if not part.isspace()]
    others = [parts[index] for index in places]
    for index in generator.sample(places, max(1, round(rate * len(places)))):
        other, edit = generator.choice(others), generator.randrange(3)
        between = "" if len(parts[index]) == 1 and parts[index] > "一" else " "
        parts[index] = (other, "", f"{parts[index]}{between}{other}")[edit]
    return "".join(parts)


def with_near_copies(
    texts: Sequence[str], copies: int, generator: random.Random, rate: float = 0.05
) -> tuple[list[str], set[int]]:
    """The texts and edited copies of some, each somewhere behind its own, and the places of the copies."""
    entries = [(index + generator.random(), text, False) for index, text in enumerate(texts)]
    for index in generator.sample(range(len(texts)), copies):
        entries.append((generator.uniform(index + 1, len(texts)), edited(texts[index], generator, rate), True))
    entries.sort(key=lambda entry: entry[0])
    return [text for _, text, _ in entries], {at for at, (_, _, is_copy) in enumerate(entries) if is_copy}
