"""Lenient: values that people and programs write in JSON's place, read by what they mean and never executed.

JSON with comments, trailing commas, bare keys and single quotes (https://spec.json5.org), what Python prints of
dictionaries, lists, tuples and sets, the extended values of databases, and several values after one another.
"""

import re
from collections.abc import Iterator

from daybreak.data.formats import limits

DEEPEST = 100  # most nesting; deeper values hold no text
_BLANK = re.compile(r"(?:[\s\ufeff\x1e\0]+|//[^\n]*|#[^\n]*|/\*.*?\*/)*", re.S)
_BETWEEN = re.compile(r"(?:[,;|\])}`]|\\[nr])*")  # between values that follow one another, and behind the last
_STRING = {
    '"': re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"', re.S),
    "'": re.compile(r"'([^'\\]*(?:\\.[^'\\]*)*)'", re.S),
    "`": re.compile(r"`([^`\\]*(?:\\.[^`\\]*)*)`", re.S),
    "“": re.compile(r"“([^”\\]*(?:\\.[^”\\]*)*)”", re.S),  # as word processors put them
}
_PREFIXED = re.compile(r"([bBuUrRfF]{1,2})(?=['\"])")
_NUMBER = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?![\w.])")
_NAME = re.compile(r"[^\W\d][\w$-]*(?:\.[^\W\d][\w$]*)*|\$[\w$]+")
_SIGNED = re.compile(r"[-+]?\s*(?:Infinity|NaN|inf|nan)\b")
_OBJECT = re.compile(r"<[^<>\n]{1,300}>")  # what Python prints of an object without a form of its own
_CONSTANTS = {
    **dict.fromkeys(("null", "None", "undefined", "nil", "NaN", "nan", "Infinity", "inf", "NaT", "NA"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_ESCAPE = re.compile(
    r"\\(u\{[0-9a-fA-F]{1,6}\}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|x[0-9a-fA-F]{2}|[0-3]?[0-7]{1,2}|\r\n|.)", re.S
)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "v": "\v", "a": "\a", "\n": "", "\r\n": ""}
_STAYS = frozenset("\"'\\/`”“")
_END = {"{": "}", "[": "]", "(": ")"}


class Broken(ValueError):
    """No value; `position`: where in the text."""

    def __init__(self, reason: str, position: int) -> None:
        super().__init__(reason)
        self.position = position


class Unfinished(Broken):
    """The text ends inside a value."""


def is_blank(text: str) -> bool:
    """Blanks and comments alone."""
    return _BLANK.match(text, 0).end() == len(text)  # type: ignore[union-attr]


def elements(text: str) -> Iterator[object]:
    """The elements of the list with which the text begins, each made when it is asked for. Raises Broken."""
    at = _BLANK.match(text, 0).end()  # type: ignore[union-attr]
    if text[at : at + 1] not in ("[", "("):
        raise Broken("no list", at)
    end, at = _END[text[at]], at + 1
    while True:
        reader = _Reader(text)
        at = reader.blank(at)
        if text[at] == end:
            return
        if text[at] == ",":
            at += 1
            continue
        value, at = reader.value(at, 1)
        yield value
        at = reader.after(at, end)


def values(text: str) -> Iterator[object]:
    """The values that follow one another: objects, lists and strings; commas and closing brackets between are left out.

    Raises Broken: what is there is no such value, is nested too deep or has too many parts.
    """
    reader = _Reader(text)
    position = _BLANK.match(text, 0).end()  # type: ignore[union-attr]
    while position < len(text):
        if text[position] not in "{[(\"'":
            raise Broken("no object, list or string", position)
        value, position = reader.value(position, 0)
        yield value
        before = -1
        while position != before:
            before = position
            position = _BETWEEN.match(text, position).end()  # type: ignore[union-attr]
            position = _BLANK.match(text, position).end()  # type: ignore[union-attr]


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._values = 0

    def value(self, at: int, depth: int) -> tuple[object, int]:
        """The value that begins there, and where it ends."""
        text = self._text
        self._values += 1
        if depth > DEEPEST or self._values > limits.ROW_VALUES:
            raise Broken("nested too deep" if depth > DEEPEST else "too many values", at)
        if at >= len(text):
            raise Unfinished("the end is missing", at)
        sign = text[at]
        if sign in _STRING:
            return self._string(at)
        if sign == "{":
            return self._object(at + 1, depth)
        if sign in "[(":
            return self._list(at + 1, depth, _END[sign])
        if number := _NUMBER.match(text, at):
            return _number(number[0]), number.end()
        if signed := _SIGNED.match(text, at):
            return None, signed.end()
        if prefixed := _PREFIXED.match(text, at):
            return self._prefixed(prefixed)
        if named := _NAME.match(text, at):
            return self._named(named[0], named.end(), depth)
        if printed := _OBJECT.match(text, at):
            return None, printed.end()
        raise Broken(f"{self._shown(at)} where a value was expected", at)

    def _shown(self, at: int) -> str:
        return repr(self._text[at : at + 20].partition("\n")[0])

    def blank(self, at: int) -> int:
        """Where the next sign is. Raises Unfinished: there is none."""
        at = _BLANK.match(self._text, at).end()  # type: ignore[union-attr]
        if at >= len(self._text):
            raise Unfinished("the end is missing", at)
        return at

    def _string(self, at: int) -> tuple[str, int]:
        found = _STRING[self._text[at]].match(self._text, at)
        if not found:
            raise Unfinished("a quote is not closed", at)
        return unescaped(found[1]), found.end()

    def _prefixed(self, prefix: re.Match[str]) -> tuple[str, int]:
        at = prefix.end()
        found = _STRING[self._text[at]].match(self._text, at)
        if not found:
            raise Unfinished("a quote is not closed", at)
        marks = prefix[1].lower()
        text = found[1] if "r" in marks else unescaped(found[1])
        if "b" in marks:  # Python's bytes: each escape is a byte of UTF-8
            text = text.encode("latin-1", "replace").decode("utf-8", "replace")
        return text, found.end()

    def _named(self, name: str, at: int, depth: int) -> tuple[object, int]:
        """A constant, or a call such as ObjectId("..."), datetime.date(2020, 1, 1) and array([...], dtype=object)."""
        if name in _CONSTANTS:
            return _CONSTANTS[name], at
        after = _BLANK.match(self._text, at).end()  # type: ignore[union-attr]
        if name == "new" and (made := _NAME.match(self._text, after)):  # JavaScript's new Date(...)
            return self._named(made[0], made.end(), depth)
        if self._text[after : after + 1] != "(":
            raise Broken(f"{self._shown(at - len(name))} where a value was expected", at - len(name))
        given, at = self._list(after + 1, depth, ")")
        return given[0] if len(given) == 1 else given, at

    def _list(self, at: int, depth: int, end: str) -> tuple[list[object], int]:
        found: list[object] = []
        while (sign := self._text[(at := self.blank(at))]) != end:
            if sign == ",":
                at += 1
                continue
            named = _NAME.match(self._text, at) if end == ")" else None
            if named and self._text[named.end() : named.end() + 1] == "=":  # an option of a call
                at = self._option(named.end() + 1, depth)
                continue
            value, at = self.value(at, depth + 1)
            found.append(value)
            at = self.after(at, end)
        return found, at + 1

    def _option(self, at: int, depth: int) -> int:
        named = _NAME.match(self._text, at)
        return self.after(named.end() if named else self.value(at, depth + 1)[1], ")")

    def _object(self, at: int, depth: int) -> tuple[object, int]:
        found: dict[str, object] = {}
        while (sign := self._text[(at := self.blank(at))]) != "}":
            if sign == ",":
                at += 1
                continue
            key, at = self._key(at)
            at = self.blank(at)
            if self._text[at] in ",}" and not found:
                return self._list(at, depth, "}") if self._text[at] == "}" else self._set(key, at, depth)
            if self._text[at] not in ":=":
                raise Broken(f"{self._shown(at)} where a colon was expected", at)
            at += 2 if self._text.startswith("=>", at) else 1  # Ruby and PHP
            found[key], at = self.value(self.blank(at), depth + 1)
            at = self.after(at, "}")
        return found, at + 1

    def _set(self, first: str, at: int, depth: int) -> tuple[list[object], int]:
        rest, at = self._list(at, depth, "}")
        return [first, *rest], at

    def _key(self, at: int) -> tuple[str, int]:
        at += self._text[at] == ":"  # a symbol of Ruby
        if self._text[at : at + 1] in _STRING:
            return self._string(at)
        for form in (_NUMBER, _PREFIXED, _NAME):
            if found := form.match(self._text, at):
                return self._prefixed(found) if form is _PREFIXED else (found[0], found.end())
        raise Broken(f"{self._shown(at)} where a key was expected", at)

    def after(self, at: int, end: str) -> int:
        """What follows a value: a comma, or the end of what it is in."""
        at = self.blank(at)
        if self._text[at] != end and self._text[at] != ",":
            raise Broken(f"{self._shown(at)} where a comma was expected", at)
        return at


def _number(spelt: str) -> int | float | None:
    try:
        return int(spelt, 0) if spelt.lstrip("+-")[:2].lower() == "0x" else int(spelt)
    except ValueError:
        try:
            return float(spelt)
        except ValueError:
            return None


def unescaped(text: str) -> str:
    """The text of a string: escapes of JSON, JavaScript and Python; one that is of none of them stays as it is."""
    if "\\" not in text:
        return text
    text = _ESCAPE.sub(_sign, text)
    try:
        text.encode()
    except UnicodeEncodeError:  # halves of pairs, each escaped by itself
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass") if _paired(text) else text
    return text


def _paired(text: str) -> bool:
    """Its halves are all of pairs."""
    try:
        text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        return False
    return True


def _sign(escape: re.Match[str]) -> str:
    spelt = escape[1]
    if spelt in _ESCAPED:
        return _ESCAPED[spelt]
    if spelt in _STAYS:
        return spelt
    if spelt[0] in "01234567":
        return chr(int(spelt, 8))
    if len(spelt) > 1:
        code = int(spelt.strip("uUx{}"), 16)
        return chr(code) if code <= 0x10FFFF else "\ufffd"
    return escape[0]
