"""Growth: a tokenizer goes on learning from text of a new language, and keeps every id and every cut that it had."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from daybreak.core.errors import UsageError
from daybreak.core.values import Json
from daybreak.data.tokenizers.base import utf8
from daybreak.data.tokenizers.layout import Layout

if TYPE_CHECKING:
    import tokenizers

COVERAGE = 0.9995  # share of characters without a token that get one, SentencePiece's for large alphabets
LEAST_SEEN = 2
LONGEST = 64  # bytes of a new token
CHUNK = 64  # texts that are encoded at a time
CUT = 100_000  # characters of one string
SPACE = "\u2581"

_SYMBOLS = 0x10000  # code points from here on stand for tokens while merges are learnt: a million are free
_BREAK = 0xA  # stands between words
_UNUSED = "\U0010ffff{}"  # a spelling that no text has, for ids that a Unigram model must not skip


class Grown(NamedTuple):
    """data: the new tokenizer.json. Token first + i was spelled by the old tokens pieces[i], or was unknown: ()."""

    data: Json
    first: int
    pieces: list[tuple[int, ...]]


def grown(data: Json, texts: Iterable[str], more: int, *, first: int | None = None) -> Grown:
    """At most `more` tokens more, learnt from the texts, fewer where there is too little to learn.

    Every old token keeps its id, and a text in which none of the new tokens is spelled is cut as before. In a BPE the
    new merges follow the old ones, each of which therefore happens first, and are learnt on what the old ones leave.
    (That more tokens for a language pay: arXiv:2304.08177.) first: the id of the first new token, where ids after the
    tokenizer's own are in use. All of `texts` is read; a bounded sample is the caller's duty.

    Raises UsageError: no room asked for, or a tokenizer whose way of spelling cannot be continued.
    """
    if more < 1:
        raise UsageError("--grow-vocabulary must be at least 1", received=f"{more}", attempt="512 or more")
    if "daybreak" in data:
        raise _refused("a tokenizer of whole words")
    layout = Layout(data)
    first = max(layout.vocabulary, first or 0)
    sample = [utf8(text[start : start + CUT]).decode() for text in texts for start in range(0, len(text), CUT)]
    if layout.kind == "bpe":
        _check_bpe(layout)
        return _bpe(layout, sample, more, first)
    if layout.kind == "unigram":
        return _unigram(layout, sample, more, first)
    if layout.kind == "wordpiece":
        return _wordpiece(layout, sample, more, first)
    raise _refused(f"a tokenizer of whole words ({layout.kind})")


def _check_bpe(layout: Layout) -> None:
    model = layout.model
    for name in ("continuing_subword_prefix", "end_of_word_suffix", "dropout"):
        if model.get(name):
            raise _refused(f"a BPE with {name}={model[name]!r}")


def _refused(why: str) -> UsageError:
    return UsageError(
        "this tokenizer cannot be extended with new tokens",
        received=why,
        attempt="leave out --grow-vocabulary, or use a checkpoint with byte-level BPE, BPE "
        "with byte fallback, WordPiece or Unigram",
    )


# The old tokens of the sample


def _library(data: Json) -> "tokenizers.Tokenizer":
    import tokenizers

    plain = {**data, "truncation": None, "padding": None, "post_processor": None}
    made = tokenizers.Tokenizer.from_str(json.dumps(plain))
    made.encode_special_tokens = True
    return made


def _encoded(data: Json, sample: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Tokens of each text, int64 [n], and the number of the word that each is in, int64 [n]."""
    tokenizer = _library(data)
    for start in range(0, len(sample), CHUNK):
        for encoding in tokenizer.encode_batch(sample[start : start + CHUNK], add_special_tokens=False):
            words = [-1 if word is None else word for word in encoding.word_ids]
            yield np.array(encoding.ids, dtype=np.int64), np.array(words, dtype=np.int64)


def _merges(
    encoded: Iterable[tuple[np.ndarray, np.ndarray]], more: int, *, alone: np.ndarray, begins: np.ndarray
) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Pairs of sequences of old tokens, in the order in which they are to be joined.

    alone, begins: bool [V]; tokens that are joined with none, and tokens that begin a word wherever they stand. The
    library learns on characters that stand for tokens.
    """
    import tokenizers

    parts = list(encoded)
    used = np.unique(np.concatenate([ids for ids, _ in parts])) if parts else np.zeros(0, np.int64)
    used = used[~alone[used]]
    if not len(used):
        return []
    symbol = np.full(len(alone), _BREAK, dtype=np.uint32)
    symbol[used] = _SYMBOLS + np.arange(len(used), dtype=np.uint32)

    def spelled(ids: np.ndarray, words: np.ndarray) -> str:
        new = np.ones(len(ids), dtype=bool)
        new[1:] = (words[1:] != words[:-1]) | begins[ids[1:]]
        places = np.arange(len(ids)) + new.cumsum()
        codes = np.full(len(ids) + int(new.sum()), _BREAK, dtype=np.uint32)
        codes[places] = symbol[ids]
        return codes.tobytes().decode("utf-32-le")

    learner = tokenizers.Tokenizer(tokenizers.models.BPE())
    learner.pre_tokenizer = tokenizers.pre_tokenizers.Split(chr(_BREAK), "removed")
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=len(used) + more, min_frequency=LEAST_SEEN, special_tokens=[], show_progress=False
    )
    learner.train_from_iterator((spelled(*part) for part in parts), trainer)

    def old(text: str) -> tuple[int, ...]:
        return tuple(used[[ord(character) - _SYMBOLS for character in text]].tolist())

    return [(old(left), old(right)) for left, right in json.loads(learner.to_str())["model"]["merges"]]


class _Joined(NamedTuple):
    """What merges make of old tokens: the spellings of each pair, and the pieces of each new token by its spelling."""

    pairs: list[tuple[str, str]]
    pieces: dict[str, tuple[int, ...]]


def _joined(
    merges: Iterable[tuple[tuple[int, ...], tuple[int, ...]]],
    spelling: dict[int, str],
    taken: set[str],
    more: int,
    length: Callable[[str], int],
) -> _Joined:
    """Without what is spelled like a token that there is, or is too long, and what would be made of that."""
    found = _Joined([], {})
    left_out: set[tuple[int, ...]] = set()
    for left, right in merges:
        one, other = ("".join(spelling[token] for token in part) for part in (left, right))
        name = one + other
        if left in left_out or right in left_out or name in taken or length(name) > LONGEST:
            left_out.add(left + right)
            continue
        if name not in found.pieces:
            if len(found.pieces) == more:
                break
            found.pieces[name] = left + right
        found.pairs.append((one, other))
    return found


# Each kind


def _bpe(layout: Layout, sample: list[str], more: int, first: int) -> Grown:
    model = layout.model
    pieces: list[tuple[int, ...]] = []
    vocabulary = {**model["vocab"], **_added(layout)}
    if not layout.byte_level:
        falls_back = bool(model.get("byte_fallback"))
        for character in _unknown(_counted(sample, layout), vocabulary)[:more]:
            spelled = [vocabulary.get(f"<0x{value:02X}>") for value in character.encode()] if falls_back else []
            pieces.append(tuple(token for token in spelled if token is not None))
            vocabulary[character] = first + len(pieces) - 1
    data = {**layout.data, "model": {**model, "vocab": vocabulary}}
    if len(pieces) < more:
        spelling = {token: text for text, token in vocabulary.items()}
        alone, begins = _flags(layout, spelling, first + len(pieces))
        merges = _merges(_encoded(data, sample), _slack(more - len(pieces)), alone=alone, begins=begins)
        length = len if layout.byte_level else (lambda name: len(name.encode()))
        found = _joined(merges, spelling, set(vocabulary), more - len(pieces), length)
        characters = list(pieces)
        for name, parts in found.pieces.items():
            vocabulary[name] = first + len(pieces)
            pieces.append(_in_old(parts, characters, first))
        as_text = model["merges"] and isinstance(model["merges"][0], str)
        pairs = [" ".join(pair) if as_text else list(pair) for pair in found.pairs]
        data = {**layout.data, "model": {**model, "vocab": vocabulary, "merges": [*model["merges"], *pairs]}}
    return Grown(data, first, pieces)


def _unigram(layout: Layout, sample: list[str], more: int, first: int) -> Grown:
    """A new piece is a little less likely than the rarer of its halves: likelier than both, one after the other."""
    model = layout.model
    vocabulary = [list(entry) for entry in model["vocab"]]
    # What has no token costs a little more than the least likely one: that must stay what it is.
    least = min(float(entry[1]) for entry in vocabulary)
    added = {token: text for text, token in _added(layout).items()}
    vocabulary += [[added.get(token, _UNUSED.format(token)), least] for token in range(len(vocabulary), first)]
    score = {entry[0]: float(entry[1]) for entry in vocabulary}
    pieces: list[tuple[int, ...]] = []
    counts = Counter() if layout.byte_level else _counted(sample, layout)
    total = max(1, sum(counts.values()))
    for character in _unknown(counts, score)[:more]:
        score[character] = float(np.log(counts[character] / total))
        vocabulary.append([character, score[character]])
        pieces.append(())
    data = {**layout.data, "model": {**model, "vocab": vocabulary}}
    if len(pieces) < more:
        spelling = {token: entry[0] for token, entry in enumerate(vocabulary)}
        alone, begins = _flags(layout, spelling, len(vocabulary))
        merges = _merges(_encoded(data, sample), _slack(more - len(pieces)), alone=alone, begins=begins)
        found = _joined(merges, spelling, set(score), more - len(pieces), lambda name: len(name.encode()))
        characters = list(pieces)
        for one, other in found.pairs:
            rarer = min(score[one], score[other])
            score.setdefault(one + other, max(rarer - 0.1, score[one] + score[other] + 0.1))
        for name, parts in found.pieces.items():
            vocabulary.append([name, score[name]])
            pieces.append(_in_old(parts, characters, first))
        data = {**layout.data, "model": {**model, "vocab": vocabulary}}
    return Grown(data, first, pieces)


def _wordpiece(layout: Layout, sample: list[str], more: int, first: int) -> Grown:
    """Characters, each where it begins a word and where it continues one, and then whole words.

    A word is cut by its longest beginnings. Where what a new word leaves of a longer one could not be spelled, no words
    are taken in: that longer word would become unknown.
    """
    prefix = layout.model.get("continuing_subword_prefix", "##")
    vocabulary = {**layout.model["vocab"], **_added(layout)}
    words = _words(sample, layout)
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for index, character in enumerate(word):
            counts[prefix + character if index else character] += count
    pieces: list[tuple[int, ...]] = []
    for name in _frequent(Counter({name: count for name, count in counts.items() if name not in vocabulary}))[:more]:
        other = name.removeprefix(prefix) if name.startswith(prefix) else prefix + name
        known = layout.model["vocab"].get(other)
        pieces.append(() if known is None else (known,))
        vocabulary[name] = first + len(pieces) - 1
    data = {**layout.data, "model": {**layout.model, "vocab": vocabulary}}
    inner = {character for name in vocabulary if name.startswith(prefix) for character in name.removeprefix(prefix)}
    if len(pieces) < more and all(prefix + character in vocabulary for character in inner):
        model = _library(data).model
        gains: dict[str, int] = {}
        spelled: dict[str, list[int]] = {}
        for word, count in words.items():
            ids = [token.id for token in model.tokenize(word)]
            if count >= LEAST_SEEN and len(ids) > 1 and len(word.encode()) <= LONGEST:
                gains[word], spelled[word] = count * (len(ids) - 1), ids
        characters = list(pieces)
        best = sorted(gains.keys() - vocabulary.keys(), key=lambda word: (-gains[word], word))
        for word in best[: more - len(pieces)]:
            vocabulary[word] = first + len(pieces)
            pieces.append(_in_old(tuple(spelled[word]), characters, first))
    return Grown(data, first, pieces)


def _added(layout: Layout) -> dict[str, int]:
    """Tokens beside the model's own. The library numbers those anew that the model does not know, behind all others."""
    return {**{text: token for token, text in layout.special.items()}, **layout.added}


def _in_old(parts: tuple[int, ...], characters: list[tuple[int, ...]], first: int) -> tuple[int, ...]:
    """The old tokens of a new one. characters: those of the new characters, whose ids begin at `first`."""
    return tuple(
        token
        for part in parts
        for token in (characters[part - first] if first <= part < first + len(characters) else (part,))
    )


def _slack(more: int) -> int:
    """Merges to learn for so many tokens: some of them are not taken."""
    return more + more // 8 + 16


def _flags(layout: Layout, spelling: dict[int, str], rows: int) -> tuple[np.ndarray, np.ndarray]:
    """bool [rows]: tokens that are joined with no other, and those that begin a word wherever they stand."""
    alone, begins = np.ones(rows, dtype=bool), np.zeros(rows, dtype=bool)
    alone[list(spelling)] = False
    alone[[*layout.special, *layout.added.values()]] = True
    model = layout.model
    unknown = model.get("unk_id") if layout.kind == "unigram" else layout.ids.get(model.get("unk_token") or "")
    if unknown is not None:
        alone[unknown] = True
    for token, text in () if layout.byte_level else spelling.items():
        begins[token] = text.startswith(SPACE) or text[:1].isspace()
        # Signs end words where no rule cuts at them. Bytes that are joined have no spelling that a decoder knows.
        inner = text.lstrip(SPACE)
        if (inner and not any(map(str.isalnum, inner))) or (inner.startswith("<0x") and inner.endswith(">")):
            alone[token] = True
    return alone, begins


# What is counted


def _normalized(sample: Iterable[str], layout: Layout) -> Iterator[str]:
    normalizer = _library(layout.data).normalizer
    for text in sample:
        yield text if normalizer is None else normalizer.normalize_str(text)


def _counted(sample: Iterable[str], layout: Layout) -> Counter[str]:
    counts: Counter[str] = Counter()
    for text in _normalized(sample, layout):
        counts.update(text)
    return counts


def _unknown(counts: Counter[str], known: Mapping[str, object]) -> list[str]:
    """Characters without a token, the most frequent first, that make up nearly all of those."""
    return _frequent(Counter({c: n for c, n in counts.items() if c not in known and c.isprintable() and c != " "}))


def _frequent(counts: Counter[str]) -> list[str]:
    kept, seen, total = [], 0, sum(counts.values())
    for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        if count < LEAST_SEEN or seen >= COVERAGE * total:
            break
        kept.append(name)
        seen += count
    return kept


def _words(sample: Iterable[str], layout: Layout) -> Counter[str]:
    cut = _library(layout.data).pre_tokenizer
    counts: Counter[str] = Counter()
    for text in _normalized(sample, layout):
        counts.update([text] if cut is None else (word for word, _ in cut.pre_tokenize_str(text)))
    return counts
