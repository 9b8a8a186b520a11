"""Vocabulary: which kind of tokenizer, learnt on a sample, with its bytes per token at every size to plan with."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from daybreak.core.errors import UsageError, nearest
from daybreak.core.types import Corpus, Request, TokenizerChoice
from daybreak.data import tokenizers
from daybreak.data.tokenizers import (
    KINDS,
    LEARNT_AT_EVERY_SIZE,
    NOT_LOSSLESS,
    VOCABULARY_LADDER,
    base,
    byte_tokenizer,
    train_tokenizer,
)
from daybreak.data.tokenizers.base import Tokenizer
from daybreak.models import families

JOINING_PAYS_FROM = 3.5  # bytes a token; below it joined characters spare little and blur what is counted
TRIED_BYTES = 400_000
WHOLE_CHARACTERS = 0.95  # bytes per token against the largest vocabulary's
CHARACTERS_PAY_FROM = 1.01  # times the bytes a token of byte-level BPE at the same vocabulary: below, it is chance
# A large vocabulary needs text to be learnt from and time to be trained.
FOR_SECONDS = ((30, 2048), (400, 8192), (7200, 16384))
BYTES_FOR_A_TOKEN = 500


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """A tokenizer at its largest vocabulary, and its measurements on unseen text."""

    tokenizer: Tokenizer
    kind: str  # one of KINDS, or "file"
    bytes_per_token: dict[str, float]  # by vocabulary
    tokens_per_second: float
    tried: dict[str, dict[str, float]]  # the same of every kind that was tried
    notes: tuple[str, ...] = field(default=())

    @property
    def end_of_text(self) -> int | None:
        """As in TokenizerChoice: None where it is the last id."""
        end = self.tokenizer.end_of_text
        return None if end == self.tokenizer.vocabulary - 1 else end


def check(request: Request) -> None:
    """Before any time is spent. Raises UsageError: no such kind or file, or a kind that cannot be scored by bytes."""
    asked = request.tokenizer
    if asked not in (*KINDS, "auto") and not Path(asked).is_file():
        raise UsageError(
            "no such tokenizer",
            received=f"--tokenizer {asked}",
            attempt=f"{nearest(asked, (*KINDS, 'auto'))} Or give the path of a tokenizer.json",
        )
    if not request.seconds:
        return
    family = families.named(request.family)
    if asked in NOT_LOSSLESS and family.lossless:
        raise _not_exact(asked, NOT_LOSSLESS[asked])
    if asked == "words" and not family.counted and request.native:
        raise UsageError(
            "transformers has no tokenizer of this kind",
            received="--tokenizer words",
            attempt="--no-native, so that only daybreak can open model/; or --tokenizer bpe; or --family ngram",
        )


def learnt(request: Request, sample: Sequence[str], unseen: Sequence[str], *, largest: int, chinese: bool) -> Learnt:
    """The kind that was asked for, or the best one; `largest`: the vocabulary that is worth learning.

    chinese: whether characters, not bytes, are what the text is counted in. Raises UsageError and ResourceError.
    """
    asked = request.tokenizer
    if asked in ("auto", "bpe"):
        return _byte_level(sample, unseen, largest=largest, chinese=chinese, others=asked == "auto")
    if asked not in KINDS:
        return inherited(request, tokenizers.load_tokenizer(Path(asked), lossless=True), unseen)
    if asked not in LEARNT_AT_EVERY_SIZE:
        largest = int(request.settings.get("vocabulary", largest))
    return _measured(train_tokenizer(sample, largest, kind=asked), asked, unseen)


def bytes_alone(*, tokens_per_second: float) -> Learnt:
    """The tokenizer that needs no text to be learnt from."""
    sizes = {str(base.BYTES_AND_END): 1.0}
    return Learnt(
        tokenizer=byte_tokenizer(),
        kind="bytes",
        bytes_per_token=sizes,
        tokens_per_second=tokens_per_second,
        tried={"bytes": sizes},
    )


def inherited(request: Request, tokenizer: Tokenizer, unseen: Sequence[str]) -> Learnt:
    """One that was learnt elsewhere. Raises UsageError: bits per byte cannot be told with it, and are asked for."""
    if request.seconds and not tokenizer.lossless and families.named(request.family).lossless:
        raise _not_exact(request.parent or request.tokenizer, tokenizer.loss)
    return _measured(tokenizer, "file", unseen)


def largest_vocabulary(text_bytes: int, seconds: float) -> int:
    """The top of the ladder that is worth learning."""
    by_time = next((size for limit, size in FOR_SECONDS if seconds < limit), 32768)
    most = min(by_time, max(1024, text_bytes // BYTES_FOR_A_TOKEN))
    return max(size for size in VOCABULARY_LADDER if size <= most)


def choice_of(corpus: Corpus, vocabulary: int) -> TokenizerChoice:
    """The tokenizer of the text, at this vocabulary."""
    kind = corpus.tokenizer
    if vocabulary == base.BYTES_AND_END and kind in LEARNT_AT_EVERY_SIZE:
        kind = "bytes"
    return TokenizerChoice(kind=kind, vocabulary=vocabulary, end_of_text=corpus.end_of_text)


def known_vocabulary(vocabulary: int, corpus: Corpus) -> int:
    """Raises UsageError: a vocabulary that was not learnt from this text."""
    known = sorted(int(size) for size in corpus.bytes_per_token)
    if vocabulary not in known:
        raise UsageError(
            "the tokenizer was not trained with this vocabulary size",
            received=f"vocabulary={vocabulary}",
            attempt=f"one of: {', '.join(map(str, known))}",
        )
    return vocabulary


def nearest_vocabulary(vocabulary: int, corpus: Corpus) -> int:
    """The one of the ladder that was asked for, or the next smaller one that this text has, or its smallest.

    A tokenizer of one size has that. Raises UsageError: a number that is not of the ladder.
    """
    known = sorted(int(size) for size in corpus.bytes_per_token)
    if len(known) > 1 and vocabulary not in VOCABULARY_LADDER:
        return known_vocabulary(vocabulary, corpus)
    return max((size for size in known if size <= vocabulary), default=known[0])


def _byte_level(sample: Sequence[str], unseen: Sequence[str], *, largest: int, chinese: bool, others: bool) -> Learnt:
    """Byte-level BPE; or characters, where Chinese words are rare and characters say more at the same vocabulary."""
    join_han = not chinese or _joining_pays(sample, unseen, largest)
    bpe = _measured(train_tokenizer(sample, largest, join_han=join_han), "bpe", unseen)
    if join_han:
        return bpe
    tried = dict(bpe.tried)
    best = bpe
    note = "words of several Chinese characters are rare here, so every character is a token of its own"
    if others:
        characters = _measured(train_tokenizer(sample, largest, kind="characters"), "characters", unseen)
        tried |= characters.tried
        top = max(map(int, characters.bytes_per_token))
        if characters.bytes_per_token[str(top)] >= CHARACTERS_PAY_FROM * bpe.bytes_per_token.get(
            str(top), float("inf")
        ):
            best = characters
    # A smaller vocabulary would only spell characters in pieces.
    most = max(best.bytes_per_token.values())
    kept = {v: size for v, size in best.bytes_per_token.items() if size >= WHOLE_CHARACTERS * most}
    return Learnt(
        tokenizer=best.tokenizer,
        kind=best.kind,
        bytes_per_token=kept,
        tokens_per_second=best.tokens_per_second,
        tried=tried,
        notes=(note,),
    )


def _measured(tokenizer: Tokenizer, kind: str, unseen: Sequence[str]) -> Learnt:
    ladder: Sequence[int] = (tokenizer.vocabulary,)
    if kind in LEARNT_AT_EVERY_SIZE:
        ladder = [size for size in VOCABULARY_LADDER if size <= tokenizer.vocabulary]
    bytes_per_token, rate = tokenizers.measure(unseen, ladder, learnt=tokenizer)
    return Learnt(
        tokenizer=tokenizer,
        kind=kind,
        bytes_per_token=bytes_per_token,
        tokens_per_second=rate,
        tried={kind: bytes_per_token},
    )


def _joining_pays(sample: Sequence[str], unseen: Sequence[str], vocabulary: int) -> bool:
    """Whether tokens of several Chinese characters are common enough to spare much, tried on a little of the text."""
    little, size = [], 0
    for text in sample:
        little.append(text)
        size += len(text.encode())
        if size >= TRIED_BYTES:
            break
    tried = train_tokenizer(little, vocabulary)
    bytes_per_token, _ = tokenizers.measure(unseen, [tried.vocabulary], learnt=tried)
    return max(bytes_per_token.values()) >= JOINING_PAYS_FROM


def _not_exact(asked: str, why: str) -> UsageError:
    return UsageError(
        "the tokenizer does not keep every byte of the text",
        received=f"--tokenizer {asked}: {why}",
        attempt="--tokenizer bpe, unigram or characters; only `daybreak prepare` takes every kind",
    )
