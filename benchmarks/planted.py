"""Plants near-copies and personal data among look-alikes, seeded; run as a script it prints recall and precision."""

from __future__ import annotations

import bisect
import collections
import functools
import itertools
import random
import re
import string
from collections.abc import Sequence

_PART = re.compile(r"[一-鿿]|[^\s一-鿿]+|\s+")
_SYLLABLES = re.findall("..?", "bacedifogulamenisoturapevinokushchthqu")


# Near-copies


def made_texts(generator: random.Random, count: int, language: str = "en", length: int = 120) -> list[str]:
    """Texts of about so many words (characters, in Chinese), of a made vocabulary, as frequent as in Zipf's law."""
    vocabulary, cumulative = _vocabulary(language)
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


@functools.cache
def _vocabulary(language: str) -> tuple[list[str], list[float]]:
    if language == "zh":
        vocabulary = [chr(code) for code in range(0x4E00, 0x9FA5, 7)]
    else:
        drawn = random.Random(0)
        vocabulary = ["".join(drawn.choices(_SYLLABLES, k=1 + i % 3)) + str(i % 7 or "") for i in range(5000)]
    return vocabulary, list(itertools.accumulate(1 / (rank + 3) for rank in range(len(vocabulary))))


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


# Personal data


def _digits(generator: random.Random, form: str) -> str:
    """The form with a digit in place of each '#'."""
    return re.sub("#", lambda _: str(generator.randrange(10)), form)


def _letters(generator: random.Random, count: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    return "".join(generator.choices(alphabet, k=count))


def _luhn(number: str) -> str:
    """The number with the digit after it that makes Luhn's sum a multiple of ten."""
    total = sum(sum(divmod(int(d) * (2 - i % 2), 10)) for i, d in enumerate(reversed(number)))
    return f"{number}{-total % 10}"


def _grouped(number: str, generator: random.Random) -> str:
    return generator.choice(("", " ", "-")).join(re.findall(".{1,4}", number))


def _resident_id(generator: random.Random, *, wrong: bool = False) -> str:
    place = generator.choice(("110105", "310104", "440305", "330106", "510107", "420106", "610113", "320102"))
    born = f"{generator.randrange(1940, 2012)}{generator.randrange(1, 13):02}{generator.randrange(1, 29):02}"
    number = place + born + _digits(generator, "###")
    check = (12 - sum(int(d) * pow(2, 17 - i, 11) for i, d in enumerate(number))) % 11
    return number + "0123456789X"[(check + wrong * generator.randrange(1, 11)) % 11]


def _company_code(generator: random.Random, *, wrong: bool = False) -> str:
    alphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"
    organisation = _letters(generator, 8, "0123456789ABCDEFGHJKLMNPQRTUWXY")
    weights = (3, 7, 9, 10, 5, 8, 4, 2)
    value = string.digits + string.ascii_uppercase
    rest = -sum(value.index(c) * w for c, w in zip(organisation, weights, strict=True)) % 11
    number = generator.choice(("91110105", "91310104", "91440305", "91330106")) + organisation + "0123456789X"[rest]
    check = -sum(alphabet.index(c) * pow(3, i, 31) for i, c in enumerate(number)) % 31
    return number + alphabet[(check + wrong * generator.randrange(1, 31)) % 31]


def _iban(generator: random.Random, *, wrong: bool = False) -> str:
    country, body = "DE", _digits(generator, "50010517##########")
    if generator.random() < 0.5:
        country, body = "GB", "WEST" + _digits(generator, "##############")
    number = int("".join(str(int(c, 36)) for c in f"{body}{country}00"))
    check = (98 - number % 97 - 2 + wrong * generator.randrange(1, 90)) % 97 + 2
    return generator.choice((str, lambda n: " ".join(re.findall(".{1,4}", n))))(f"{country}{check:02}{body}")


def _card(generator: random.Random) -> str:
    begin = generator.choice(("4###", "51##", "55##", "62##", "3528"))
    return _luhn(_digits(generator, f"{begin}###########"))


def _wrong_card(generator: random.Random) -> str:
    card = _card(generator)
    return _grouped(card[:-1] + str((int(card[-1]) + generator.randrange(1, 10)) % 10), generator)


_NAMES = ("li.wei", "anna_k", "j.smith", "zhangsan88", "maria", "tom+news", "w-chen", "support.desk")
_HOSTS = ("gmail.com", "163.com", "mail.example.co.uk", "qq.com", "uni-bonn.de", "firm.io", "corp.com.cn")
_JSON = "eyJhbGciOiJIUzI1NiJ9"


def personal_item(kind: str, generator: random.Random) -> str:
    """A piece of made personal data: every number satisfies its checksum."""
    pick = generator.choice
    if kind == "email":
        return f"{pick(_NAMES)}{generator.randrange(99)}@{pick(_HOSTS)}"
    if kind == "phone":
        forms = ("138########", "1590### ####", "186-####-####", "+86 139 #### ####", "010-62######", "0755-26######")
        forms += ("(212) 55#-####", "415-67#-####", "+1 646 55# ####", "020 7946 0###", "07911 12####")
        forms += ("+44 7911 12####", "021-64######", "+49 30 1234####", "+33 6 12 34 ## ##", "0086 13800######")
        return _digits(generator, pick(forms))
    if kind == "id_number":
        form = pick(("resident", "resident", "ssn", "nino"))
        if form == "resident":
            return _resident_id(generator)
        if form == "ssn":
            return f"{generator.randrange(100, 666)}-{generator.randrange(10, 99)}-{generator.randrange(1000, 9999)}"
        return f"{pick('ABCEHJ')}{pick('ABCEHJ')} {_digits(generator, '## ## ##')} {pick('ABCD')}"
    if kind == "ip_address":
        if generator.random() < 0.3:
            return f"2a00:1450:{generator.randrange(4096, 65535):x}:{generator.randrange(16, 4095):x}::{pick('123abc')}"
        return f"{pick((8, 23, 61, 114, 183, 202))}." + ".".join(str(generator.randrange(1, 255)) for _ in range(3))
    if kind == "secret":
        return pick(
            (
                f"AKIA{_letters(generator, 16, string.ascii_uppercase + '234567')}",
                f"ghp_{_letters(generator, 36)}",
                f"sk-proj-A1{_letters(generator, 40)}",
                f"{_JSON}.{'eyJ' + _letters(generator, 40)}.{_letters(generator, 43)}",
                f"-----BEGIN PRIVATE KEY-----\n{_letters(generator, 64)}=\n-----END PRIVATE KEY-----",
            )
        )
    makers = {"payment_card": lambda g: _grouped(_card(g), g), "bank_account": _iban, "company_code": _company_code}
    return makers[kind](generator)


KINDS = ("email", "phone", "id_number", "payment_card", "bank_account", "company_code", "ip_address", "secret")


def look_alike(generator: random.Random) -> tuple[str, str]:
    """Something that is no personal data, and the kind that it could be taken for."""
    many = generator.randrange
    isbn = "978" + _digits(generator, "#########")
    isbn += str(-sum(int(d) * (1 + 2 * (i % 2)) for i, d in enumerate(isbn)) % 10)
    return generator.choice(
        (
            (f"ISBN {isbn[:3]}-{isbn[3]}-{isbn[4:7]}-{isbn[7:12]}-{isbn[12]}", "payment_card"),
            (f"ISBN {isbn}", "payment_card"),
            (_digits(generator, "version 1#.#.#.#"), "ip_address"),
            (_digits(generator, "v2.1#.#.1##"), "ip_address"),
            (_digits(generator, "Chrome/9#.0.44##.1##"), "ip_address"),
            (f"192.168.{many(255)}.{many(255)}", "ip_address"),
            (f"{many(24):02}:{many(60):02}:{many(60):02}", "ip_address"),
            ("std::vector::iterator", "ip_address"),
            (_digits(generator, "order 20######-######"), "phone"),
            (_digits(generator, "订单号20############"), "payment_card"),
            (_digits(generator, "编号138########"), "phone"),
            (f"{many(1900, 2030)}-{many(1, 13):02}-{many(1, 29):02} {many(24):02}:{many(60):02}", "phone"),
            (f"{many(1900, 2030)}年{many(1, 13)}月{many(1, 29)}日", "phone"),
            (_digits(generator, "1,2##,###.##"), "phone"),
            (_digits(generator, "￥1####.## 至 2####.##"), "phone"),
            (_digits(generator, "3.1415########"), "phone"),
            (_digits(generator, "31.2#####, 121.4#####"), "phone"),
            (_digits(generator, "arXiv:21##.1####"), "phone"),
            (_digits(generator, "doi:10.1038/s41586-0##-0####-#"), "phone"),
            (_digits(generator, "17#######1"), "phone"),
            (_digits(generator, "1995-1998, 2001-2004"), "phone"),
            (f"@{generator.choice(_NAMES)}", "email"),
            (f"{generator.choice(_NAMES)}@ 说", "email"),
            ("icon@2x.png", "email"),
            ("lodash@4.17.21", "email"),
            ("git@github.com:firm/project.git", "email"),
            (_wrong_card(generator), "payment_card"),
            (_resident_id(generator, wrong=True), "id_number"),
            (_company_code(generator, wrong=True), "company_code"),
            (_iban(generator, wrong=True), "bank_account"),
            (_digits(generator, "000-##-####"), "id_number"),
            (f"sk-{'-'.join(made_texts(generator, 1, 'en', 6)[0].split())[:40].lower()}", "secret"),
            (_letters(generator, 40, "0123456789abcdef"), "secret"),
        )
    )


_AROUND = {
    "en": ("Write to {} before noon.", "It was {}, she said.", "See {} for more (as agreed).", "They have {} on file;"),
    "zh": ("请联系{}，谢谢。", "资料里写的是{}。", "他说{}，我记下了。", "见{}（如前所述）。"),
}


def with_personal_data(
    generator: random.Random, items: int = 500, look_alikes: int = 500
) -> tuple[list[str], list[list[tuple[str, str]]], list[tuple[str, str] | None]]:
    """Texts in English and Chinese, the items of each with their kinds, and the look-alike of those without."""
    planted: list[tuple[tuple[str, str], bool]] = []
    for index in range(items):
        kind = KINDS[index % len(KINDS)]
        planted.append(((personal_item(kind, generator), kind), True))
    planted += [(look_alike(generator), False) for _ in range(look_alikes)]
    generator.shuffle(planted)
    texts, found, alike = [], [], []
    for number, ((value, kind), is_item) in enumerate(planted):
        language = ("en", "zh")[number % 2]
        before, after = made_texts(generator, 2, language, 12)
        texts.append(f"{before} {generator.choice(_AROUND[language]).format(value)} {after}")
        found.append([(value, kind)] if is_item else [])
        alike.append(None if is_item else (value, kind))
    return texts, found, alike


# As a script


def documents(source: str, characters: int, count: int) -> list[str]:
    """Pieces of so many characters from a file of JSON lines with a text in each, in order."""
    import json
    import lzma

    opened = lzma.open if source.endswith(".xz") else open
    found: list[str] = []
    with opened(source, "rt", encoding="utf-8", newline="") as lines:
        for line in lines:
            text = json.loads(line)["text"]
            found += [text[at : at + characters] for at in range(0, len(text) - characters + 1, characters)]
            if len(found) >= count:
                break
    return found[:count]


def _held_by_others(texts: list[str], asked: list[int], length: int) -> int:
    """Of the texts asked for, how many share three fifths of their runs of words with one other; from 50 of them."""
    import numpy as np

    from daybreak.data import word_hashes

    if not asked:
        return 0
    runs = [word_hashes.runs(word_hashes.hashes(text), length) for text in texts]
    owner = np.repeat(np.arange(len(texts)), [len(of_one) for of_one in runs])
    every = np.concatenate(runs)
    looked_at = asked[:: -(-len(asked) // 50)]
    held = 0
    for index in looked_at:
        shared = np.bincount(owner[np.isin(every, runs[index])], minlength=len(texts))
        shared[index] = 0
        held += bool(shared.max() > 0.6 * len(runs[index]))
    return round(held / len(looked_at) * len(asked))


def near_copies(texts: list[str], copies: int, generator: random.Random) -> str:
    """One line of results. Copies that the source itself holds are counted as found rightly where the sets agree."""
    import time

    import numpy as np

    from daybreak.data.duplicates import NearDuplicates

    near = NearDuplicates()
    mixed, planted = with_near_copies(texts, copies, generator)
    parts = [mixed[at : at + 64] for at in range(0, len(mixed), 64)]
    began = time.process_time()
    signatures = np.concatenate([near.signatures(part) for part in parts])
    making = time.process_time() - began
    began = time.process_time()
    kept = near.kept(signatures)
    removed = set(np.flatnonzero(~kept).tolist())
    deciding = time.process_time() - began
    natural = _held_by_others(mixed, sorted(removed - planted), near.shingle_words)
    right = len(removed & planted)
    size = sum(len(text.encode()) for text in mixed) / 1e6
    again = near.kept(signatures[kept]).all()
    return (
        f"{len(mixed)} documents of {size:.1f} MB: recall {right / len(planted):.4f}, "
        f"precision {(right + natural) / max(1, len(removed)):.4f} ({right / max(1, len(removed)):.4f} with {natural} "
        f"copies of the source's own), idempotent {again}; signatures {size / making:.1f} MB/s, kept {deciding:.2f} s"
    )


def personal(generator: random.Random, items: int) -> list[str]:
    """A line of results for each kind."""
    from daybreak.data.personal import find

    texts, planted, _ = with_personal_data(generator, items, items)
    all_items, right, wrong = collections.Counter[str](), collections.Counter[str](), collections.Counter[str]()
    for text, here in zip(texts, planted, strict=True):
        all_items.update(kind for _, kind in here)
        for start, end, kind in find(text):
            (right if (text[start:end], kind) in here else wrong)[kind] += 1
    return [
        f"{kind}: recall {right[kind] / all_items[kind]:.3f}, "
        f"precision {right[kind] / max(1, right[kind] + wrong[kind]):.3f} of {all_items[kind]}"
        for kind in KINDS
    ]


def main() -> None:
    import argparse

    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--source", action="append", default=[], help="JSON lines with a text each, .xz or not")
    asked.add_argument("--characters", type=int, nargs="+", default=[300, 2000, 8192])
    asked.add_argument("--documents", type=int, default=9000)
    asked.add_argument("--copies", type=int, default=1000)
    asked.add_argument("--seed", type=int, default=0)
    given = asked.parse_args()
    for source in given.source:
        for characters in given.characters:
            texts = documents(source, characters, given.documents)
            copies = min(given.copies, len(texts) // 3)
            print(
                f"{source}, {characters} characters:", near_copies(texts, copies, random.Random(given.seed)), flush=True
            )
    for line in personal(random.Random(given.seed), 500):
        print(line)


if __name__ == "__main__":
    main()
