"""Tokenizers: one small protocol, the kinds by name, learnt from text or read from any tokenizer.json."""

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from daybreak.core.errors import UsageError, nearest
from daybreak.data.tokenizers.base import BYTES_AND_END, Tokenizer, utf8

VOCABULARY_LADDER = (257, 512, 1024, 2048, 4096, 8192, 16384, 32768)
KINDS = ("bytes", "characters", "bpe", "wordpiece", "unigram", "words")
LEARNT_AT_EVERY_SIZE = ("bytes", "characters", "bpe", "words")  # a smaller vocabulary is a beginning of a larger one
NOT_LOSSLESS = {"wordpiece": "WordPiece drops white space and characters outside its alphabet"}

_MEASURED_CHARACTERS = 128_000
_LONGEST_LEARNT = 100_000  # characters of one string; shorter strings also spread over the cores


def byte_tokenizer() -> Tokenizer:
    """Every byte is a token, and the end of a text is one: a vocabulary of 257."""
    from daybreak.data.tokenizers.byte_level import ByteLevelBpe

    return ByteLevelBpe(())


def train_tokenizer(
    documents: Iterable[str], vocabulary: int, *, kind: str = "bpe", join_han: bool = True
) -> Tokenizer:
    """Trains a tokenizer of at most `vocabulary` tokens, fewer where there is too little text. Raises UsageError.

    kind: one of KINDS. join_han: whether a token of a byte-level BPE may hold more than one Chinese character; the
    tokenizer is of the same kind either way: where no such merge was learnt, none can happen. All of `documents`
    is read; a bounded sample is the caller's duty. The same documents give the same tokens.
    """
    if kind not in KINDS:
        raise UsageError("unknown kind of tokenizer", received=kind, attempt=nearest(kind, KINDS))
    if vocabulary < BYTES_AND_END:
        raise UsageError(
            "the vocabulary is too small",
            received=str(vocabulary),
            attempt=f"at least {BYTES_AND_END}: one for each byte, and the end of text",
        )
    if kind == "bytes" or (vocabulary == BYTES_AND_END and kind != "wordpiece"):
        return byte_tokenizer()
    texts = _cut(documents)
    if kind == "bpe":
        from daybreak.data.tokenizers import byte_level

        return byte_level.learnt(texts, vocabulary, join_han=join_han)
    if kind == "characters":
        from daybreak.data.tokenizers import characters

        return characters.learnt(texts, vocabulary)
    if kind == "words":
        from daybreak.data.tokenizers import words

        return words.learnt(texts, vocabulary)
    from daybreak.data.tokenizers import training

    return training.wordpiece(texts, vocabulary) if kind == "wordpiece" else training.unigram(texts, vocabulary)


def load_tokenizer(path: Path, *, end_of_text: str = "", lossless: bool = False) -> Tokenizer:
    """Reads any tokenizer.json: daybreak's own, and those of Hugging Face's libraries with their ids kept.

    end_of_text: the special token that ends a text; else the first known one that the file has, or the `eos_token` of
    a tokenizer_config.json beside it. lossless: leave out a Unicode normalization before a byte-level tokenizer, which
    changes no token of text that is normalized. Raises ResourceError: the file is missing or damaged. Raises
    UsageError: nothing is known to end a text; the error names the special tokens that there are.
    """
    from daybreak.data.tokenizers.files import read

    return read(path, end_of_text=end_of_text, lossless=lossless)


def measure(
    sample: Sequence[str], vocabularies: Sequence[int] = VOCABULARY_LADDER, *, learnt: Tokenizer | None = None
) -> tuple[dict[str, float], float]:
    """Bytes per token for each vocabulary, and tokens encoded per second at the largest.

    Learns once, at the largest vocabulary, from nine tenths of the sample, and measures on the rest: on the text that
    it was learnt from, a large vocabulary looks better than it is. With `learnt` given, nothing is learnt, and the
    sample should be text that it has not seen. Vocabularies that the text is too small for are left out.
    """
    unseen = [text for index, text in enumerate(sample) if index % 10 == 9] if learnt is None else list(sample)
    if learnt is None:
        seen = [text for index, text in enumerate(sample) if index % 10 != 9] if unseen else sample
        learnt = train_tokenizer(seen, max(vocabularies))
    texts = list(_first_characters(unseen or sample, _MEASURED_CHARACTERS))
    total_bytes = sum(len(utf8(text)) for text in texts)
    bytes_per_token, rate = {}, 0.0
    for vocabulary in sorted(vocabularies):
        if vocabulary > learnt.vocabulary:
            break
        tokenizer = learnt.truncated(vocabulary)
        tokenizer.encode("warm")
        start = time.perf_counter()
        tokens = sum(len(ids) for ids in tokenizer.encode_documents(texts))
        rate = tokens / max(time.perf_counter() - start, 1e-9)
        bytes_per_token[str(vocabulary)] = total_bytes / max(tokens, 1)
    return bytes_per_token, rate


def _first_characters(texts: Iterable[str], limit: int) -> Iterator[str]:
    for text in texts:
        if limit <= 0:
            return
        yield text[:limit]
        limit -= len(text)


def _cut(documents: Iterable[str]) -> Iterator[str]:
    for text in documents:
        for start in range(0, len(text), _LONGEST_LEARNT):
            yield utf8(text[start : start + _LONGEST_LEARNT]).decode()
