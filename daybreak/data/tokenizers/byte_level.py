"""Byte-level BPE with Qwen2's pre-tokenizer: learnt with tokenizers, encoded with tiktoken, the same tokens."""

import functools
import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from daybreak.core.values import Json
from daybreak.data.tokenizers.base import BYTES_AND_END, END_OF_TEXT, Tokenizer, utf8

if TYPE_CHECKING:
    import tiktoken
    import tokenizers

# Qwen2's, so that vLLM and llama.cpp know it. It splits every digit: numbers are spelled the same way everywhere.
PRE_TOKENIZER = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# The same cuts for tiktoken. It tries alternatives in their order, so that words, most of any text, come first; and a
# group that does not look ahead is left to a faster engine as a whole.
WORDS_FIRST = (
    r"(?: ?\p{L}+|'(?i:s|t|re|ve|m|ll|d)|[^\r\n\p{L}\p{N}]\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+)"
    r"|\s+(?!\S)|\s"
)
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
SPLIT = {"type": "Split", "pattern": {"Regex": PRE_TOKENIZER}, "behavior": "Isolated", "invert": False}

_HAN = r"\p{Han}"
_LONGEST_TOKEN = 64  # bytes; without it rulers and rows of spaces eat a share of the vocabulary


def ends_only(added: Sequence[Json]) -> bool:
    """Whether all that was added is the end of a text, and special tokens behind it that no text holds."""
    if not added or added[0]["content"] != END_OF_TEXT:
        return False
    return all(token["special"] and token["id"] > added[0]["id"] for token in added[1:])


class ByteLevelBpe(Tokenizer):
    """The id of a byte is its value, merge i makes token 256 + i, and the last id ends a text.

    `merges` are pairs of ids. No normalizer: what is decoded is what was encoded, byte for byte. Encoding is by
    tiktoken where it is installed (several times faster) and by tokenizers elsewhere, with the same tokens.
    """

    def __init__(self, merges: Sequence[tuple[int, int]]) -> None:
        self.merges = tuple(merges)
        pieces = [bytes([value]) for value in range(256)]
        for left, right in self.merges:
            pieces.append(pieces[left] + pieces[right])
        self._pieces = [*pieces, b""]
        self.kind = "bpe" if self.merges else "bytes"
        self.vocabulary = len(self._pieces)
        self.end_of_text = self.vocabulary - 1
        self.token_bytes = np.array([len(piece) for piece in self._pieces], dtype=np.uint16)

    def truncated(self, vocabulary: int) -> "ByteLevelBpe":
        return ByteLevelBpe(self.merges[: max(vocabulary, BYTES_AND_END) - BYTES_AND_END])

    @classmethod
    def of_json(cls, data: Json) -> "ByteLevelBpe | None":
        """None where the file is of another kind, or its ids are not in this order."""
        model, added = data["model"], data["added_tokens"]
        split = data.get("pre_tokenizer") or {}
        if model.get("type") != "BPE" or split != {"type": "Sequence", "pretokenizers": [SPLIT, BYTE_LEVEL]}:
            return None
        if data.get("normalizer") or not ends_only(added):
            return None
        try:
            tokenizer = cls(_merges_of(model["merges"]))
        except KeyError:
            return None
        same = tokenizer._vocabulary_json() == model["vocab"] and added[0]["id"] == tokenizer.end_of_text
        return tokenizer if same else None

    def to_json(self) -> Json:
        merges = [[spelled(self._pieces[left]), spelled(self._pieces[right])] for left, right in self.merges]
        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [special_json(END_OF_TEXT, self.end_of_text)],
            "normalizer": None,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [SPLIT, BYTE_LEVEL]},
            "post_processor": None,
            "decoder": BYTE_LEVEL,
            "model": bpe_json(self._vocabulary_json(), merges, byte_fallback=False),
        }

    def _vocabulary_json(self) -> dict[str, int]:
        return {spelled(piece): index for index, piece in enumerate(self._pieces[:-1])}

    def encode_documents(self, batch: Sequence[str]) -> list[np.ndarray]:
        if not self.merges:
            return [np.frombuffer(utf8(text), dtype=np.uint8).astype(np.uint16) for text in batch]
        return spread(self._encoded, batch)

    def _encoded(self, text: str) -> np.ndarray:
        if self._tiktoken is not None:
            found = by_tiktoken(self._tiktoken, text)
            if found is not None:
                return found.astype(self.dtype)
        ids = self._tokenizers.encode(utf8(text).decode(), add_special_tokens=False).ids
        return np.array(ids, dtype=self.dtype)

    @functools.cached_property
    def _tiktoken(self) -> "tiktoken.Encoding | None":
        ranks = {piece: index for index, piece in enumerate(self._pieces[:-1])}
        return tiktoken_encoding(ranks, WORDS_FIRST, {END_OF_TEXT: self.end_of_text})

    @functools.cached_property
    def _tokenizers(self) -> "tokenizers.Tokenizer":
        import tokenizers

        return tokenizers.Tokenizer.from_str(json.dumps({**self.to_json(), "added_tokens": []}))

    def bytes_of(self, token: int) -> bytes:
        return self._pieces[token]


def learnt(texts: Iterable[str], vocabulary: int, *, join_han: bool) -> ByteLevelBpe:
    """Sennrich et al. (arXiv:1508.07909) over bytes; a pair that occurs once is not merged."""
    import tokenizers

    learner = tokenizers.Tokenizer(tokenizers.models.BPE())
    apart = [] if join_han else [tokenizers.pre_tokenizers.Split(tokenizers.Regex(_HAN), "isolated")]
    learner.pre_tokenizer = tokenizers.pre_tokenizers.Sequence([*apart, *byte_level_parts()])
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocabulary - 1,
        min_frequency=2,
        max_token_length=_LONGEST_TOKEN,
        initial_alphabet=list(CHARACTERS),
        special_tokens=[],
        show_progress=False,
    )
    learner.train_from_iterator(texts, trainer)
    return ByteLevelBpe(_merges_of(json.loads(learner.to_str())["model"]["merges"]))


def byte_level_parts() -> "list[tokenizers.pre_tokenizers.PreTokenizer]":
    """The pre-tokenizers of `tokenizers` that cut by PRE_TOKENIZER and spell bytes as characters."""
    import tokenizers

    return [
        tokenizers.pre_tokenizers.Split(tokenizers.Regex(PRE_TOKENIZER), "isolated"),
        tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]


# tiktoken, and threads


def tiktoken_encoding(ranks: dict[bytes, int], pattern: str, special: dict[str, int]) -> "tiktoken.Encoding | None":
    """None where tiktoken is not installed, or its regular expressions cannot say the pattern."""
    try:
        import tiktoken

        # It looks for special tokens even where none counts, and for an empty set of them at every character.
        return tiktoken.Encoding("daybreak", pat_str=pattern, mergeable_ranks=ranks, special_tokens=special)
    except (ImportError, ValueError):
        return None


def by_tiktoken(encoding: "tiktoken.Encoding", text: str) -> np.ndarray | None:
    """uint32 [tokens]; None where a megabyte of blanks in a row overflows the stack of its regular expressions."""
    try:
        return encoding.encode_to_numpy(text, disallowed_special=())  # type: ignore[no-any-return]
    except UnicodeEncodeError:
        return by_tiktoken(encoding, utf8(text).decode())
    except BaseException as error:  # a panic of Rust's is no Exception; it comes from files that do not hold together
        if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
            raise
        return None


def spread(encoded: Callable[[str], np.ndarray], batch: Sequence[str]) -> list[np.ndarray]:
    """`encoded` of each text: on all cores where there are several texts; what it calls lets go of Python meanwhile."""
    if len(batch) < 2 or cores() < 2:
        return [encoded(text) for text in batch]
    # Handing a text over costs as much as encoding a few hundred characters of it: many short texts go as one share.
    shares = 4 * min(cores(), 16)
    size = max(1, len(batch) // shares)
    parts = [batch[start : start + size] for start in range(0, len(batch), size)]
    return [ids for part in _pool().map(lambda texts: [encoded(text) for text in texts], parts) for ids in part]


_threads: list[int] = []


def use_threads(count: int) -> None:
    """Encodes with so many threads in this process from now on; a worker among others takes one."""
    _threads[:] = [max(1, count)]
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if count > 1 else "false"
    _pool.cache_clear()


def cores() -> int:
    if _threads:
        return _threads[0]
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(cores(), 16), thread_name_prefix="encode")


if hasattr(os, "register_at_fork"):  # a forked child has the pool, but none of its threads
    os.register_at_fork(after_in_child=_pool.cache_clear)


# The layout of tokenizer.json


def _byte_characters() -> str:
    """GPT-2's spelling of the 256 bytes as visible characters, which tokenizer.json uses, in the order of the bytes."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [value for value in range(256) if value not in visible]
    spellings = {value: chr(value) for value in visible} | {value: chr(256 + i) for i, value in enumerate(hidden)}
    return "".join(spellings[value] for value in range(256))


CHARACTERS = _byte_characters()
BYTE_OF = {character: value for value, character in enumerate(CHARACTERS)}


def spelled(piece: bytes) -> str:
    return piece.decode("latin-1").translate(_SPELLING)


_SPELLING = dict(enumerate(CHARACTERS))


def special_json(content: str, token: int) -> Json:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"id": token, "content": content, **flags}


def bpe_json(vocabulary: dict[str, int], merges: list[list[str]], *, byte_fallback: bool) -> Json:
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": "",
        "end_of_word_suffix": "",
        "fuse_unk": False,
        "byte_fallback": byte_fallback,
        "ignore_merges": False,
        "vocab": vocabulary,
        "merges": merges,
    }


def _merges_of(merges: Iterable[str | Sequence[str]]) -> list[tuple[int, int]]:
    """Pairs of ids from a tokenizer.json, which writes a merge as 'a b' or, since 2024, as ['a', 'b']."""
    ids = dict(BYTE_OF)
    pairs = []
    for merge in merges:
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        # A second way to a token that there is already: ids are counted by tokens, not by merges.
        if left + right not in ids:
            pairs.append((ids[left], ids[right]))
            ids[left + right] = len(ids)
    return pairs
