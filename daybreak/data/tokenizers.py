"""Tokenizers: byte-level BPE with Qwen2's pre-tokenizer, learnt, saved as tokenizer.json, and fast to encode with."""

import codecs
import functools
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from daybreak.core.errors import ResourceError, UsageError

END_OF_TEXT = "<|endoftext|>"
VOCABULARY_LADDER = (257, 512, 1024, 2048, 4096, 8192, 16384, 32768)

# Qwen2's, so that vLLM and llama.cpp know it. It splits every digit: numbers are spelled the same way everywhere.
PRE_TOKENIZER = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)

_HAN = r"\p{Han}"
_LONGEST_TOKEN = 64  # bytes; without it rulers and rows of spaces eat a share of the vocabulary
_LONGEST_LEARNT = 100_000  # characters of one string; shorter strings also spread over the cores
_MEASURED_CHARACTERS = 128_000


class Tokenizer:
    """Byte-level BPE. The id of a byte is its value, merge i makes token 256 + i, and the last id ends a text.

    `merges` are pairs of ids. No normalizer: what is decoded is what was encoded, byte for byte. Encoding is by
    tiktoken where it is installed (several times faster) and by tokenizers elsewhere, with the same tokens.
    """

    def __init__(self, merges: Sequence[tuple[int, int]]) -> None:
        self.merges = tuple(merges)
        pieces = [bytes([value]) for value in range(256)]
        for left, right in self.merges:
            pieces.append(pieces[left] + pieces[right])
        self._pieces = [*pieces, b""]
        self.vocabulary = len(self._pieces)
        self.end_of_text = self.vocabulary - 1
        self.token_bytes = np.array([len(piece) for piece in self._pieces], dtype=np.uint16)
        self.dtype: type[np.unsignedinteger[Any]] = np.uint16 if self.vocabulary <= 1 << 16 else np.uint32

    # Making one

    @classmethod
    def bytes_only(cls) -> "Tokenizer":
        """Every byte is a token, and the end of a text is one: a vocabulary of 257."""
        return cls(())

    @classmethod
    def learn(cls, documents: Iterable[str], vocabulary: int, *, join_han: bool = True) -> "Tokenizer":
        """Learns at most `vocabulary` tokens, fewer where the text has no further pair twice. Raises UsageError.

        join_han: whether a token may hold more than one Chinese character. The tokenizer is of the same kind either
        way: where no such merge was learnt, none can happen. All of `documents` is read; a bounded sample is the
        caller's duty. The same documents give the same tokens.
        """
        if vocabulary < 257:
            raise UsageError(
                "the vocabulary is too small",
                received=str(vocabulary),
                attempt="at least 257: the bytes and the end of a text",
            )
        if vocabulary == 257:
            return cls.bytes_only()
        import tokenizers

        learner = tokenizers.Tokenizer(tokenizers.models.BPE())
        apart = [] if join_han else [tokenizers.pre_tokenizers.Split(tokenizers.Regex(_HAN), "isolated")]
        learner.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
            [
                *apart,
                tokenizers.pre_tokenizers.Split(tokenizers.Regex(PRE_TOKENIZER), "isolated"),
                tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=vocabulary - 1,
            min_frequency=2,
            max_token_length=_LONGEST_TOKEN,
            initial_alphabet=list(_CHARACTERS),
            special_tokens=[],
            show_progress=False,
        )
        learner.train_from_iterator(_cut(documents), trainer)
        return cls(_merges_of(json.loads(learner.to_str())["model"]["merges"]))

    def truncated(self, vocabulary: int) -> "Tokenizer":
        """The tokenizer that learning at this smaller vocabulary would have given: its merges are the first ones."""
        return Tokenizer(self.merges[: max(vocabulary, 257) - 257])

    # Files

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """Reads what `save` wrote. Raises ResourceError where the file is damaged or another kind of tokenizer."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            vocabulary, merges = data["model"]["vocab"], data["model"]["merges"]
            tokenizer = cls(_merges_of(merges))
            if tokenizer._vocabulary_json() != vocabulary or data["added_tokens"][0]["id"] != tokenizer.end_of_text:
                raise ValueError("its ids are not in daybreak's order")
        except OSError as error:
            raise _unreadable(path, error.strerror or str(error)) from None
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise _unreadable(path, str(error)) from None
        return tokenizer

    def save(self, path: Path) -> None:
        """Writes tokenizer.json as Hugging Face's libraries read it; whole or not at all."""
        aside = path.with_name(path.name + ".part")
        aside.write_text(json.dumps(self.to_json(), ensure_ascii=False), encoding="utf-8")
        os.replace(aside, path)

    def to_json(self) -> dict[str, Any]:
        byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
        split = {"type": "Split", "pattern": {"Regex": PRE_TOKENIZER}, "behavior": "Isolated", "invert": False}
        end = {
            "id": self.end_of_text,
            "content": END_OF_TEXT,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [end],
            "normalizer": None,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
            "post_processor": None,
            "decoder": byte_level,
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": "",
                "end_of_word_suffix": "",
                "fuse_unk": False,
                "byte_fallback": False,
                "ignore_merges": False,
                "vocab": self._vocabulary_json(),
                "merges": [
                    [_spelled(self._pieces[left]), _spelled(self._pieces[right])] for left, right in self.merges
                ],
            },
        }

    def _vocabulary_json(self) -> dict[str, int]:
        return {_spelled(piece): index for index, piece in enumerate(self._pieces[:-1])}

    # Encoding

    def encode_documents(self, batch: Sequence[str]) -> list[np.ndarray]:
        """Tokens of each text, uint16 (uint32 above 65,536 tokens), on all cores; nothing is put between texts.

        A special token that is spelled out in a text is text.
        """
        if not self.merges:
            return [np.frombuffer(_encoded(text), dtype=np.uint8).astype(np.uint16) for text in batch]
        if len(batch) < 2 or cores() < 2:
            return [self._encoded(text) for text in batch]
        return list(_pool().map(self._encoded, batch))

    def encode(self, text: str) -> list[int]:
        return self.encode_documents([text])[0].tolist()

    def _encoded(self, text: str) -> np.ndarray:
        encoding = self._tiktoken
        if encoding is not None:
            try:
                return encoding.encode_to_numpy(text, disallowed_special=()).astype(self.dtype)
            except UnicodeEncodeError:
                return self._encoded(_encoded(text).decode())
            except ValueError:
                # A megabyte of blanks in a row overflows the stack of tiktoken's regular expressions.
                pass
        ids = self._tokenizers.encode(_encoded(text).decode(), add_special_tokens=False).ids
        return np.array(ids, dtype=self.dtype)

    @functools.cached_property
    def _tiktoken(self) -> Any:
        try:
            import tiktoken
        except ImportError:
            return None
        ranks = {piece: index for index, piece in enumerate(self._pieces[:-1])}
        # It looks for special tokens even where none counts, and for an empty set of them at every character.
        special = {END_OF_TEXT: self.end_of_text}
        return tiktoken.Encoding("daybreak", pat_str=PRE_TOKENIZER, mergeable_ranks=ranks, special_tokens=special)

    @functools.cached_property
    def _tokenizers(self) -> Any:
        import tokenizers

        return tokenizers.Tokenizer.from_str(json.dumps({**self.to_json(), "added_tokens": []}))

    # Decoding

    def bytes_of(self, token: int) -> bytes:
        """The bytes behind a token; none behind the end of a text."""
        return self._pieces[token]

    def decode(self, tokens: Iterable[int]) -> str:
        """The text; bytes that are not UTF-8 become U+FFFD, and the end of a text is nothing."""
        return b"".join(map(self._pieces.__getitem__, tokens)).decode("utf-8", "replace")


class StreamDecoder:
    """Text of tokens as they come; the first bytes of a character wait for its last one."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        return self._decoder.decode(self._tokenizer.bytes_of(token))

    def finish(self) -> str:
        """What still waits, as U+FFFD: the character will not be completed."""
        return self._decoder.decode(b"", final=True)


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
        learnt = Tokenizer.learn(seen, max(vocabularies))
    texts = list(_first_characters(unseen or sample, _MEASURED_CHARACTERS))
    total_bytes = sum(len(_encoded(text)) for text in texts)
    bytes_per_token, rate = {}, 0.0
    for vocabulary in sorted(vocabularies):
        tokenizer = learnt.truncated(vocabulary)
        if tokenizer.vocabulary < vocabulary:
            break
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
            yield _encoded(text[start : start + _LONGEST_LEARNT]).decode()


def _encoded(text: str) -> bytes:
    """UTF-8; half of a surrogate pair, which Python's strings can hold and UTF-8 cannot, becomes U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def _byte_characters() -> str:
    """GPT-2's spelling of the 256 bytes as visible characters, which tokenizer.json uses, in the order of the bytes."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [value for value in range(256) if value not in visible]
    spelled = {value: chr(value) for value in visible} | {value: chr(256 + i) for i, value in enumerate(hidden)}
    return "".join(spelled[value] for value in range(256))


_CHARACTERS = _byte_characters()


def _spelled(piece: bytes) -> str:
    return piece.decode("latin-1").translate(_SPELLING)


_SPELLING = dict(enumerate(_CHARACTERS))


def _merges_of(merges: Iterable[str | Sequence[str]]) -> list[tuple[int, int]]:
    """Pairs of ids from a tokenizer.json, which writes a merge as 'a b' or, since 2024, as ['a', 'b']."""
    ids = {character: value for value, character in enumerate(_CHARACTERS)}
    pairs = []
    for merge in merges:
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        # A second way to a token that there is already: ids are counted by tokens, not by merges.
        if left + right not in ids:
            pairs.append((ids[left], ids[right]))
            ids[left + right] = len(ids)
    return pairs


def _unreadable(path: Path, why: str) -> ResourceError:
    return ResourceError(
        "the tokenizer cannot be read",
        received=f"{path}: {why}",
        attempt="the tokenizer.json of a daybreak run, or `daybreak prepare` to write it again",
    )


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(cores(), 16), thread_name_prefix="encode")
