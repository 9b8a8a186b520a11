"""A tokenizer of any kind that Hugging Face's `tokenizers` carries out, by its tokenizer.json; ids are kept."""

import contextlib
import functools
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from daybreak.core.errors import ResourceError
from daybreak.core.values import Json
from daybreak.data.tokenizers.base import Tokenizer, utf8
from daybreak.data.tokenizers.byte_level import by_tiktoken, spread, tiktoken_encoding
from daybreak.data.tokenizers.layout import ENDS_OF_TEXT, Layout

if TYPE_CHECKING:
    import tiktoken

# A regular expression that tries every way to cut one of these gives up after a few tenths of a second.
_PROBES = tuple(2000 * character + "!a" for character in "a0 \n!\u7684")
_IN_UTF8 = (*range(0xC0), *range(0xC2, 0xF5))  # bytes that it has
_COMPARED_CHARACTERS = 400_000  # of text made of its own tokens, which two libraries must split alike


@contextlib.contextmanager
def _in_words(what: str, attempt: str) -> Iterator[None]:
    """The library raises bare exceptions, and Rust's panics, which are none."""
    try:
        yield
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
            raise
        raise ResourceError(what, received=f"tokenizers says: {error}", attempt=attempt) from None


class LibraryTokenizer(Tokenizer):
    """BPE, Unigram, WordPiece or words, as `tokenizers` or transformers have written them.

    Encoding is by tiktoken where the file is a byte-level BPE that tiktoken can carry out and that it cuts like
    `tokenizers` does, on the text of all of its own tokens; else by `tokenizers`, on all cores.
    """

    def __init__(self, layout: Layout, end_of_text: int) -> None:
        """Raises ResourceError: `tokenizers` cannot read what the layout describes."""
        self.layout = layout
        self.kind, self.loss = layout.kind, layout.loss
        self._pieces = layout.pieces()
        self.vocabulary = len(self._pieces)
        self.end_of_text, self.end_of_text_token = end_of_text, layout.special[end_of_text]
        sizes = [min(len(piece), 65535) for piece in self._pieces]
        self.token_bytes = np.array(sizes, dtype=np.uint16)
        import tokenizers

        plain = {**layout.data, "truncation": None, "padding": None, "post_processor": None}
        with _in_words(
            "the tokenizer cannot be read",
            "use the file as it was written, or a version of the tokenizers library that can read it",
        ):
            self._tokenizers = tokenizers.Tokenizer.from_str(json.dumps(plain))
        self._tokenizers.encode_special_tokens = True  # spelled out in a text, they are text
        for probe in _PROBES:
            self._ids([probe])

    def to_json(self) -> Json:
        return self.layout.data

    def save(self, path: Path) -> None:
        """Writes tokenizer.json; an unusual end-of-text token is named in a tokenizer_config.json beside it."""
        super().save(path)
        if self.end_of_text_token not in ENDS_OF_TEXT:
            config = path.with_name("tokenizer_config.json")
            config.write_text(json.dumps({"eos_token": self.end_of_text_token}), encoding="utf-8")

    def encode_documents(self, batch: Sequence[str]) -> list[np.ndarray]:
        if self._tiktoken is not None:
            return spread(self._encoded, batch)
        return self._ids([utf8(text).decode() for text in batch])

    def _ids(self, texts: list[str]) -> list[np.ndarray]:
        with _in_words("the tokenizer cannot split a text", "use another tokenizer.json, or --tokenizer auto"):
            encodings = self._tokenizers.encode_batch_fast(texts, add_special_tokens=False)
        return [np.array(encoding.ids, dtype=self.dtype) for encoding in encodings]

    def _encoded(self, text: str) -> np.ndarray:
        if self._tiktoken is not None and not any(word in text for word in self.layout.added):
            found = by_tiktoken(self._tiktoken, text)
            if found is not None:
                return found.astype(self.dtype)
        return self._ids([utf8(text).decode()])[0]

    @functools.cached_property
    def _tiktoken(self) -> "tiktoken.Encoding | None":
        """None where tiktoken would give other tokens."""
        pattern = self.layout.pattern()
        if pattern is None or not self.lossless or len(self._pieces) != len(set(self._pieces)) + self._empty() - 1:
            return None
        ranks = {piece: token for token, piece in enumerate(self._pieces) if token in self.layout.merged}
        if not all(bytes([value]) in ranks for value in _IN_UTF8):  # without which tiktoken panics
            return None
        encoding = tiktoken_encoding(ranks, pattern, {self.end_of_text_token: self.end_of_text})
        if encoding is None:
            return None
        whole = [piece.decode("utf-8", "ignore") for piece in self._pieces]
        for glue in ("", " "):
            text = glue.join(whole)[:_COMPARED_CHARACTERS]
            for word in self.layout.added:
                text = text.replace(word, "")
            ours = by_tiktoken(encoding, text)
            if ours is None or ours.tolist() != self._ids([text])[0].tolist():
                return None
        return encoding

    def _empty(self) -> int:
        return sum(not piece for piece in self._pieces)

    def pieces(self, text: str) -> list[tuple[int, bytes]]:
        if self.lossless:
            return super().pieces(text)
        text = utf8(text).decode()
        encoding = self._tokenizers.encode(text, add_special_tokens=False)
        return [
            (token, text[first:last].encode())
            for token, (first, last) in zip(encoding.ids, encoding.offsets, strict=True)
        ]

    def bytes_of(self, token: int) -> bytes:
        return self._pieces[token]

    def decode(self, tokens: Iterable[int]) -> str:
        if self.lossless:
            return super().decode(tokens)
        return self._tokenizers.decode([int(token) for token in tokens], skip_special_tokens=True)  # type: ignore[no-any-return]
