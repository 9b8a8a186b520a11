"""Questions: rows with questions and answers, prompts and completions, contexts and what goes on from them."""

from collections.abc import Mapping, Sequence

from daybreak.data.formats.rows.chats import exchange
from daybreak.data.formats.rows.shape import MOST, Row, Shape, first, joined, listed, plain, share

_ASKED = ("prompt", "query", "question", "context", "problem", "input")
_ANSWERED = ("completion", "response", "answer", "answers", "chosen", "output", "solution", "target", "label_text")


def answers(rows: Sequence[Row]) -> Shape | None:
    if share(rows, "choices", list) >= MOST and share(rows, "gold", int) >= MOST:
        asked = first(rows, ("query", "question", "context"))
        if asked:
            return Shape("rows are questions with choices; the right choice is read", lambda row: _chosen(row, asked))
    if share(rows, "context_options", list) >= MOST:
        return Shape("rows are contexts with a continuation", _right_context)
    asked = first(rows, _ASKED)
    answer = first(rows, [name for name in ("continuation", *_ANSWERED) if name != asked], (str, list, dict))
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


def _chosen(row: Row, asked: str) -> str | None:
    if not isinstance(row, dict):
        return None
    choices, gold = listed(row.get("choices")), row.get("gold")
    right = choices[gold] if isinstance(gold, int) and 0 <= gold < len(choices) else ""
    return joined(row.get(asked), right, by=" ") or None


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
