"""Questions: rows with questions and answers, prompts and completions, contexts and what goes on from them."""

from collections.abc import Mapping, Sequence

from daybreak.data.formats.rows.chats import exchange
from daybreak.data.formats.rows.shape import MOST, Row, Shape, first, joined, listed, plain, share

_ASKED = ("prompt", "query", "question", "context", "problem", "input")
_ANSWERED = ("completion", "response", "answer", "answers", "chosen", "output", "solution", "target", "label_text")


_RIGHT = ("gold", "answerKey", "answer", "label")  # number or label of the right choice
_TITLED = ("title", "desc")  # of a question in forums, where the column of the answer is called so


def answers(rows: Sequence[Row]) -> Shape | None:
    if sum(_chosen(row) is not None for row in rows) >= MOST * len(rows):
        return Shape("rows are questions with choices; the right choice is read", _chosen)
    if share(rows, "context_options", list) >= MOST:
        return Shape("rows are contexts with a continuation", _right_context)
    asked = first(rows, _ASKED)
    answer = first(rows, [name for name in ("continuation", *_ANSWERED) if name != asked], (str, list, dict))
    if not asked and answer == "answer" and share(rows, _TITLED[0]) >= MOST:
        said = f"rows are exchanges, in the columns {_TITLED[0]!r} and {answer!r}"
        return Shape(said, lambda row: _titled(row, answer), "dialogue")
    if not asked or not answer:
        return None
    if answer == "continuation":
        return Shape("rows are contexts with a continuation", lambda row: _continued(row, asked, answer))
    said = f"rows are exchanges, in the columns {asked!r} and {answer!r}"
    return Shape(said, lambda row: _answered(row, asked, answer) if isinstance(row, dict) else None, "dialogue")


def _answered(row: Mapping[str, object], asked: str, answer: str) -> str | None:
    question = joined(row.get("context") if asked == "question" else None, row.get(asked))
    return exchange(question, joined(row.get("chain_of_thought"), row.get(answer)), row)


def _continued(row: Row, asked: str, answer: str) -> str | None:
    if not isinstance(row, dict) or not isinstance(row.get(asked), str):
        return None
    return f"{row[asked].rstrip()} {plain(row.get(answer))}"


def _titled(row: Row, answer: str) -> str | None:
    if not isinstance(row, dict):
        return None
    return exchange(joined(*(row.get(name) for name in _TITLED)), row.get(answer), row)


def _chosen(row: Row) -> str | None:
    """The question and the right one of its choices: a list of them, or of their texts and labels, as ARC
    (arXiv:1803.05457) and CommonsenseQA (arXiv:1811.00937) have them.
    """
    if not isinstance(row, dict):
        return None
    name = next((name for name in ("query", "question", "context") if name in row), "")
    asked, given, inner = row.get(name), row.get("choices"), row.get(name)
    if isinstance(inner, dict):
        asked, given = inner.get("stem"), inner.get("choices", given)
    if isinstance(given, dict):  # two columns
        given = [{"text": text, "label": label} for text, label in zip(*map(listed, _columns(given)), strict=False)]
    choices = listed(given)
    right: object = next((row[name] for name in _RIGHT if isinstance(row.get(name), str | int)), None)
    if not isinstance(asked, str) or not choices or right is None or isinstance(right, bool):
        return None
    by_label: dict[str, object] = {str(one.get("label")): one for one in choices if isinstance(one, dict)}
    chosen = by_label.get(str(right))
    if chosen is None and isinstance(right, int) and 0 <= right < len(choices):
        chosen = choices[right]
    if chosen is None and right in choices:
        chosen = right
    return None if chosen is None else joined(asked, chosen, by=" ") or None


def _columns(choices: Mapping[str, object]) -> tuple[object, object]:
    return choices.get("text"), choices.get("label")


def _right_context(row: Row) -> str | None:
    if not isinstance(row, dict):
        return None
    options, gold = listed(row.get("context_options")), row.get("gold")
    right = options[gold] if isinstance(gold, int) and 0 <= gold < len(options) else ""
    return joined(right, row.get("continuation"), by=" ") or None


def squad(rows: Sequence[Row]) -> Shape | None:
    paragraphs = [part for row in rows if isinstance(row, dict) for part in listed(row.get("paragraphs"))]
    if share(rows, "paragraphs", list) < MOST or not any(
        isinstance(part, dict) and "context" in part for part in paragraphs
    ):
        return None
    return Shape("rows are paragraphs with questions (SQuAD)", _paragraphs, "dialogue")


def _paragraphs(row: Row) -> str | None:
    paragraphs = [p for p in listed(row.get("paragraphs")) if isinstance(p, dict)] if isinstance(row, dict) else []
    told = []
    for paragraph in paragraphs:
        lines = [plain(paragraph.get("context"))]
        for asked in listed(paragraph.get("qas")):
            if isinstance(asked, dict):
                answer = next(iter(listed(asked.get("answers"))), "")
                lines += [f"Question: {plain(asked.get('question'))}", f"Answer: {plain(answer)}"]
        told.append("\n".join(lines))
    return "\n\n".join(told) or None


def c3(rows: Sequence[Row]) -> Shape | None:
    """Lists of a dialogue's lines and of questions about it, as C3 (arXiv:1904.09679) has them."""
    if sum(_reads_as_c3(row) for row in rows) < MOST * len(rows):
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
