"""Charsets: the labels that texts give their encodings, read as browsers read them, and codecs that decode likewise."""

import codecs
import functools
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

# What Python decodes otherwise than https://encoding.spec.whatwg.org/ (checked against its index files), by label.
_SINGLE = {
    "ibm866": "cp866",
    "macintosh": "mac_roman",
    "x-mac-cyrillic": "mac_cyrillic",
    "windows-874": "cp874",
    "iso-8859-8-i": "iso8859_8",
    **{f"windows-{number}": f"cp{number}" for number in range(1250, 1259)},
    **{f"iso-8859-{part}": f"iso8859_{part}" for part in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)},
    "koi8-r": "koi8_r",
    "koi8-u": "koi8_u",
}
_SINGLE_OTHERWISE = {"windows-1255": {0xCA: "\u05ba"}, "koi8-u": {0xAE: "\u045e", 0xBE: "\u040e"}}
_OTHERWISE = {  # a character of Python's codec: the one in its place
    "euc-jp": {ord(ours): theirs for ours, theirs in zip("\u301c‖\u2212¢£¬", "\uff5e∥－￠￡￢", strict=True)},
    "big5": {ord(ours): theirs for ours, theirs in zip("•､‾∼♁☉¥¢£", "‧﹑¯～⊕⊙￥￠￡", strict=True)},
    "gb18030": {
        ord(ours): theirs
        for ours, theirs in zip(
            "\ue5e5\ue78d\ue78e\ue78f\ue790\ue791\ue792\ue793\ue794\ue795\ue796\ue7c7"
            "\ue81e\ue826\ue82b\ue82c\ue832\ue843\ue854\ue864",
            "\u3000\ufe10\ufe12\ufe11\ufe13\ufe14\ufe15\ufe16\ufe17\ufe18\ufe19ḿ龴龵龶龷龸龹龺龻",
            strict=True,
        )
    },
}
_PLAIN = {"utf-8": "utf-8", "utf-16le": "utf-16-le", "utf-16be": "utf-16-be", "euc-kr": "cp949", "shift_jis": "cp932"}
# Browsers read nothing under these labels, lest a page hides a script; a text has nothing to hide.
_HIDDEN = {"hz-gb-2312": "hz", "iso-2022-kr": "iso2022_kr", "csiso2022kr": "iso2022_kr"}
_DATABASE = {"utf8mb4": "utf-8", "utf8mb3": "utf-8"}
_NO_TEXT = ("utf-7", "idna", "punycode", "mbcs", "oem", "undefined", "unicode_escape", "raw_unicode_escape")
_PREFIX = "web-"
_GAP = "\ufffe"  # in a table of Python's charmap codec: no character


def of_label(label: str, *, within: bool = False) -> str | None:
    """The name of the codec for a label such as `latin1` or `x-sjis`; None: the label names no encoding.

    Labels are those of https://encoding.spec.whatwg.org/#names-and-labels, then those that Python knows besides. The
    codec decodes as browsers do: `latin1` is Windows-1252, `gb2312` is GB18030. within: the label stood in the text
    itself and was read as ASCII, as in a page or an XML declaration, so UTF-16 cannot be meant.
    """
    import webencodings

    label = label.strip(" \t\r\n\f\"'").lower()
    if not label.isascii() or len(label) > 40:
        return None
    if other := _HIDDEN.get(label) or _DATABASE.get(label):
        return other
    found = webencodings.LABELS.get(label)
    if found is None:
        try:
            python = codecs.lookup(label)
        except (LookupError, ValueError):
            return None
        if python.name.startswith(_PREFIX):
            return python.name
        if not python._is_text_encoding or python.name.replace("-", "_") in (n.replace("-", "_") for n in _NO_TEXT):
            return None
        found = webencodings.LABELS.get(python.name)
        if found is None:
            return _within(python.name) if within else python.name
    if found == "replacement":
        return None
    if found == "x-user-defined" and within:
        found = "windows-1252"
    codec = _PLAIN.get(found) or _PREFIX + ("gb18030" if found == "gbk" else found)
    return _within(codec) if within else codec


def _within(codec: str) -> str:
    return "utf-8" if codec.startswith(("utf-16", "utf-32")) else codec


def shown(codec: str) -> str:
    """A codec as the notes name it."""
    return codec.removeprefix(_PREFIX).replace("_", "-")


def _single(name: str) -> codecs.CodecInfo:
    """Of a table of one byte a character. A gap below 0xA0 is a control character, as the standard has it."""
    if name == "x-user-defined":
        table = "".join(map(chr, (*range(128), *range(0xF780, 0xF800))))
    else:
        characters = [bytes([byte]).decode(_SINGLE[name], "replace") for byte in range(256)]
        for byte in range(128, 256):
            if characters[byte] == "\ufffd":
                characters[byte] = chr(byte) if byte < 0xA0 else _GAP
        for byte, character in _SINGLE_OTHERWISE.get(name, {}).items():
            characters[byte] = character
        table = "".join(characters)

    class Decoder(codecs.IncrementalDecoder):
        def decode(self, data: bytes, final: bool = False) -> str:  # type: ignore[override]
            return codecs.charmap_decode(data, self.errors, table)[0]

    return _info(name, Decoder)


def _info(name: str, decoder: type[codecs.IncrementalDecoder]) -> codecs.CodecInfo:
    def decode(data: "Buffer", errors: str = "strict") -> tuple[str, int]:
        whole = bytes(data)
        return decoder(errors).decode(whole, True), len(whole)

    def encode(text: str, errors: str = "strict") -> tuple[bytes, int]:
        raise UnicodeError(f"{_PREFIX}{name} only decodes")

    return codecs.CodecInfo(name=_PREFIX + name, encode=encode, decode=decode, incrementaldecoder=decoder)


def _patched(
    name: str, base: str, mended: Callable[[bytes], tuple[str, int]], otherwise: Mapping[int, str]
) -> codecs.CodecInfo:
    """Of a codec of Python's with other characters for some, and `mended` where it finds none.

    mended: of the bytes from there on the character and how many bytes it takes; 0: it is none.
    """
    differs = re.compile(f"[{''.join(map(chr, otherwise))}]") if otherwise else None

    class Decoder(codecs.IncrementalDecoder):
        def __init__(self, errors: str = "strict") -> None:
            super().__init__(errors)
            handler = f"{_PREFIX}{name}-{errors}"
            codecs.register_error(handler, functools.partial(_mend, mended, errors))
            self._inner = codecs.getincrementaldecoder(base)(handler)

        def decode(self, data: bytes, final: bool = False) -> str:  # type: ignore[override]
            text = self._inner.decode(data, final)
            return text.translate(otherwise) if differs and differs.search(text) else text

        def reset(self) -> None:
            self._inner.reset()

    return _info(name, Decoder)


def _mend(mended: Callable[[bytes], tuple[str, int]], errors: str, error: UnicodeError) -> tuple[str | bytes, int]:
    assert isinstance(error, UnicodeDecodeError)
    character, size = mended(error.object[error.start : error.start + 2])
    return (character, error.start + size) if size else codecs.lookup_error(errors)(error)


def _euc_jp(pair: bytes) -> tuple[str, int]:
    """By its place in the table of JIS X 0208 with the additions of NEC and IBM, which Shift_JIS of Microsoft has."""
    if len(pair) < 2 or min(pair) < 0xA1 or max(pair) > 0xFE:
        return "", 0
    row, cell = pair[0] - 0xA1, pair[1] - 0xA1
    cell += 94 * (row % 2)
    row = row // 2
    moved = bytes((row + (0x81 if row < 0x1F else 0xC1), cell + (0x40 if cell < 0x3F else 0x41)))
    try:
        return moved.decode("cp932"), 2
    except UnicodeDecodeError:
        return "", 0


def _big5(pair: bytes) -> tuple[str, int]:
    return ("€", 2) if pair == b"\xa3\xe1" else ("", 0)


def _gb18030(pair: bytes) -> tuple[str, int]:
    return ("€", 1) if pair[:1] == b"\x80" else ("", 0)


class _Iso2022Jp(codecs.IncrementalDecoder):
    """Bytes of ISO-2022-JP as those of EUC-JP, which are decoded then; with the Katakana of half width in mail."""

    _ESCAPE = re.compile(rb"\x1b(\([BJIH]|\$[@B]|\$\(D)")
    _HIGH = bytes(byte | 0x80 if 0x21 <= byte <= 0x7E else byte for byte in range(256))
    _KATAKANA = re.compile(rb"[\x21-\x5f]")

    def __init__(self, errors: str = "strict") -> None:
        super().__init__(errors)
        self._inner = codecs.getincrementaldecoder(f"{_PREFIX}euc-jp")(errors)
        self._set, self._kept = b"(B", b""

    def decode(self, data: bytes, final: bool = False) -> str:  # type: ignore[override]
        data = self._kept + data
        end = len(data)
        if not final and (escape := data.rfind(b"\x1b", max(0, end - 3))) >= 0:
            end = escape if not self._ESCAPE.match(data, escape) else end
        data, self._kept = data[:end], data[end:]
        parts, place = [], 0
        for found in self._ESCAPE.finditer(data):
            parts.append(self._euc(data[place : found.start()]))
            self._set, place = found[1], found.end()
        parts.append(self._euc(data[place:]))
        return self._inner.decode(b"".join(parts), final)

    def _euc(self, part: bytes) -> bytes:
        if self._set == b"(I":
            return self._KATAKANA.sub(lambda found: b"\x8e" + found[0].translate(self._HIGH), part)
        if self._set == b"$(D":
            return b"".join(b"\x8f" + part[n : n + 2].translate(self._HIGH) for n in range(0, len(part), 2))
        return part.translate(self._HIGH) if self._set[:1] == b"$" else part

    def reset(self) -> None:
        self._inner.reset()
        self._set, self._kept = b"(B", b""


@functools.cache
def _codec(name: str) -> codecs.CodecInfo | None:
    if not name.startswith(_PREFIX):
        return None
    name = name.removeprefix(_PREFIX)
    if name == "euc-jp":
        return _patched(name, "euc_jp", _euc_jp, _OTHERWISE[name])
    if name == "iso-2022-jp":
        return _info(name, _Iso2022Jp)
    if name == "big5":
        return _patched(name, "big5hkscs", _big5, _OTHERWISE[name])
    if name == "gb18030":
        return _patched(name, "gb18030", _gb18030, _OTHERWISE[name])
    return _single(name) if name in _SINGLE or name == "x-user-defined" else None


codecs.register(lambda name: _codec(name.replace("_", "-")))
