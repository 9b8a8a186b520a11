"""Characters: every frequent code point is a token, and the rest is spelled in bytes, so that any text comes back."""

import functools
from collections.abc import Iterable, Sequence

import numpy as np

from daybreak.core.values import Json
from daybreak.data.tokenizers.base import BYTES_AND_END, END_OF_TEXT, Tokenizer, utf8
from daybreak.data.tokenizers.byte_level import bpe_json, ends_only, special_json

_DECODER = {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]}
_LEAST_SEEN = 2


class Characters(Tokenizer):
    """The id of a byte is its value, character i is token 256 + i, and the last id ends a text.

    `characters` are those beyond ASCII that have a token, the most frequent first. ASCII's are the tokens of their
    bytes. In tokenizer.json it is a BPE without merges that falls back to bytes.
    """

    kind = "characters"

    def __init__(self, characters: str) -> None:
        self.characters = characters
        self._pieces = [bytes([value]) for value in range(256)] + [c.encode() for c in characters] + [b""]
        self.vocabulary = len(self._pieces)
        self.end_of_text = self.vocabulary - 1
        self.token_bytes = np.array([len(piece) for piece in self._pieces], dtype=np.uint16)

    def truncated(self, vocabulary: int) -> "Characters":
        return Characters(self.characters[: max(vocabulary, BYTES_AND_END) - BYTES_AND_END])

    @classmethod
    def of_json(cls, data: Json) -> "Characters | None":
        """None where the file is of another kind, or its ids are not in this order."""
        model, added = data["model"], data["added_tokens"]
        if model.get("type") != "BPE" or not model.get("byte_fallback") or model["merges"]:
            return None
        if data.get("normalizer") or data.get("pre_tokenizer") or not ends_only(added):
            return None
        spellings = sorted(model["vocab"], key=model["vocab"].__getitem__)[256:]
        if any(len(character) != 1 for character in spellings):
            return None
        tokenizer = cls("".join(spellings))
        same = tokenizer._vocabulary_json() == model["vocab"] and added[0]["id"] == tokenizer.end_of_text
        return tokenizer if same else None

    def to_json(self) -> Json:
        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [special_json(END_OF_TEXT, self.end_of_text)],
            "normalizer": None,
            "pre_tokenizer": None,
            "post_processor": None,
            "decoder": _DECODER,
            "model": bpe_json(self._vocabulary_json(), [], byte_fallback=True),
        }

    def _vocabulary_json(self) -> dict[str, int]:
        spellings = [*map(chr, range(128)), *(f"<0x{value:02X}>" for value in range(128, 256)), *self.characters]
        return {spelling: index for index, spelling in enumerate(spellings)}

    def encode_documents(self, batch: Sequence[str]) -> list[np.ndarray]:
        return [self._encoded(text) for text in batch]

    def _encoded(self, text: str) -> np.ndarray:
        try:
            codes = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
        except UnicodeEncodeError:
            return self._encoded(utf8(text).decode())
        ids = self._ids[codes]
        unknown = np.flatnonzero(ids < 0)
        if not len(unknown):
            return ids.astype(self.dtype)
        spellings = [np.frombuffer(chr(code).encode(), dtype=np.uint8) for code in codes[unknown].tolist()]
        sizes = np.ones(len(ids), dtype=np.int64)
        sizes[unknown] = [len(spelling) for spelling in spellings]
        expanded = np.repeat(ids, sizes)
        expanded[expanded < 0] = np.concatenate(spellings)
        return expanded.astype(self.dtype)

    @functools.cached_property
    def _ids(self) -> np.ndarray:
        """int32 [code points]: the token, -1 where there is none."""
        ids = np.full(0x110000, -1, dtype=np.int32)
        ids[:128] = np.arange(128)
        ids[[ord(character) for character in self.characters]] = np.arange(256, 256 + len(self.characters))
        return ids

    def bytes_of(self, token: int) -> bytes:
        return self._pieces[token]


def learnt(texts: Iterable[str], vocabulary: int) -> Characters:
    """The most frequent characters beyond ASCII; those that occur once are left to their bytes."""
    counts = np.zeros(0x110000, dtype=np.int64)
    for text in texts:
        found, times = np.unique(np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32), return_counts=True)
        counts[found] += times
    counts[:128] = 0
    codes = np.flatnonzero(counts >= _LEAST_SEEN)
    codes = codes[np.argsort(-counts[codes], kind="stable")][: vocabulary - BYTES_AND_END]
    return Characters("".join(map(chr, codes.tolist())))
