"""BERT and T5 beside Hugging Face's Trainer: models of the same size, the same seconds, the same text and questions.

    python benchmarks/families.py bert TEXT --seconds 300 --out runs/families
    python benchmarks/families.py t5 TEXT --seconds 300 --out runs/families

daybreak's seconds are those of the whole command: reading, cleaning, learning a tokenizer, planning, saving. The
Trainer's are training alone, on tokens that are ready, with daybreak's tokenizer. Both models are put to the same
held-out text with the same tokens hidden (tasks/scoring.py). Nothing else should run on the machine meanwhile.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from daybreak.core.run import Run
from daybreak.core.shapes import BertShape, T5Shape
from daybreak.data.batches import Batch
from daybreak.data.shards import Tokens
from daybreak.data.tokenizers import load_tokenizer
from daybreak.data.tokenizers.base import Tokenizer
from daybreak.models.layouts import modernbert
from daybreak.tasks import task_of

# The Trainer's learning rates and rows a step, of which the best is taken: its own 8 rows, and 32. A class can follow.
CELLS = {"bert": ("5e-4@8", "2e-3@8", "2e-3@32", "1e-3@8@modernbert"), "t5": ("3e-3@8", "1e-3@32")}
TRYING = 40  # steps that tell how many fit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("family", choices=CELLS)
    parser.add_argument("text", nargs="+")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--out", type=Path, default=Path("runs/families"))
    parser.add_argument("--cells", nargs="*", help="RATE@ROWS[@CLASS] of the Trainer, in place of the usual ones")
    asked = parser.parse_args()
    folder = asked.out / f"{asked.family}-{asked.seconds:g}s"
    if not Run(folder).finished():
        words = ["--family", asked.family, "--for", f"{asked.seconds:g}s", "--out", str(folder), "--", *asked.text]
        subprocess.run([sys.executable, "-P", "-m", "daybreak", "run", *words], check=True, stdout=subprocess.DEVNULL)
    ours = examined(folder)
    print(json.dumps({"daybreak": ours}), flush=True)
    theirs = [trained(folder, asked.family, asked.seconds, cell) for cell in asked.cells or CELLS[asked.family]]
    higher = Run(folder).plan().headline.higher_is_better
    best = (max if higher else min)(theirs, key=lambda found: found["figure"])
    print(json.dumps({"daybreak": ours, "trainer": best, "ratio": ours["figure"] / best["figure"], "all": theirs}))


def parts(folder: Path) -> tuple[Any, Tokenizer, Tokens, np.ndarray]:
    run = Run(folder)
    plan, tokenizer = run.plan(), load_tokenizer(run.tokenizer_file)
    name = plan.tokenizer.vocabulary
    train, held = (Tokens(run.corpus_folder, f"{part}-{name}") for part in ("train", "heldout"))
    return plan, tokenizer, train, held.slice(0, min(len(held), 200_000))


def examined(folder: Path) -> dict[str, Any]:
    from daybreak.models.checkpoints.read import read_model

    plan, tokenizer, _, held = parts(folder)
    module = read_model(Run(folder).model_folder, torch.device("cpu"))
    score = task_of(plan.objective).scorer(plan, tokenizer).score(module, held).total()
    return {
        "figure": plan.headline.value(score.sums()),
        "name": plan.headline.name,
        "nats": score.nats / score.tokens,
        "targets": score.tokens,
        "parameters": plan.shape.parameters(),
        "shape": plan.shape.key(),
    }


class Rows(torch.utils.data.Dataset):
    """Windows of the training tokens, in the order of the text; the Trainer shuffles them."""

    def __init__(self, tokens: Tokens, length: int) -> None:
        self.tokens, self.length = tokens, length

    def __len__(self) -> int:
        return (len(self.tokens) - 1) // self.length

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        start = index * self.length
        return {"row": torch.from_numpy(self.tokens.slice(start, start + self.length + 1).astype(np.int64))}


class AsOurs:
    """A model of transformers with as much of the face of ours as an exam looks at."""

    def __init__(self, model: Any, length: int, family: str) -> None:
        self.model, self.family = model, family
        self.shape = type("Shape", (), {"context_length": length})
        self.lm_head = model.get_output_embeddings()

    def eval(self) -> None:
        self.model.eval()

    def __call__(
        self, inputs: Tensor, decoder_inputs: Tensor | None = None, *, where_BP: Tensor | None = None
    ) -> Tensor:
        if self.family == "t5":
            return self.model(input_ids=inputs, decoder_input_ids=decoder_inputs).logits.float()
        logits_BTV = self.model(input_ids=inputs).logits.float()
        assert where_BP is not None
        return logits_BTV.gather(1, where_BP[..., None].expand(-1, -1, logits_BTV.shape[-1]))


def model_of(shape: Any, plan: Any, of_class: str) -> Any:
    """Of the class that most people train: BERT, and T5 v1.1, with as many layers, and as wide; or daybreak's own."""
    import transformers

    torch.manual_seed(0)
    specials, end = plan.tokenizer.specials, plan.tokenizer.end()
    if of_class == "modernbert":
        config = transformers.ModernBertConfig.from_dict(modernbert.config_of(shape, specials, end))
        return transformers.ModernBertForMaskedLM(config)
    if isinstance(shape, BertShape):
        return transformers.BertForMaskedLM(
            transformers.BertConfig(
                vocab_size=shape.vocabulary,
                hidden_size=shape.width,
                num_hidden_layers=shape.layers,
                num_attention_heads=shape.heads,
                intermediate_size=round(1.5 * shape.mlp_width),  # two matrices that weigh what three do
                max_position_embeddings=shape.context_length,
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
                pad_token_id=specials.pad,
            )
        )
    assert isinstance(shape, T5Shape)
    model = transformers.T5ForConditionalGeneration(
        transformers.T5Config(
            vocab_size=shape.vocabulary,
            d_model=shape.width,
            d_kv=shape.head_dim,
            d_ff=shape.mlp_width,
            num_layers=shape.layers,
            num_decoder_layers=shape.decoder_layers,
            num_heads=shape.heads,
            feed_forward_proj="gated-gelu",
            dropout_rate=0.0,
            tie_word_embeddings=False,
            pad_token_id=specials.pad,
            eos_token_id=end,
            decoder_start_token_id=specials.pad,
        )
    )
    # The class ties the head whatever its config says; v1.1 has one of its own, which begins small as BERT's does.
    model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight) * 0.02)
    return model


def trained(folder: Path, family: str, seconds: float, cell: str) -> dict[str, Any]:
    """The figure of a Trainer's model after so many seconds of training, its schedule ending there."""
    import transformers

    words = cell.split("@")
    rate, rows_a_step, of_class = float(words[0]), int(words[1]), words[2] if len(words) > 2 else family
    plan, tokenizer, train, held = parts(folder)
    length, objective = plan.shape.context_length, task_of(plan.objective).loss(plan)
    specials = plan.tokenizer.specials
    rows = Rows(train, length)

    def masked(batch: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """As DataCollatorForLanguageModeling: 15%, of which 80% masks, 10% random tokens, 10% as they are."""
        tokens = torch.stack([one["row"][:-1] for one in batch])
        chosen = torch.rand(tokens.shape) < 0.15
        draw, other = torch.rand(tokens.shape), torch.randint_like(tokens, plan.tokenizer.vocabulary)
        shown = torch.where(chosen & (draw < 0.8), specials.mask, torch.where(chosen & (draw >= 0.9), other, tokens))
        return {"input_ids": shown, "labels": torch.where(chosen, tokens, -100)}

    def spans(batch: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        read, decoder_inputs, targets = objective.examples(Batch(torch.stack([one["row"] for one in batch])))
        return {"input_ids": read, "decoder_input_ids": decoder_inputs, "labels": targets.contiguous()}

    def trainer(model: Any, steps: int) -> Any:
        arguments = transformers.TrainingArguments(
            output_dir=tempfile.mkdtemp(),
            per_device_train_batch_size=rows_a_step,
            learning_rate=rate,
            lr_scheduler_type="linear",
            warmup_steps=max(1, steps // 16),
            weight_decay=0.01,
            optim="adafactor" if family == "t5" else "adamw_torch",
            bf16=True,
            use_cpu=True,
            max_steps=steps,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            remove_unused_columns=False,
            logging_steps=max(1, steps // 4),
        )
        collate = spans if family == "t5" else masked
        return transformers.Trainer(model=model, args=arguments, train_dataset=rows, data_collator=collate)

    trainer(model_of(plan.shape, plan, of_class), 5).train()
    begun = time.perf_counter()
    trainer(model_of(plan.shape, plan, of_class), TRYING).train()
    steps = max(TRYING, int(seconds / ((time.perf_counter() - begun) / TRYING)))
    model = model_of(plan.shape, plan, of_class)
    begun = time.perf_counter()
    trainer(model, steps).train()
    taken = time.perf_counter() - begun
    answers = task_of(plan.objective).scorer(plan, tokenizer).score(AsOurs(model, length, family), held)
    score = answers.total()
    found = {
        "figure": plan.headline.value(score.sums()),
        "nats": score.nats / score.tokens,
        "rate": rate,
        "rows": rows_a_step,
        "class": type(model).__name__,
        "steps": steps,
        "seconds": taken,
        "parameters": sum(weight.numel() for weight in model.parameters()),
    }
    print(json.dumps(found), flush=True)
    return found


if __name__ == "__main__":
    main()
