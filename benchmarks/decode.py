"""Decoding one stream: daybreak beside transformers' `generate`, on the same weights, in turns in one process.

    python benchmarks/decode.py --out runs/decode.json

Tokens per second are those of the tokens after the first, in greedy text; sampled is with temperature 0.8 and top-p
0.95. The time to the first token is of a prompt of 16 and of 512 tokens. What a way needs once is told apart: compiling
its step, with an empty cache. Weights are random and written once as a model/ folder, which both sides open; no text
ends before its length. "documented" is `AutoModelForCausalLM.from_pretrained(folder).generate(...)`; "static, compiled"
adds cache_implementation="static" and its compiled forward pass. torch is imported before daybreak, so threads wait as
torch has them wait by default, on both sides. Nothing else should run on the machine meanwhile.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from daybreak.core.types import GptShape
from daybreak.data.tokenizers import Tokenizer
from daybreak.models import files
from daybreak.models.gpt import Gpt
from daybreak.models.predictors import Network, Sampling
from daybreak.stages.evaluate import decoder_for

SHAPES = {
    "tiny": GptShape(
        vocabulary=512,
        layers=2,
        width=64,
        heads=2,
        key_value_heads=2,
        head_dim=32,
        mlp_width=128,
        context_length=1024,
        tied=False,
    ),
    "10M": GptShape(
        vocabulary=8192,
        layers=8,
        width=320,
        heads=5,
        key_value_heads=5,
        head_dim=64,
        mlp_width=832,
        context_length=1024,
        tied=True,
    ),
    "124M": GptShape(
        vocabulary=32768,
        layers=12,
        width=768,
        heads=12,
        key_value_heads=12,
        head_dim=64,
        mlp_width=2560,
        context_length=1024,
        tied=True,
    ),
}
SHORT, LONG = 16, 512  # tokens of a prompt, with the one that opens the text
DOCUMENTED, STATIC = "transformers, documented", "transformers, static, compiled"
SAMPLED = {"temperature": 0.8, "top_p": 0.95}

# A prompt, how many tokens, whether sampled: to the tokens after the prompt.
Continue = Callable[[Sequence[int], int, bool], list[int]]


@dataclass
class Way:
    """A way to decode, and what was measured of it."""

    name: str
    precision: str
    go: Continue
    once_seconds: float = 0.0
    rates: dict[str, list[float]] = field(default_factory=dict)  # tokens per second, by "greedy" and "sampled"
    firsts: dict[int, list[float]] = field(default_factory=dict)  # seconds to the first token, by length of the prompt
    failed: str = ""

    def first(self, prompt: Sequence[int]) -> float:
        begun = time.perf_counter()
        self.go(prompt, 1, False)
        return time.perf_counter() - begun

    def turn(self, prompts: dict[int, list[int]], count: int) -> None:
        for length, prompt in prompts.items():
            self.firsts.setdefault(length, []).append(self.first(prompt))
        for name, sampled in (("greedy", False), ("sampled", True)):
            before = self.first(prompts[SHORT])
            begun = time.perf_counter()
            taken = len(self.go(prompts[SHORT], count, sampled))
            if taken == count:
                self.rates.setdefault(name, []).append((count - 1) / (time.perf_counter() - begun - before))


def made(shape: GptShape, folder: Path) -> int:
    """A model/ folder with random weights; gives the token that opens a text, which is never the likeliest."""
    module, end = Gpt(shape), shape.vocabulary - 1
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in module.parameters():
            if weight.ndim > 1:
                weight.normal_(0.0, weight.shape[1] ** -0.5, generator=generator)
        module.lm_head.weight[end] = 0.0
    Tokenizer.bytes_only().save(folder / "tokenizer.json")
    weights = dict(module.named_parameters())
    files.save(
        folder / "model", shape, weights, tokenizer_file=folder / "tokenizer.json", end_of_text=end, token="<|end|>"
    )
    return end


def of_daybreak(folder: Path, device: torch.device, end: int, precision: str) -> Way:
    module = files.read(folder, device)
    module.compute_dtype = getattr(torch, precision)
    net = Network(module, end_of_text=end, prepare=decoder_for)

    def go(prompt: Sequence[int], count: int, sampled: bool) -> list[int]:
        chosen = SAMPLED if sampled else {"temperature": 0.0}
        # The decoder opens every text by the end-of-text token; no token stands for the end here.
        return list(net.continuation(prompt[1:], Sampling(max_tokens=count, **chosen)))

    return Way("daybreak", precision, go)


def of_transformers(folder: Path, device: torch.device, precision: str, *, static: bool) -> Way:
    from transformers import AutoModelForCausalLM, CompileConfig
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, precision)).to(device).eval()
    model.generation_config.eos_token_id = None
    more: dict[str, Any] = {}
    if static:
        more = {"cache_implementation": "static", "compile_config": CompileConfig()}
        more["compile_config"]._compile_all_devices = True  # it would leave out processors

    def go(prompt: Sequence[int], count: int, sampled: bool) -> list[int]:
        rows = torch.tensor([list(prompt)], device=device)
        chosen: dict[str, Any] = {"do_sample": True, "top_k": 0, **SAMPLED} if sampled else {"do_sample": False}
        said = model.generate(rows, attention_mask=torch.ones_like(rows), max_new_tokens=count, **chosen, **more)
        return said[0, len(prompt) :].tolist()

    return Way(STATIC if static else DOCUMENTED, precision, go)


def measured(size: str, device: torch.device, asked: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for every way."""
    shape = SHAPES[size]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        end = made(shape, folder)
        model = folder / "model"
        ways = [of_transformers(model, device, p, static=False) for p in ("float32", "bfloat16")]
        if asked.compile:
            ways.append(of_transformers(model, device, "float32", static=True))
        ways += [of_daybreak(model, device, end, p) for p in ("float32", "bfloat16")]
        generator = torch.Generator().manual_seed(1)
        prompts = {
            length: [end, *torch.randint(shape.vocabulary - 1, (length - 1,), generator=generator).tolist()]
            for length in (SHORT, LONG)
        }
        for way in ways:
            warm(way, prompts)
        working = [way for way in ways if not way.failed]
        for turn in range(asked.turns):
            print(f"{size} {device.type}: turn {turn + 1} of {asked.turns}", file=sys.stderr, flush=True)
            for way in working:
                way.turn(prompts, asked.tokens)
        greedy = {
            way.name: way.go(prompts[SHORT], asked.tokens, False) for way in working if way.precision == "float32"
        }
    same = greedy[DOCUMENTED] == greedy["daybreak"]
    return [row(size, shape, device, way, ways[0], same) for way in ways]


def warm(way: Way, prompts: dict[int, list[int]]) -> None:
    """Twice, so that what is done once (compiling, reading, growing) is behind it; tells how long that took."""
    begun = time.perf_counter()
    try:
        for prompt in prompts.values():
            way.go(prompt, 3, False)
        once = time.perf_counter() - begun
        begun = time.perf_counter()
        for prompt in prompts.values():
            way.go(prompt, 3, False)
        way.once_seconds = max(0.0, once - (time.perf_counter() - begun))
    except Exception as error:  # a peer that does not work here is told, and the others are measured
        way.failed = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}"


def row(size: str, shape: GptShape, device: torch.device, way: Way, documented: Way, same: bool) -> dict[str, Any]:
    rates = {name: statistics.median(taken) for name, taken in way.rates.items()}
    against = {name: statistics.median(taken) for name, taken in documented.rates.items()}
    return {
        "size": size,
        "parameters": shape.parameters(),
        "device": device.type,
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=["10M", "124M"], choices=list(SHAPES))
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    parser.add_argument("--devices", nargs="+", default=devices)
    parser.add_argument("--tokens", type=int, default=64, help="of a text that is timed")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument(
        "--no-compile", dest="compile", action="store_false", help="without transformers' compiled pass"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/decode.json"))
    asked = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as cache:
        os.environ["DAYBREAK_CACHE"] = cache  # so that what is compiled once is compiled here
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(Path(cache) / "kernels")
        for device in asked.devices:
            for size in asked.sizes:
                rows += measured(size, torch.device(device), asked)
    facts = {
        "rows": rows,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "processor": platform.processor() or platform.machine(),
    }
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(facts, indent=1) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
