"""Decoding one stream: daybreak beside transformers' `generate`, on the same weights, in turns.

    python benchmarks/decode.py --out runs/decode.json

Tokens per second are those of the tokens after the first, in greedy text; sampled is with temperature 0.8 and top-p
0.95. The time to the first token is of a prompt of 16 and of 512 tokens. What a way needs once is told apart: compiling
its step, with an empty cache. Weights are random and written once as a model/ folder, which both sides open; no text
ends before its length. "documented" is `AutoModelForCausalLM.from_pretrained(folder).generate(...)`; "static, compiled"
adds cache_implementation="static" and its compiled forward pass. Each tool has a process of its own, as its user would
start it, and waits while the other has its turn. Nothing else should run on the machine meanwhile.

    python benchmarks/decode.py --rows 1 4 16 --sizes 10M --out runs/rows.json

measures daybreak alone: so many texts, with prompts of different lengths, continued together and one after another.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Of the stock class; mlp_width of the large one makes it 124 M with tied tables.
SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {"vocabulary": 512, "layers": 2, "width": 64, "heads": 1, "mlp_width": 128},
    "10M": {"vocabulary": 8192, "layers": 8, "width": 320, "heads": 5, "mlp_width": 832},
    "124M": {"vocabulary": 32768, "layers": 12, "width": 768, "heads": 12, "mlp_width": 2560},
}
SHORT, LONG = 16, 512  # tokens of a prompt, with the one that opens the text
DOCUMENTED, STATIC = "transformers, documented", "transformers, static, compiled"
SAMPLED = {"temperature": 0.8, "top_p": 0.95}

# A prompt, how many tokens, whether sampled: to the tokens after the prompt.
Continue = Callable[[Sequence[int], int, bool], list[int]]


class Worker:
    """A tool's process, which is asked in lines of JSON and times itself."""

    def __init__(self, tool: str, folder: Path, device: str) -> None:
        words = [sys.executable, str(Path(__file__).resolve()), "--worker", tool, str(folder), device]
        # daybreak sets how threads wait, for its own process: the other's is as torch has it.
        environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(words, stdin=pipe, stdout=pipe, text=True, env=environment)

    def ask(self, **question: Any) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline() or '{"failed": "the process ended"}')

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


@dataclass
class Way:
    """A way to decode, and what was measured of it."""

    tool: str
    name: str
    precision: str
    worker: Worker
    once_seconds: float = 0.0
    rates: dict[str, list[float]] = field(default_factory=dict)  # tokens per second, by "greedy" and "sampled"
    firsts: dict[int, list[float]] = field(default_factory=dict)  # seconds to the first token, by length of the prompt
    failed: str = ""

    def go(self, prompt: Sequence[int], count: int, sampled: bool = False) -> tuple[float, list[int]]:
        """Seconds, and the tokens after the prompt."""
        told = self.worker.ask(
            way=self.name, precision=self.precision, prompt=list(prompt), count=count, sampled=sampled
        )
        self.failed = self.failed or told.get("failed", "")
        return told.get("seconds", 0.0), told.get("tokens", [])

    def warm(self, prompts: dict[int, list[int]]) -> None:
        """Twice, so that what is done once (compiling, growing) is behind it; tells how long that took."""
        once, again = (sum(self.go(prompt, 3)[0] for prompt in prompts.values()) for _ in range(2))
        self.once_seconds = max(0.0, once - again)

    def turn(self, prompts: dict[int, list[int]], count: int) -> None:
        for length, prompt in prompts.items():
            self.firsts.setdefault(length, []).append(self.go(prompt, 1)[0])
        for name, sampled in (("greedy", False), ("sampled", True)):
            first, _ = self.go(prompts[SHORT], 1, sampled)
            seconds, tokens = self.go(prompts[SHORT], count, sampled)
            if len(tokens) == count:
                self.rates.setdefault(name, []).append((count - 1) / (seconds - first))


def work(tool: str, folder: Path, device: str) -> None:
    """A worker: answers until nothing more is asked."""
    out = os.dup(1)
    os.dup2(2, 1)  # what libraries print is no answer
    ways: dict[tuple[str, str], Continue] = {}
    with os.fdopen(out, "w") as answers:
        for line in sys.stdin:
            asked = json.loads(line)
            key = asked["way"], asked["precision"]
            try:
                if key not in ways:
                    make = of_daybreak if tool == "daybreak" else of_transformers
                    ways[key] = make(folder, device, *key)
                begun = time.perf_counter()
                tokens = ways[key](asked["prompt"], asked["count"], asked["sampled"])
                told: dict[str, Any] = {"seconds": time.perf_counter() - begun, "tokens": tokens}
            except Exception as error:  # what does not work here is told, and the others are measured
                told = {"failed": f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}"}
            answers.write(json.dumps(told) + "\n")
            answers.flush()


def made(size: str, folder: Path) -> int:
    """A model/ folder with random weights, whose last token is never the likeliest; gives how many it has."""
    import torch

    from daybreak.core.shapes import GptShape
    from daybreak.data.tokenizers import byte_tokenizer
    from daybreak.models.checkpoints import write
    from daybreak.models.gpt import Gpt

    sizes = SHAPES[size]
    shape = GptShape(
        **sizes, key_value_heads=sizes["heads"], head_dim=64, context_length=1024, tied=True, rope_base=100000.0
    )
    module, end = Gpt(shape), shape.vocabulary - 1
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in module.parameters():
            if weight.ndim > 1:
                weight.normal_(0.0, weight.shape[1] ** -0.5, generator=generator)
        module.lm_head.weight[end] = 0.0
    byte_tokenizer().save(folder / "tokenizer.json")
    weights = dict(module.named_parameters())
    write.save(
        folder / "model", shape, weights, tokenizer_file=folder / "tokenizer.json", end_of_text=end, token="<|end|>"
    )
    return shape.parameters()


def of_daybreak(folder: Path, device: str, name: str, precision: str) -> Continue:
    import daybreak  # before torch, as its users have it  # noqa: F401, I001
    import torch
    from daybreak.models.checkpoints.read import read_model
    from daybreak.models.inference.predictors import Network
    from daybreak.models.inference.sampling import Sampling
    from daybreak.evaluation.loaded import decoder_for

    module = read_model(folder, torch.device(device))
    module.compute_dtype = getattr(torch, precision)
    net = Network(
        module, end_of_text=module.shape.vocabulary - 1, known_tokens=module.shape.vocabulary, prepare=decoder_for
    )

    def go(prompt: Sequence[int], count: int, sampled: bool) -> list[int]:
        chosen = SAMPLED if sampled else {"temperature": 0.0}
        # Every text is opened by the end-of-text token, which is the prompt's first here.
        return list(net.continuation(prompt[1:], Sampling(max_tokens=count, **chosen)))

    return go


def of_transformers(folder: Path, device: str, name: str, precision: str) -> Continue:
    import torch
    from transformers import AutoModelForCausalLM, CompileConfig
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, precision)).to(device).eval()
    model.generation_config.eos_token_id = None
    more: dict[str, Any] = {}
    if name == STATIC:
        more = {"cache_implementation": "static", "compile_config": CompileConfig()}
        more["compile_config"]._compile_all_devices = True  # it would leave out processors

    def go(prompt: Sequence[int], count: int, sampled: bool) -> list[int]:
        rows = torch.tensor([list(prompt)], device=device)
        chosen: dict[str, Any] = {"do_sample": True, "top_k": 0, **SAMPLED} if sampled else {"do_sample": False}
        said = model.generate(rows, attention_mask=torch.ones_like(rows), max_new_tokens=count, **chosen, **more)
        return said[0, len(prompt) :].tolist()

    return go


def of_rows(size: str, device: str, asked: argparse.Namespace) -> list[dict[str, Any]]:
    """Tokens per second of several texts together and one after another, in turns; medians, and those of the ratios."""
    import daybreak  # before torch, as its users have it  # noqa: F401, I001
    import torch
    from daybreak.evaluation.loaded import decoder_for
    from daybreak.models.checkpoints.read import read_model
    from daybreak.models.inference.predictors import Network
    from daybreak.models.inference.sampling import Sampling

    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        parameters = made(size, folder)
        for precision in ("float32", "bfloat16"):
            module = read_model(folder / "model", torch.device(device))
            module.compute_dtype = getattr(torch, precision)
            end = module.shape.vocabulary - 1
            net = Network(module, end_of_text=end, known_tokens=end, prepare=decoder_for)
            how = Sampling(max_tokens=asked.tokens, temperature=0.0, min_tokens=asked.tokens)

            def together(prompts: list[list[int]], net: Network = net, how: Sampling = how) -> list[list[int]]:
                with net.texts() as texts:
                    named = {texts.join(prompt, how): list[int]() for prompt in prompts}
                    while len(texts):
                        for row, token in texts.step().items():
                            named[row] += [] if token is None else [token]
                return list(named.values())

            def apart(prompts: list[list[int]], net: Network = net, how: Sampling = how) -> list[list[int]]:
                return [list(net.continuation(prompt, how)) for prompt in prompts]

            for count in asked.rows:
                prompts = [[(7 * place + row) % end for place in range(SHORT + row)] for row in range(count)]
                seconds: dict[str, list[float]] = {"together": [], "apart": []}
                texts = {"together": together(prompts), "apart": apart(prompts)}
                for _ in range(asked.turns):
                    for name, go in (("together", together), ("apart", apart)):
                        begun = time.perf_counter()
                        go(prompts)
                        seconds[name].append(time.perf_counter() - begun)
                tokens = count * asked.tokens
                rows.append(
                    {
                        "size": size,
                        "parameters": parameters,
                        "device": device,
                        "precision": precision,
                        "rows": count,
                        "tokens_per_second": {
                            name: tokens / statistics.median(taken) for name, taken in seconds.items()
                        },
                        "times_apart": statistics.median(
                            b / a for a, b in zip(seconds["together"], seconds["apart"], strict=True)
                        ),
                        "same_greedy_texts": sum(a == b for a, b in zip(*texts.values(), strict=True)),
                    }
                )
    return rows


def table_of_rows(rows: list[dict[str, Any]]) -> str:
    lines = ["| size | device | precision | texts | tokens/s together | one after another | times | equal texts |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for r in rows:
        rates = [f"{r['tokens_per_second'][name]:.0f}" for name in ("together", "apart")]
        cells = [r["size"], r["device"], r["precision"], str(r["rows"]), *rates, f"{r['times_apart']:.2f}"]
        lines.append(f"| {' | '.join(cells)} | {r['same_greedy_texts']} of {r['rows']} |")
    return "\n".join(lines)


def measured(size: str, device: str, asked: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for every way."""
    import random

    end = SHAPES[size]["vocabulary"] - 1
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        parameters = made(size, folder)
        workers = {tool: Worker(tool, folder / "model", device) for tool in ("transformers", "daybreak")}
        names = [("transformers", DOCUMENTED, "float32"), ("transformers", DOCUMENTED, "bfloat16")]
        names += [("transformers", STATIC, "float32")] * asked.compile
        names += [("daybreak", "daybreak", "float32"), ("daybreak", "daybreak", "bfloat16")]
        ways = [Way(tool, name, precision, workers[tool]) for tool, name, precision in names]
        draw = random.Random(1)
        prompts = {n: [end, *(draw.randrange(end) for _ in range(n - 1))] for n in (SHORT, LONG)}
        for way in ways:
            way.warm(prompts)
        for turn in range(asked.turns):
            print(f"{size} {device}: turn {turn + 1} of {asked.turns}", file=sys.stderr, flush=True)
            for way in ways:
                if not way.failed:
                    way.turn(prompts, asked.tokens)
        texts = [way.go(prompts[SHORT], asked.tokens)[1] for way in ways if way.precision == "float32"]
        for worker in workers.values():
            worker.end()
    return [row(size, parameters, device, way, ways[0], texts[0] == texts[-1]) for way in ways]


def row(size: str, parameters: int, device: str, way: Way, documented: Way, same: bool) -> dict[str, Any]:
    rates = {name: statistics.median(taken) for name, taken in way.rates.items()}
    against = {name: statistics.median(taken) for name, taken in documented.rates.items()}
    return {
        "size": size,
        "parameters": parameters,
        "device": device,
        "way": way.name,
        "precision": way.precision,
        "tokens_per_second": rates,
        "times_documented": {name: rates[name] / against[name] for name in rates if name in against},
        "first_token_seconds": {str(length): statistics.median(taken) for length, taken in way.firsts.items()},
        "once_seconds": way.once_seconds,
        "same_greedy_text": same if way.name == "daybreak" and way.precision == "float32" else None,
        "failed": way.failed,
        "all_rates": way.rates,
    }


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| size | device | way | precision | tokens/s | of documented | sampled tokens/s | of documented "
        f"| first token, prompt of {SHORT} | of {LONG} | once |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        start = f"| {r['size']} | {r['device']} | {r['way']} | {r['precision']} | "
        if r["failed"]:
            lines.append(f"{start}{r['failed']} | | | | | | |")
            continue
        cells = []
        for name in ("greedy", "sampled"):
            rate, times = r["tokens_per_second"].get(name), r["times_documented"].get(name)
            cells += [f"{rate:.1f}" if rate else "", f"{times:.2f}" if times else ""]
        cells += [f"{1000 * r['first_token_seconds'][str(length)]:.0f} ms" for length in (SHORT, LONG)]
        lines.append(start + " | ".join([*cells, f"{r['once_seconds']:.1f} s"]) + " |")
    for r in rows:
        if r["same_greedy_text"] is not None:
            said = "equal to" if r["same_greedy_text"] else "NOT equal to"
            lines.append(f"\n{r['size']} on {r['device']}: greedy text in float32 is {said} transformers'.")
    return "\n".join(lines)


def main() -> None:
    if sys.argv[1:2] == ["--worker"]:
        work(sys.argv[2], Path(sys.argv[3]), sys.argv[4])
        return
    import torch

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["10M", "124M"], choices=list(SHAPES))
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    parser.add_argument("--devices", nargs="+", default=devices)
    parser.add_argument("--tokens", type=int, default=64, help="of a text that is timed")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--rows", type=int, nargs="+", default=[], help="texts at once, of daybreak alone")
    parser.add_argument("--no-compile", dest="compile", action="store_false", help="leave out transformers' own")
    parser.add_argument("--out", type=Path, default=Path("runs/decode.json"))
    asked = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as cache:
        os.environ["DAYBREAK_CACHE"] = cache  # so that what is compiled once is compiled here
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(Path(cache) / "kernels")
        for device in asked.devices:
            for size in asked.sizes:
                rows += (of_rows if asked.rows else measured)(size, device, asked)
    facts = {
        "rows": rows,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "processor": platform.processor() or platform.machine(),
    }
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(facts, indent=1) + "\n")
    print(table_of_rows(rows) if asked.rows else table(rows))


if __name__ == "__main__":
    main()
