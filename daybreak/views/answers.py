"""Answers: scores on tasks in words, of one run and of runs compared; see evaluation/questions.py."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

NAMES = {
    "accuracy": "accuracy",
    "accuracy_by_bytes": "accuracy, by bytes",
    "perplexity": "perplexity",
    "nats": "nats a question",
}
KINDS = {"pairs": "pairs", "choices": "multiple choice", "schema": "schemas", "last_words": "last words"}


def lines(facts: dict[str, Any]) -> list[str]:
    """Of `daybreak evaluate --task` and --lm-eval."""
    found: list[str] = []
    for task in facts["tasks"]:
        found += ["" if found else f"{facts['needs']}, {facts['method']['likelihood']}", head(task)]
        for name, score in task["scores"].items():
            found.append(f"  {NAMES.get(name, name):22} {interval(score)}")
        if task.get("parts"):
            found.append("  accuracy by part")
            found += [
                f"    {name:36} {interval(part['accuracy'])}  {part['items']:,}" for name, part in task["parts"].items()
            ]
    return found


def head(task: dict[str, Any]) -> str:
    """A task's name and what was asked."""
    items, whole = task["items"], task.get("items_in_file", task["items"])
    of = "" if items == whole else f" of {whole:,}, evenly spread"
    line = f"{task['name']}: {items:,}{of}, {KINDS.get(task['kind'], task['kind'])}"
    if task.get("chance"):
        line += f"; chance is {task['chance']:.4f}"
    if task.get("cut"):
        line += f"; in {task['cut']:,} the beginning of the context did not fit and was left out"
    return line


def interval(score: dict[str, Any]) -> str:
    if score.get("low") is None:
        return _number(score["value"])
    return f"{_number(score['value'])}  (95% interval {_number(score['low'])} to {_number(score['high'])})"


def _number(value: Any) -> str:
    """Perplexities go into the millions, and lm-eval has figures that are no numbers."""
    if not isinstance(value, int | float):
        return str(value)
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:,.0f}"


def show_comparison(facts: dict[str, Any], said: dict[str, str], console: "Console") -> None:
    """Scores of every run, and the verdicts. said: the words of compare.json."""
    styles = {"better": "green", "worse": "red", "cannot tell": "yellow"}
    for task in facts["tasks"]:
        console.print(f"\n{head(task | {'cut': 0})}", style="bold", markup=False, highlight=False)
        for label, found in task["runs"].items():
            for name, score in found["scores"].items():
                line = f"  {label:24} {NAMES[name]:22} {interval(score)}"
                console.print(line, markup=False, highlight=False, soft_wrap=True)
        for verdict in facts["verdicts"]:
            if verdict["task"] == task["name"]:
                line = f"  {sentence(verdict, facts, said)}"
                console.print(line, style=styles[verdict["verdict"]], markup=False, highlight=False, soft_wrap=True)
    if len(facts["verdicts"]) > 1:
        console.print(f"\n{said['several'].format(tests=len(facts['verdicts']))}", markup=False, highlight=False)
    console.print(said["caveat of tasks"], markup=False, highlight=False, soft_wrap=True)


def sentence(verdict: dict[str, Any], facts: dict[str, Any], said: dict[str, str]) -> str:
    """One verdict with its interval; where it cannot be told and the interval does not show why, the reason."""
    signed = {name: f"{verdict[name]:+.4f}" for name in ("difference", "low", "high")}
    named = {"run": verdict["run"], "than": verdict["than"], "score": said[f"score {verdict['score']}"]}
    line = said[f"{verdict['verdict']} at tasks"].format(**named, **signed)
    reason = ""
    if verdict["low"] == verdict["high"] == 0:
        reason = said["equal answers"]
    elif verdict["verdict"] == "cannot tell" and verdict["units"] < facts["method"]["least_units"]:
        reason = said["too few questions"].format(units=verdict["units"], least=facts["method"]["least_units"])
    elif verdict["verdict"] == "cannot tell" and not verdict["low"] <= 0 <= verdict["high"]:
        reason = said["by chance"].format(tests=len(facts["verdicts"]), p=f"{verdict['adjusted_p']:.3f}")
    return f"{line}; {reason}" if reason else line
