"""Tokens per second of a training step: daybreak's, by mode, beside a plain PyTorch step of the same shape, in turns.

    python benchmarks/step.py --layers 4 --width 256 --vocabulary 1024 --context 128 --rows 32

"plain" is what a careful user writes: torch's own modules, autocast to bfloat16, scaled_dot_product_attention, fused
AdamW; "plain compiled" is the same under torch.compile. daybreak's steps are those of a run: its loss, its gradients,
its Muon. Both sides get the memory policy of the process they run in, which for daybreak is to keep what is freed, so
each side runs in a process of its own; turns alternate, and the medians of all turns are compared.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import Any

SIDES = ("plain", "plain compiled", "eager", "compiled", "kernels", "kernels, threads apart")
TECHNIQUES = {
    "eager": (),
    "compiled": ("compiled",),
    "kernels": ("kernels",),
    SIDES[-1]: ("kernels", "thread_parallel"),
}


def plain_step(asked: argparse.Namespace, *, compiled: bool):
    """A function that takes one step of a decoder of the same sizes."""
    import torch
    import torch.nn.functional as F
    from torch import nn

    width, heads = asked.width, max(1, asked.width // 64)

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.RMSNorm(width), nn.RMSNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
            hidden = round(8 * width / 3 / 64) * 64
            self.gate, self.up = nn.Linear(width, hidden, bias=False), nn.Linear(width, hidden, bias=False)
            self.down = nn.Linear(hidden, width, bias=False)

        def forward(self, x):
            rows, length, _ = x.shape
            q, k, v = (
                part.view(rows, length, heads, -1).transpose(1, 2) for part in self.qkv(self.norm1(x)).chunk(3, -1)
            )
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(y.transpose(1, 2).reshape(rows, length, width))
            h = self.norm2(x)
            return x + self.down(F.silu(self.gate(h)) * self.up(h))

    class Decoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.positions = nn.Embedding(asked.vocabulary, width), nn.Embedding(asked.context, width)
            self.layers = nn.ModuleList(Layer() for _ in range(asked.layers))
            self.norm, self.head = nn.RMSNorm(width), nn.Linear(width, asked.vocabulary, bias=False)

        def forward(self, tokens, targets):
            x = self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1]))
            for layer in self.layers:
                x = layer(x)
            return F.cross_entropy(self.head(self.norm(x)).flatten(0, 1).float(), targets.flatten())

    module = Decoder()
    run = torch.compile(module) if compiled else module
    optimizer = torch.optim.AdamW(module.parameters(), fused=True)
    rows = torch.randint(asked.vocabulary, (asked.rows, asked.context + 1))

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            loss = run(rows[:, :-1], rows[:, 1:])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def daybreak_step(asked: argparse.Namespace, side: str):
    """A function that takes one step as a run does."""
    import torch

    from daybreak import techniques
    from daybreak.data.batches import Batch
    from daybreak.engine import machine as machines
    from daybreak.engine import optimizers
    from daybreak.models import families, ladder
    from daybreak.models.gpt import Gpt
    from daybreak.planning.recipe import optimizer_of
    from daybreak.tasks.next_token import NextToken

    machines.keep_freed_memory()
    device = torch.device("cpu")
    machine = machines.described(device)
    shape = ladder.gpt(asked.layers, asked.width, vocabulary=asked.vocabulary, context_length=asked.context)
    names = ["bf16"] if "bfloat16" in machine.fast_dtypes else []
    on = [(name, techniques.class_of(name)()) for name in (*names, *TECHNIQUES[side])]
    plan: Any = SimpleNamespace(micro_batch=asked.rows)
    context = techniques.Context(plan=plan, machine=machine)
    module = Gpt(shape)
    module.initialize(0)
    module, _ = techniques.fold(on, "module", module.train(), context)
    loss, _ = techniques.fold(on, "loss", NextToken(), context)
    choice = optimizer_of(
        "muon",
        batch_tokens=asked.rows * asked.context,
        weight_decay=0.1,
        width=asked.width,
        rates=families.named("gpt").rates,
    )
    dtype = torch.bfloat16 if names else torch.float32
    optimizer = optimizers.make(choice, module.matrices(), module.embeddings_and_norms(), dtype=dtype)
    optimizer, _ = techniques.fold(on, "optimizer", optimizer, context)
    batch = Batch(torch.randint(asked.vocabulary, (asked.rows, asked.context + 1)))

    def step() -> None:
        (loss(module, batch) / loss.targets(batch)).backward()
        optimizer.gradient_norm()
        optimizer.step(optimizers.Rates(learning_rate=1e-6))
        optimizer.clear()

    return step


def turn(asked: argparse.Namespace) -> None:
    """In a process of its own: steps for a while, seconds of each as JSON."""
    plain = asked.side.startswith("plain")
    step = plain_step(asked, compiled="compiled" in asked.side) if plain else daybreak_step(asked, asked.side)
    for _ in range(3):
        step()
    taken = []
    until = time.perf_counter() + asked.seconds
    while time.perf_counter() < until:
        begun = time.perf_counter()
        step()
        taken.append(time.perf_counter() - begun)
    print(json.dumps(taken))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("layers", 4), ("width", 256), ("vocabulary", 1024), ("context", 128), ("rows", 32)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0, help="of a turn")
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=SIDES)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.side:
        turn(asked)
        return
    taken: dict[str, list[float]] = {side: [] for side in asked.sides}
    for _ in range(asked.turns):
        for side in asked.sides:
            words = [sys.executable, *sys.argv, "--side", side]
            # daybreak sets how threads wait before torch is imported; the plain step has torch's default.
            environment = {**({} if side.startswith("plain") else {"OMP_WAIT_POLICY": "PASSIVE"}), **os.environ}
            done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment)
            taken[side] += json.loads(done.stdout.splitlines()[-1])
    tokens = asked.rows * asked.context
    seconds = {side: statistics.median(values) for side, values in taken.items()}
    first = seconds[asked.sides[0]]
    print(
        f"{asked.layers} layers of {asked.width}, vocabulary {asked.vocabulary}, {asked.rows} x {asked.context} tokens"
    )
    print("| step | milliseconds | tokens/s | times as fast |\n| --- | --- | --- | --- |")
    for side, value in seconds.items():
        print(f"| {side} | {1000 * value:.0f} | {tokens / value:,.0f} | {first / value:.2f} |")


if __name__ == "__main__":
    main()
