"""The layout of any tokenizer.json: its kind, the bytes of its tokens, why it is lossy, its end-of-text token."""

import functools
import json
import re
from collections.abc import Iterator

from daybreak.core.values import Json
from daybreak.data.tokenizers.byte_level import BYTE_OF

# The first of these that a file has as a special token ends its texts.
ENDS_OF_TEXT = (
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|end▁of▁sentence|>",
    "</s>",
    "<eos>",
    "[EOS]",
    "[SEP]",
    "<sep>",
)
# GPT-2's, which a byte-level pre-tokenizer has within itself.
GPT2_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
KIND_OF = {"BPE": "bpe", "Unigram": "unigram", "WordPiece": "wordpiece", "WordLevel": "words"}

MOST_TOKENS = 1 << 24  # there is a place for every number up to the highest

_UNICODE_FORMS = ("NFC", "NFD", "NFKC", "NFKD")
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_SPACE = "\u2581"  # SentencePiece's spelling of a space


class Layout:
    """A parsed tokenizer.json. Raises KeyError, TypeError and so on where it is inconsistent."""

    def __init__(self, data: Json) -> None:
        self.model = {**data["model"], "type": data["model"].get("type") or _type_of(data["model"])}
        self.data = {**data, "model": self.model}
        self.kind = KIND_OF[self.model["type"]]
        found = self.model["vocab"]
        self.ids = {entry[0]: i for i, entry in enumerate(found)} if isinstance(found, list) else dict(found)
        self.merged = frozenset(self.ids.values()) - {token["id"] for token in data["added_tokens"]}
        added = data["added_tokens"]
        self.special = {token["id"]: token["content"] for token in added if token["special"]}
        self.added = {token["content"]: token["id"] for token in added if not token["special"]}  # they are text
        tokens = [*self.ids.values(), *self.special, *self.added.values()]
        self.vocabulary = 1 + max(tokens)
        if min(tokens) < 0 or self.vocabulary > MOST_TOKENS:
            raise ValueError(f"its tokens are numbered from {min(tokens)} to {max(tokens)}")
        self._parts = list(_parts(data.get("pre_tokenizer"), "pretokenizers"))
        self._decoders = list(_parts(data.get("decoder"), "decoders"))
        kinds = {part["type"] for part in (*self._parts, *self._decoders)}
        self.byte_level = "ByteLevel" in kinds
        normalizers = list(_parts(data.get("normalizer"), "normalizers"))
        self._normalizers = [part["type"] for part in normalizers]
        self._spaced = "Metaspace" in kinds or any(
            _SPACE in json.dumps(part, ensure_ascii=False) for part in (*normalizers, *self._decoders)
        )
        self.loss = self._loss()

    def pieces(self) -> list[bytes]:
        """The bytes behind every id; none behind special tokens and ids that nothing has."""
        pieces = [b""] * self.vocabulary
        for spelling, token in self.ids.items():
            pieces[token] = self._bytes(spelling)
        for spelling, token in self.added.items():
            pieces[token] = spelling.encode()
        for token in self.special:
            pieces[token] = b""
        return pieces

    def _bytes(self, spelling: str) -> bytes:
        if self.byte_level:
            return b"".join(bytes([BYTE_OF[c]]) if c in BYTE_OF else c.encode("utf-8", "replace") for c in spelling)
        if self._falls_back and (match := _BYTE.fullmatch(spelling)):
            return bytes([int(match[1], 16)])
        if self.kind == "wordpiece":
            prefix = self.model.get("continuing_subword_prefix", "##")
            spelling = spelling.removeprefix(prefix) if spelling.startswith(prefix) else f" {spelling}"
        if self._spaced:
            spelling = spelling.replace(_SPACE, " ")
        return spelling.encode("utf-8", "replace")

    @functools.cached_property
    def _falls_back(self) -> bool:
        return bool(self.model.get("byte_fallback")) or any(part["type"] == "ByteFallback" for part in self._decoders)

    def _loss(self) -> str:
        """Why a text may not come back as it was, in words; empty where it always does."""
        if self.kind in ("wordpiece", "words"):
            return "words outside its vocabulary and white space are lost"
        if self._normalizers:
            return f"it normalizes the text first ({', '.join(self._normalizers)})"
        if any(part.get("add_prefix_space") for part in self._parts) or self._spaced:
            return "it puts a space before a text, or writes two different characters the same way"
        if self.model.get("continuing_subword_prefix") or self.model.get("end_of_word_suffix"):
            return "its tokens do not tell where white space was"
        unkept = [part for part in self._parts if not _keeps_all(part)]
        if unkept:
            return f"its pre-tokenizer leaves parts of the text out ({unkept[0]['type']})"
        eager = [t["content"] for t in self.data["added_tokens"] if not t["special"] and (t["lstrip"] or t["rstrip"])]
        if eager:
            return f"{eager[0]} takes the white space beside it"
        if self.byte_level:
            return "" if self.ids.keys() >= BYTE_OF.keys() else "some bytes have no token"
        spelled_bytes = all(f"<0x{value:02X}>" in self.ids or chr(value) in self.ids for value in range(256))
        return "" if self._falls_back and spelled_bytes else "characters outside its vocabulary are lost"

    def without_unicode_form(self) -> "Layout":
        """The layout without its normalizer, if that only brings Unicode into a normal form before a byte-level cut."""
        if self.byte_level and self._normalizers and set(self._normalizers) <= set(_UNICODE_FORMS):
            return Layout({**self.data, "normalizer": None})
        return self

    def pattern(self) -> str | None:
        """The regular expression that a byte-level BPE cuts words by; None where it is not that alone."""
        if self.kind != "bpe" or not self._parts or self._parts[-1]["type"] != "ByteLevel":
            return None
        first, inner = self._parts[:-1], self._parts[-1].get("use_regex", True)
        if not first:
            return GPT2_PATTERN if inner else None
        plain = len(first) == 1 and first[0]["type"] == "Split" and first[0]["behavior"] == "Isolated"
        if inner or not plain or first[0].get("invert"):
            return None
        found = first[0]["pattern"].get("Regex")
        return found if isinstance(found, str) else None


def _type_of(model: Json) -> str:
    """The type of a model that does not name it, as files of the first releases do not; by the library's own rules."""
    if isinstance(model["vocab"], list):
        return "Unigram"
    if "merges" in model:
        return "BPE"
    if {"unk_token", "continuing_subword_prefix", "max_input_chars_per_word"} <= model.keys():
        return "WordPiece"
    if "unk_token" in model:
        return "WordLevel"
    raise ValueError("its model names no type, and has neither merges, nor scores, nor a token for unknown words")


def _parts(part: Json | None, inner: str) -> Iterator[Json]:
    """A part that may be a sequence of parts, one after the other."""
    if part is None:
        return
    if part["type"] == "Sequence":
        for one in part[inner]:
            yield from _parts(one, inner)
    else:
        yield part


def _keeps_all(part: Json) -> bool:
    """Whether a pre-tokenizer only says where to cut."""
    if part["type"] in ("Split", "Punctuation"):
        return bool(part.get("behavior", "Isolated") != "Removed")
    return part["type"] in ("ByteLevel", "Digits", "UnicodeScripts")
