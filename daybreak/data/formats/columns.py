"""Columns: where in a row the text is, guessed from the first rows and said aloud; chats become lines of speakers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from daybreak.data.formats.findings import NO_TEXT, Unsuitable

Row = object  # a string, a dictionary of a row's columns, or a list
_MOST = 0.5  # share of the sampled rows that must have a shape
_NAMES = {
    "human": "User",
    "user": "User",
    "usr": "User",
    "prompter": "User",
    "customer": "User",
    "gpt": "Assistant",
    "chatgpt": "Assistant",
    "bot": "Assistant",
    "assistant": "Assistant",
    "model": "Assistant",
    "sys": "Assistant",  # in dialogue corpora "sys" is the answering side, not a system prompt
    "agent": "Assistant",
    "system": "System",
    "tool": "Tool",
    "function": "Tool",
    "observation": "Tool",
}
_TURNS = ("messages", "conversations", "conversation", "turns", "dialogue", "dialog", "chat")
_SPEAKER = ("role", "from", "speaker", "author", "user")
_SAID = ("content", "value", "text", "utterance", "message")
_ASKED = ("prompt", "query", "question", "context", "problem", "input")
_ANSWERED = ("completion", "response", "answer", "answers", "chosen", "output", "solution", "target", "label_text")
_PAIRS = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("text_a", "text_b"),
    ("source", "target"),
)
_ABOUT = frozenset(("bad", "rejected", "keywords", "tags", "label", "labels", "category", "author", "path", "file"))
_PROSE = ("sentence", "content", "body", "article", "document", "review", "story", "passage", "good", "markdown")
_NO_PROSE = re.compile(r"https?://\S+|[\w.+-]+@[\w.-]+|[\w./\\-]*\d[\w./\\:+-]*|\S*[_/\\]\S*")
_WORDS = re.compile(r"\w\s+\w|[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3]{2}|\w[,;:]?\s+\W?\w")


@dataclass(frozen=True)
class Shape:
    """The kind of a file's rows, how a row becomes text, and how the text may be cleaned."""

    said: str
    text: Callable[[Row], str | None]
    kind: str = "text"
    column: str = ""  # the one column that holds the text

    def missing(self, row: Row) -> str:
        """Why the row has no text, in a few words."""
        if not self.column or not isinstance(row, dict):
            return NO_TEXT
        return f"the column {self.column!r} is empty" if self.column in row else f"they have no column {self.column!r}"


def shape(rows: Sequence[Row]) -> Shape:
    """The shape of a file's rows, guessed from the first ones. Raises Unsuitable: they hold no text."""
    if not rows or all(isinstance(row, str) for row in rows):
        return Shape("", lambda row: row if isinstance(row, str) else None)
    for guess in (_code, _text, _turns, _instructions, _squad, _c3, _answers, _pairs, _notebook, _prose):
        found = guess(rows)
        if found is not None:
            return found
    raise Unsuitable("it has no column of text")


def _share(rows: Sequence[Row], name: str, kind: type | tuple[type, ...] = str) -> float:
    """The share of the rows with a value of this kind in the column."""
    return sum(isinstance(row, dict) and isinstance(row.get(name), kind) for row in rows) / len(rows)


def _first(rows: Sequence[Row], names: Sequence[str], kind: type | tuple[type, ...] = str) -> str:
    return next((name for name in names if _share(rows, name, kind) >= _MOST), "")


def _joined(*parts: object, by: str = "\n") -> str:
    return by.join(text for part in parts if (text := plain(part)))


def plain(value: object) -> str:
    """The text of a column: a string, or strings in a list, as sentences of an abstract and answers come."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list):
        return " ".join(part.strip() for part in value if isinstance(part, str))
    if isinstance(value, dict):
        return plain(next((value[name] for name in (*_SAID, "output") if name in value), ""))
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""


def spoken(speaker: object, text: object) -> str:
    """A line of one speaker: the usual names become User, Assistant, System and Tool, others stay."""
    name = str(speaker or "").strip()
    return f"{_NAMES.get(name.lower(), name or 'Speaker')}: {plain(text)}"


# Chats


def _turns(rows: Sequence[Row]) -> Shape | None:
    column = _first(rows, _TURNS, list)
    if column:
        turns = [turn for row in rows if isinstance(row, dict) for turn in _listed(row.get(column))]
        if turns and sum(_turn(turn) is not None for turn in turns) >= _MOST * len(turns):
            named = sum(isinstance(turn, dict) and "from" in turn for turn in turns) >= _MOST * len(turns)
            style = "sharegpt conversations" if named else f"dialogues, in the column {column!r}"
            if column == "messages":
                style = "conversations of messages"
            return Shape(f"rows are {style}", lambda row: _conversation(row, column), "dialogue")
    if sum(isinstance(row, list) and bool(row) and all(_turn(turn) for turn in row) for row in rows) > _MOST * len(
        rows
    ):
        return Shape("rows are lists of turns", lambda row: _conversation({"": row}, ""), "dialogue")
    return None


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _turn(turn: object) -> str | None:
    """A turn as one line: the speaker and the text."""
    if isinstance(turn, list) and len(turn) == 2 and all(isinstance(part, str) for part in turn):
        speaker = "sys" if turn[0].lower() == "system" else turn[0]  # in pairs it is the side that answers
        return spoken(speaker, turn[1])
    if isinstance(turn, dict):
        said = next((turn[name] for name in _SAID if isinstance(turn.get(name), str)), None)
        if said is None and isinstance(turn.get("content"), list):  # parts of a message, of which some are text
            said = " ".join(plain(part) for part in turn["content"])
        speaker = next((turn[name] for name in _SPEAKER if isinstance(turn.get(name), str)), None)
        if said and said.strip() and (speaker is not None or len(turn) <= 3):
            return spoken(speaker, said)
    if isinstance(turn, str) and turn.strip():
        return turn.strip()
    return None


def _conversation(row: Row, column: str) -> str | None:
    if not isinstance(row, dict):
        return None
    lines = [line for turn in _listed(row.get(column)) if (line := _turn(turn))]
    if isinstance(row.get("system"), str) and row["system"].strip():
        lines.insert(0, spoken("system", row["system"]))
    if "rejected" in row and isinstance(row.get("chosen"), dict):  # preferences: the answer that was preferred
        lines += [line] if (line := _turn(row["chosen"])) else []
    return "\n".join(lines) or None


def _instructions(rows: Sequence[Row]) -> Shape | None:
    if _share(rows, "instruction") < _MOST:
        return None
    answer = _first(rows, ("output", "response", "completion", "answer", "chosen"))
    if answer:

        def text(row: Row) -> str | None:
            if not isinstance(row, dict):
                return None
            return _exchange(_joined(row.get("instruction"), row.get("input")), row.get(answer), row)

        return Shape("rows are alpaca instructions", text, "dialogue")
    if _share(rows, "instances", list) >= _MOST:
        return Shape("rows are instructions with instances", _instances, "dialogue")
    return None


def _instances(row: Row) -> str | None:
    if not isinstance(row, dict) or not (asked := row.get("instruction")):
        return None
    found = [i for i in _listed(row.get("instances")) if isinstance(i, dict)]
    return "\n\n".join(t for i in found if (t := _exchange(_joined(asked, i.get("input")), i.get("output"), i))) or None


def _exchange(asked: object, answer: object, row: Mapping[str, object]) -> str | None:
    asked, answer = plain(asked), plain(answer)
    if not asked and not answer:
        return None
    system = row.get("system") or row.get("system_prompt")
    lines = [spoken("system", system)] if isinstance(system, str) and system.strip() else []
    return "\n".join([*lines, f"User: {asked}", f"Assistant: {answer}"])


# Questions and answers


def _answers(rows: Sequence[Row]) -> Shape | None:
    if _share(rows, "choices", list) >= _MOST and _share(rows, "gold", int) >= _MOST:
        asked = _first(rows, ("query", "question", "context"))
        if asked:
            return Shape("rows are questions with choices; the right choice is read", lambda row: _chosen(row, asked))
    if _share(rows, "context_options", list) >= _MOST:
        return Shape("rows are contexts with a continuation", _right_context)
    asked = _first(rows, _ASKED)
    answer = _first(rows, [name for name in ("continuation", *_ANSWERED) if name != asked], (str, list, dict))
    if not asked or not answer:
        return None
    if answer == "continuation":
        return Shape("rows are contexts with a continuation", lambda row: _continued(row, asked, answer))
    said = f"rows are exchanges, in the columns {asked!r} and {answer!r}"
    return Shape(said, lambda row: _answered(row, asked, answer) if isinstance(row, dict) else None, "dialogue")


def _answered(row: Mapping[str, object], asked: str, answer: str) -> str | None:
    question = _joined(row.get("context") if asked == "question" else None, row.get(asked))
    return _exchange(question, _joined(row.get("chain_of_thought"), row.get(answer)), row)


def _continued(row: Row, asked: str, answer: str) -> str | None:
    if not isinstance(row, dict) or not isinstance(row.get(asked), str):
        return None
    return f"{row[asked].rstrip()} {plain(row.get(answer))}"


def _chosen(row: Row, asked: str) -> str | None:
    if not isinstance(row, dict):
        return None
    choices, gold = _listed(row.get("choices")), row.get("gold")
    right = choices[gold] if isinstance(gold, int) and 0 <= gold < len(choices) else ""
    return _joined(row.get(asked), right, by=" ") or None


def _right_context(row: Row) -> str | None:
    if not isinstance(row, dict):
        return None
    options, gold = _listed(row.get("context_options")), row.get("gold")
    right = options[gold] if isinstance(gold, int) and 0 <= gold < len(options) else ""
    return _joined(right, row.get("continuation"), by=" ") or None


def _squad(rows: Sequence[Row]) -> Shape | None:
    if _share(rows, "paragraphs", list) < _MOST:
        return None
    return Shape("rows are paragraphs with questions (SQuAD)", _paragraphs, "dialogue")


def _paragraphs(row: Row) -> str | None:
    paragraphs = [p for p in _listed(row.get("paragraphs")) if isinstance(p, dict)] if isinstance(row, dict) else []
    told = []
    for paragraph in paragraphs:
        lines = [plain(paragraph.get("context"))]
        for asked in _listed(paragraph.get("qas")):
            if isinstance(asked, dict):
                answer = next(iter(_listed(asked.get("answers"))), "")
                lines += [f"Question: {plain(asked.get('question'))}", f"Answer: {plain(answer)}"]
        told.append("\n".join(lines))
    return "\n\n".join(told) or None


def _c3(rows: Sequence[Row]) -> Shape | None:
    """Lists of a dialogue's lines and of questions about it, as C3 (arXiv:1904.09679) has them."""
    if sum(_reads_as_c3(row) for row in rows) < _MOST * len(rows):
        return None
    return Shape("rows are texts with questions (C3)", _lines_and_questions, "dialogue")


def _reads_as_c3(row: Row) -> bool:
    if not (isinstance(row, list) and len(row) >= 2 and isinstance(row[0], list) and isinstance(row[1], list)):
        return False
    return all(isinstance(line, str) for line in row[0]) and all(isinstance(q, dict) for q in row[1])


def _lines_and_questions(row: Row) -> str | None:
    if not isinstance(row, list) or not _reads_as_c3(row):
        return None
    asked = [f"Question: {plain(q.get('question'))}\nAnswer: {plain(q.get('answer'))}" for q in row[1]]
    return "\n".join([*row[0], *asked]) or None


# Columns of text


def _code(rows: Sequence[Row]) -> Shape | None:
    for asked, answer in (("prompt", "canonical_solution"), ("text", "code")):
        if _share(rows, asked) >= _MOST and _share(rows, answer) >= _MOST:
            by = "" if asked == "prompt" else "\n\n"

            def text(row: Row, asked: str = asked, answer: str = answer, by: str = by) -> str | None:
                parts = [row.get(asked), row.get(answer)] if isinstance(row, dict) else []
                return by.join(part for part in parts if isinstance(part, str)) or None

            return Shape(f"rows are programming tasks, in the columns {asked!r} and {answer!r}", text, "code")
    return None


def _text(rows: Sequence[Row]) -> Shape | None:
    if any(isinstance(row, dict) and isinstance(row.get("text"), str) for row in rows):
        return Shape("", lambda row: _column(row, "text"), column="text")
    return None


def _column(row: Row, name: str) -> str | None:
    value = row.get(name) if isinstance(row, dict) else row
    return value if isinstance(value, str) else plain(value) if isinstance(value, list) else None


def _pairs(rows: Sequence[Row]) -> Shape | None:
    for one, other in _PAIRS:
        if _share(rows, one, (str, list)) >= _MOST and _share(rows, other, (str, list)) >= _MOST:
            said = f"the columns {one!r} and {other!r} hold the text"
            return Shape(said, lambda row, one=one, other=other: _both(row, one, other))  # type: ignore[misc]
    return None


def _both(row: Row, one: str, other: str) -> str | None:
    return _joined(row.get(one), row.get(other)) or None if isinstance(row, dict) else None


def _notebook(rows: Sequence[Row]) -> Shape | None:
    if _share(rows, "cell_type") < _MOST or _share(rows, "source", (str, list)) < _MOST:
        return None
    return Shape("rows are cells of a notebook", _cell, "code")


def _cell(row: Row) -> str | None:
    source = row.get("source") if isinstance(row, dict) else None
    return "".join(part for part in source if isinstance(part, str)) if isinstance(source, list) else source


def _prose(rows: Sequence[Row]) -> Shape | None:
    """The column with the most prose: much text, in words, and different in every row."""
    values: dict[str, list[str]] = {}
    for row in rows:
        if isinstance(row, dict):
            for name, value in row.items():
                text = value if isinstance(value, str) else plain(value) if isinstance(value, list) else ""
                if text.strip():
                    values.setdefault(name, []).append(text)
    if not values:
        return None
    scores = Counter({name: _score(name, texts) for name, texts in values.items()})
    ranked = scores.most_common(2)
    (column, most) = ranked[0]
    if not most:
        return None
    if len(ranked) > 1 and ranked[1][1] >= 0.4 * most and column.lower() not in _PROSE:
        one, other = [name for name in values if name in (column, ranked[1][0])]
        said = f"{_named(one)} and {_named(other)} hold the text"
        return Shape(said, lambda row: _both(row, one, other))
    return Shape(f"{_named(column)} holds the text", lambda row: _column(row, column), column=column)


def _score(name: str, texts: Sequence[str]) -> float:
    """Characters of prose in the column: none where values are numbers, addresses, names of files or few."""
    prose = [text for text in texts if not _NO_PROSE.fullmatch(text)]
    wordy = sum(len(text) for text in prose if _WORDS.search(text[:2000]))
    distinct = len(set(texts)) / len(texts)
    size = wordy + 0.1 * (sum(map(len, prose)) - wordy)
    return size * distinct**2 * (4 if name.lower() in _PROSE else 0.1 if name.lower() in _ABOUT else 1)


def _named(column: str) -> str:
    return column if column.startswith("column ") else f"the column {column!r}"
