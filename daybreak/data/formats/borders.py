"""Borders: marks that corpora put between their texts, such as <|endoftext|>, are borders of documents, not text."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, groupby
from operator import itemgetter

from daybreak.data.formats.findings import Findings

# How GPT-2, Llama 3, DeepSeek, gpt-2-simple, StarCoder and others end and begin a text; in prose they stand only where
# they are the topic.
_PLAIN: tuple[str, ...] = ("<|endoftext|>", "<|end_of_text|>", "<|end▁of▁sentence|>", "<|startoftext|>")
_PLAIN += ("<|begin_of_text|>", "<|begin▁of▁sentence|>", "<|eos|>", "<|bos|>", "<|eod|>", "<|endofdocument|>")
_PLAIN += ("<|file_separator|>",)
_OFTEN_MARKUP = ("</s>", "<s>", "<eos>", "<EOS>", "<bos>", "<BOS>", "[EOS]", "[BOS]")  # SentencePiece's and others
_MARKS = tuple(mark.encode() for mark in (*_PLAIN, *_OFTEN_MARKUP))
_MARK = re.compile(b"|".join(map(re.escape, _MARKS)))
_ENDS = ("|>", "s>", "S>", "OS]")  # of marks; few texts have one, and to look for them is quick
_END_BYTES = tuple(end.encode() for end in _ENDS)
_LEADING = re.compile(rb"\s*(?:(?:" + _MARK.pattern + rb")\s*)*")
_LONGEST = max(map(len, _MARKS))
_AROUND = 64  # bytes on both sides of a mark that are looked at
_LINE_START = re.compile(rb"(?:\A|\n)[ \t]*\Z")
_LINE_END = re.compile(rb"[ \t\r]*(?:\n|\Z)")
_SENTENCE_END = re.compile(
    rb"(?:[.!?]|\xe2\x80\xa6|\xe3\x80\x82|\xef\xbc\x81|\xef\xbc\x9f)"  # and the Chinese ones
    rb"(?:[\"')\]*_]|\xe2\x80[\x99\x9d]|\xe3\x80[\x8d\x8f]|\xc2\xbb)*[ \t]?\Z"
)
_SENTENCE_START = re.compile(rb"[ \t]*[\"'(\[*_#-]*[A-Z0-9\x80-\xff]")
# What is glued to a mark that begins or ends a line; in a sentence a blank is between, and in quotes a quote.
_GLUED_BEFORE = re.compile(rb"[^\s`'\"(|]\Z")
_GLUED_AFTER = re.compile(rb"[^\s`'\").,;:!?|]")
_LEAST_OFTEN, _SURE_SHARE = 4, 0.8  # so many marks of which so many stand as borders: then all of the file's do
_PLAIN_SHARE = 0.5  # of many of those marks that stand nowhere but between texts, and where they are the topic
_LEAST_JOINED, _JOINED_SHARE = 8, 0.9  # likewise where texts without sentences are joined by them, as titles
BEFORE_BYTES = 1 << 12  # in front of a range, from which it is told whether a text begins with it


def always(sample: bytes) -> str:
    """The marks that are borders wherever they stand in a file that begins so, with a line feed between them.

    A text about tokenizers has a mark now and then, in a sentence or in quotes: there it stays text. Others have it
    often, between sentences or between words that it joins.
    """
    counts, sure, joined = Counter[bytes](), Counter[bytes](), Counter[bytes]()
    for found in _MARK.finditer(sample):
        mark = found[0]
        before, after = sample[max(0, found.start() - _AROUND) : found.start()], sample[found.end() :][:_AROUND]
        counts[mark] += 1
        sure[mark] += _is_border(mark, before, after)
        at_edge = _LINE_START.search(before) is not None or _LINE_END.match(after) is not None
        between = before[-1:].isalnum() and after[:1].isalnum()
        joined[mark] += at_edge or between or (_ends(before) and _starts(after))
    found_always = {
        mark
        for mark, count in counts.items()
        if (count >= _LEAST_OFTEN and sure[mark] >= _SURE_SHARE * count)
        or (count >= _LEAST_JOINED and joined[mark] >= _JOINED_SHARE * count)
        or (count >= _LEAST_JOINED and mark.decode() in _PLAIN and sure[mark] >= _PLAIN_SHARE * count)
    }
    if counts[b"<s>"] and b"<s>" not in found_always:
        found_always.discard(b"</s>")  # text that is struck out, as HTML has it
    return "\n".join(sorted(mark.decode() for mark in found_always))


def begins(data: bytes) -> bool:
    """Whether a mark is the first there is: what looks like an element of XML, <s>, is none then."""
    return _MARK.match(data.lstrip()[:_LONGEST]) is not None


def documents_between(
    blocks: Iterable[bytes], name: str, findings: Findings, *, always: str = "", before: bytes = b""
) -> Iterator[tuple[bool, Iterator[bytes]]]:
    """The texts between the borders, each in blocks and to be read before the next, and whether it starts a document.

    always: as `always` told it by the beginning of the file. before: the last BEFORE_BYTES in front of a range, none
    where it is at the beginning. Marks within a text stay, and both are counted.
    """
    splitter = _Splitter(always)
    fresh = True
    if before:
        in_front = _Splitter(always, begun=True)
        for _ in in_front.numbered([before]):
            pass
        fresh = in_front.fresh
        splitter = _Splitter(always, begun=True, fresh=fresh)
    for number, group in groupby(splitter.numbered(blocks), key=itemgetter(0)):
        yield fresh or number > 0, (block for _, block in group)
    for mark, count in splitter.borders.items():
        findings.border(name, mark.decode(), count)
    for mark, count in splitter.kept.items():
        findings.keep_mark(name, mark.decode(), count)


def texts_in(text: str, name: str, findings: Findings) -> list[str]:
    """Those of a row's text: what stands between borders in it, or all of it."""
    if ("<" not in text and "[" not in text) or not any(end in text for end in _ENDS):
        return [text]
    data = text.encode("utf-8", "surrogatepass")
    if not _MARK.search(data):
        return [text]
    found = documents_between([data], name, findings, always="\n".join(_at_the_ends(data)))
    return [b"".join(blocks).decode("utf-8", "surrogatepass") for _, blocks in found]


def _at_the_ends(data: bytes) -> list[str]:
    """The mark that a row ends with, as those made for fine-tuning do, and then the one that it begins with, too."""
    data = data.strip()
    last = next((mark for mark in _MARKS if data.endswith(mark)), b"")
    first = next((mark for mark in _MARKS if data.startswith(mark)), b"")
    return [mark.decode() for mark in (last, first) if last and mark and data.count(mark) == 1]


def _is_border(mark: bytes, before: bytes, after: bytes) -> bool:
    """Whether a mark between these bytes is one without regard to the rest of the file."""
    line_start, line_end = _LINE_START.search(before) is not None, _LINE_END.match(after) is not None
    if line_start and line_end:
        return True
    if mark.decode() not in _PLAIN:
        return _MARK.match(after) is not None
    if (line_start and _GLUED_AFTER.match(after)) or (line_end and _GLUED_BEFORE.search(before)):
        return True
    return (line_start or _ends(before)) and (line_end or _starts(after))


def _ends(before: bytes) -> bool:
    return _SENTENCE_END.search(before) is not None


def _starts(after: bytes) -> bool:
    """A sentence, or a text that is marked, too."""
    return _SENTENCE_START.match(after) is not None or _MARK.match(after.lstrip(b" \t")) is not None


class _Splitter:
    """Numbers the texts between borders. What it finds does not depend on where the blocks end."""

    def __init__(self, always: str, *, begun: bool = False, fresh: bool = False) -> None:
        self._always = frozenset(always.encode().split(b"\n")) - {b""}
        self._begun = begun  # the file, before this
        self.fresh = fresh  # a border was the last there was, but for blanks
        self.borders, self.kept = Counter[bytes](), Counter[bytes]()

    def numbered(self, blocks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
        """The text in blocks, each with the number of borders before it; what is blank behind a border is left out."""
        number, behind, data = 0, b"", b""
        for block in chain(blocks, (None,)):
            ended = block is None
            data = data + block if block else data
            if not ended and len(data) < 2 * _AROUND + _LONGEST:
                continue
            if not self._begun:
                self._begun = True
                self.fresh = self._opens(data)
            place, marked = 0, any(end in data for end in _END_BYTES)
            while True:
                if self.fresh:
                    place = self._after_leading(data, place)
                    if not ended and len(data) - place < _AROUND + _LONGEST:
                        break
                    self.fresh, behind = place == len(data), b""
                whole = len(data) if ended else max(place, len(data) - _AROUND - _LONGEST)  # what is before is decided
                found = _MARK.search(data, place) if marked else None
                if found is None or found.start() >= whole:
                    if place < whole:
                        yield number, data[place:whole]
                        behind = (behind + data[max(place, whole - _AROUND) : whole])[-_AROUND:]
                    place = whole
                    break
                mark, start = found[0], found.start()
                before = (behind + data[max(place, start - _AROUND) : start])[-_AROUND:]
                if mark in self._always or _is_border(mark, before, data[found.end() : found.end() + _AROUND]):
                    if start > place:
                        yield number, data[place:start]
                    self.borders[mark] += 1
                    number += 1
                    self.fresh = True
                else:
                    self.kept[mark] += 1
                    yield number, data[place : found.end()]
                    behind = (before + mark)[-_AROUND:]
                place = found.end()
            data = data[place:]

    def _opens(self, data: bytes) -> bool:
        """Whether a mark stands before the first text of a file."""
        found = _MARK.match(data.lstrip()[:_LONGEST])
        if found is None:
            return False
        after = data.lstrip()[found.end() :][:_AROUND]
        return found[0] in self._always or _is_border(found[0], b"", after)

    def _after_leading(self, data: bytes, place: int) -> int:
        """Where the text begins, behind blanks and further marks."""
        found = _LEADING.match(data, place)
        assert found is not None
        for mark in _MARK.findall(found[0]):
            self.borders[mark] += 1
        return found.end()
