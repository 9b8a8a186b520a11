"""Cards: the README.md of an exported model, filled from the records of its run; what was not recorded is said so."""

from daybreak.core import units
from daybreak.core.values import Json
from daybreak.models import families
from daybreak.views import comparison
from daybreak.views.snippets import snippet

LEAST_SHARE = 0.01  # of the text, for a language to be named
MOST_NAMED = 8
SCRIPTS = {"cjk": "zh", "latin": "en"}  # where no language was identified


def card(facts: Json, found: Json) -> str:
    """Markdown with YAML before it. facts: of Facts.json. found: what comparing the export has found."""
    parts = [
        _front(facts, found),
        f"# {facts['name']}",
        _what(facts, found["family"]),
        "## Use\n\n" + _use(facts, found),
        _opening(found),
        _text(facts),
        _plan(facts),
        _figures(facts, found),
        _limits(facts),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def languages(corpus: Json | None) -> list[str]:
    """Codes of the languages that are a part of the text, the largest first."""
    spoken = dict((corpus or {}).get("spoken") or {})
    if not spoken:
        spoken = {
            SCRIPTS[name]: share for name, share in ((corpus or {}).get("languages") or {}).items() if name in SCRIPTS
        }
    named = sorted(((share, code) for code, share in spoken.items() if len(code) == 2), reverse=True)
    return [code for share, code in named if share >= LEAST_SHARE][:MOST_NAMED]


def _front(facts: Json, found: Json) -> str:
    """The fields that Hugging Face's hub reads. The licence is the publisher's to choose."""
    family = found["family"]
    task = families.named(family).words.task
    library = {"hf": "transformers", "gguf": "llama.cpp", "onnx": "onnxruntime"}.get(found["to"], found["to"])
    rows = ["---", "license: unknown"]
    spoken = languages(facts.get("corpus"))
    if spoken:
        rows += ["language:", *(f"- {_quoted(code)}" for code in spoken)]
    rows += [f"library_name: {library}", f"pipeline_tag: {task}", "tags:", "- daybreak", f"- {family}"]
    model = (facts.get("result") or {}).get("model")
    if model:
        rows += [
            "model-index:",
            f"- name: {_quoted(facts['name'])}",
            "  results:",
            "  - task:",
            f"      type: {task}",
            "    dataset:",
            "      type: held-out",
            "      name: the held-out part of the text",
            "    metrics:",
            f"    - type: {model['name']}",
            f"      value: {model['value']:.4f}",
        ]
    return "\n".join([*rows, "---"])


def _use(facts: Json, found: Json) -> str:
    tokenizer = (facts.get("plan") or {}).get("tokenizer") or {}
    pad = (tokenizer.get("specials") or {}).get("pad", 0)
    return snippet(found["to"], found["family"], name=_plain(facts["name"]), cached=found["cached"], pad=pad)


def _what(facts: Json, family: str) -> str:
    plan = facts.get("plan") or {}
    shape = plan.get("shape") or {}
    words = families.named(family).words
    count = facts.get("parameters")
    size = f" of {units.count(count)} weights" if count else ""
    layers = f", {shape['layers']} layers of {shape['width']}" if "layers" in shape else ""
    context = f", for texts of up to {shape['context_length']:,} tokens" if "context_length" in shape else ""
    budget, machine = facts.get("budget") or {}, facts.get("machine") or {}
    used = f"in {units.duration(budget['used'])}" if budget.get("used") else "in a time that was not recorded"
    where = f" on {machine['name']} ({machine['kind']}, {machine['cores']} cores)" if machine.get("name") else ""
    begun = "from the start"
    if origin := plan.get("origin"):
        begun = f"on from {_code(_name(origin['path'].rstrip('/').removesuffix('/model')))}"
    return (
        f"{words.kind}{size}{layers}{context}, trained {begun} by daybreak {used}{where}. "
        f"It is a base model: {words.does}."
    )


def _opening(found: Json) -> str:
    """What the tokenizer does, so that prompts look as texts did in training."""
    continues = families.named(found["family"]).continues
    if found["to"] == "hf" and not continues:
        return "The tokenizer puts the tokens around a text that stood there in training."
    if found["to"] == "hf":
        return (
            "The tokenizer puts the token that ends a text before every text, as in training. The chat template writes "
            "messages one after the other, a blank line between them, because the model knows no turns."
        )
    if found["to"] == "gguf":
        return "llama.cpp puts the token that ends a text before every prompt, as in training."
    if not continues:
        return "`tokenizer.json` puts the tokens around a text that stood there in training."
    return "Every text begins with the token that ends one, as in training; `tokenizer.json` puts it there."


def _text(facts: Json) -> str:
    corpus = facts.get("corpus")
    if not corpus:
        return "## Text\n\nWhat it was trained on was not recorded."
    # Names of files alone: where they lay on the machine is nobody's business.
    named = [_code(_name(source)) for source in corpus.get("sources", ())]
    rows = [
        ("sources", ", ".join(named) or "the text that daybreak has built in"),
        ("documents", f"{corpus['documents']:,}"),
        ("bytes", f"{corpus['bytes']:,}"),
        ("languages", _shares(corpus.get("spoken") or corpus.get("languages") or {})),
        ("licences named in it", _counts(corpus.get("licences") or {}) or "none"),
        ("cleaning", ", ".join(step["name"] for step in corpus.get("cleaning", ())) or "none"),
        ("held out", f"{corpus['heldout_documents']:,} documents, {corpus['heldout_bytes']:,} bytes"),
    ]
    allows = "what the text allows"
    if (facts.get("plan") or {}).get("origin"):
        allows += ", and the model that it began as"
    publishing = f"Who publishes the model has to know {allows}; `license` above is to be filled in."
    return f"## Text\n\n{_table(rows)}\n\n{publishing}"


def _plan(facts: Json) -> str:
    plan = facts.get("plan")
    if not plan:
        return "## Training\n\nThe plan was not recorded."
    tokenizer, optimizer, schedule = plan["tokenizer"], plan["optimizer"], plan["schedule"]
    training = facts.get("training") or {}
    budget, machine, versions = facts.get("budget") or {}, facts.get("machine") or {}, facts.get("versions") or {}
    rows = [
        ("budget", units.duration(budget.get("seconds") or plan["budget"]["seconds"])),
        ("used", units.duration(budget["used"]) if budget.get("used") else "not recorded"),
        ("machine", ", ".join(str(machine[k]) for k in ("name", "kind") if machine.get(k)) or "not recorded"),
        ("objective", str(plan["objective"])),
        ("tokenizer", f"{tokenizer['kind']}, {tokenizer['vocabulary']:,} tokens"),
        ("shape", ", ".join(f"{name} {value}" for name, value in plan["shape"].items() if name != "family")),
        ("optimizer", f"{optimizer['name']}, rate {optimizer['learning_rate']:g}, decay {optimizer['weight_decay']:g}"),
        ("schedule", f"{schedule['name']}, warm-up {schedule['warmup']:g}, decay {schedule['decay']:g}"),
        ("tokens trained on", f"{training['tokens']:,.0f}" if training.get("tokens") else "not recorded"),
        ("steps", f"{training['steps']:,}" if training.get("steps") else "not recorded"),
        ("techniques", ", ".join(choice["name"] for choice in plan["techniques"]) or "none"),
        ("seed", str(plan["seed"])),
        *_repeatable(facts),
        ("energy", _energy(facts)),
        ("versions", ", ".join(f"{k} {v}" for k, v in versions.items() if k != "system") or "not recorded"),
    ]
    return "## Training\n\n" + _table(rows)


def _repeatable(facts: Json) -> list[tuple[str, str]]:
    """A row on whether the run can be repeated to the last bit, where it was asked to be."""
    deviations = (facts.get("result") or {}).get("deviations")
    if deviations is None:
        return []
    return [("repeatable to the last bit", f"no: {'; '.join(deviations)}" if deviations else "yes")]


def _energy(facts: Json) -> str:
    for measured in (facts.get("result") or {}).get("measurements", ()):
        if measured["name"].startswith("energy"):
            return f"{measured['value']:g} {measured['unit']}"
    return "not measured"


def _figures(facts: Json, found: Json) -> str:
    result = facts.get("result") or {}
    rows = []
    for measured in (result.get("model"), result.get("perplexity"), *result.get("more", ())):
        if measured:
            needs = "" if measured["needs"] in ("", "model/") else f", with {measured['needs']}, which are not in here"
            rows.append(
                (f"{measured['name']}{needs}", f"{measured['value']:.4f}", f"{measured['bytes']:,} bytes held out")
            )
    for name, label in (("kneser_ney", "Kneser-Ney n-grams, bits_per_byte"), ("xz", "xz, bits_per_byte")):
        if result.get(name):
            rows.append((label, f"{result[name]['value']:.4f}", result[name].get("note") or "for comparison"))
    for task in facts.get("tasks") or ():
        for name, score in (task.get("scores") or {}).items():
            label = f"{task['name']}, zero-shot, {comparison.SCORE_NAMES.get(name, name)}"
            rows.append((label, comparison.score_interval(score), f"{task['items']:,} questions{_chance(task, name)}"))
    table = "| figure | value | on |\n| --- | --- | --- |\n"
    table += "\n".join(f"| {_cell(name)} | {value} | {_cell(on)} |" for name, value, on in rows)
    measured_here = table if rows else "None were recorded."
    compared = (
        f"This folder ({found['to']}, {found['precision']}) was opened by {found['program']} and compared with the "
        f"model as daybreak computes it: logits differ by at most {found['largest_logit_difference']:.2g} "
        f"({found['tolerance']:.2g} is allowed)"
    )
    if "continued_alike" in found:
        compared += (
            f", and the likeliest text of {found['continued_tokens']} tokens is the same after "
            f"{found['continued_alike']} of {found['prompts']} prompts"
        )
    return f"## Scores\n\n{measured_here}\n\n{compared}."


def _chance(task: Json, score: str) -> str:
    return f"; chance is {task['chance']:.4f}" if task.get("chance") and score.startswith("accuracy") else ""


def _limits(facts: Json) -> str:
    corpus, shape = facts.get("corpus") or {}, (facts.get("plan") or {}).get("shape") or {}
    context = f" It sees {shape['context_length']:,} tokens at once." if "context_length" in shape else ""
    amount = f" from {units.size(corpus['bytes'])} of text" if corpus.get("bytes") else ""
    return (
        f"## Limits\n\nWhat it knows, it has{amount}, with that text's errors and leanings; what it writes is often "
        f"false, and may repeat passages of the text word for word.{context} Nothing was done to keep it from harmful "
        "text. It was scored on text of the same kind alone."
    )


def _name(path: str) -> str:
    return path.rstrip("/").rsplit("/", 1)[-1]


def _table(rows: list[tuple[str, str]]) -> str:
    return "| | |\n| --- | --- |\n" + "\n".join(f"| {name} | {_cell(value)} |" for name, value in rows)


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def _shares(shares: dict[str, float]) -> str:
    named = sorted(((share, name) for name, share in shares.items() if share >= 0.001), reverse=True)
    return ", ".join(f"{name} {share:.1%}" for share, name in named[:MOST_NAMED]) or "not identified"


def _counts(counts: dict[str, int]) -> str:
    named = sorted(((count, name) for name, count in counts.items()), reverse=True)
    return ", ".join(f"{_code(name)} ({count:,} documents)" for count, name in named[:MOST_NAMED])


def _code(text: str) -> str:
    """Text of strangers, shown and not followed."""
    return f"`{text.replace('`', chr(39))}`"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _plain(name: str) -> str:
    """As a name for other programs."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name).lower() or "model"
