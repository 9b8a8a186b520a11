"""Loaded: the model of a run, read from model/, ready to score and to continue text."""

from dataclasses import dataclass
from pathlib import Path

import torch

from daybreak import techniques
from daybreak.core import cache
from daybreak.core.errors import UsageError, nearest
from daybreak.core.run import Run
from daybreak.core.types import Plan
from daybreak.data.tokenizers import load_tokenizer
from daybreak.data.tokenizers.base import Tokenizer
from daybreak.engine import machine as machines
from daybreak.models import families
from daybreak.models.checkpoints.read import read_model
from daybreak.models.inference import decode_step
from daybreak.models.inference.decoder import Decoder
from daybreak.models.inference.mixture import Mixture
from daybreak.models.inference.predictors import Counts, Network
from daybreak.models.module import LanguageModel
from daybreak.models.ngram import files
from daybreak.tasks import task_of
from daybreak.tasks.fill_mask import Filler

PRECISIONS = ("float32", "bfloat16")  # of the weights that are multiplied with


@dataclass(kw_only=True)
class Loaded:
    """A finished (or unfinished) run's model, ready to score and to continue text."""

    run: Run
    plan: Plan
    tokenizer: Tokenizer
    alone: Network | Counts | Filler  # from model/
    predictor: Network | Mixture | Counts | Filler  # with the run's decode techniques
    context_length: int


def load(path: str | Path, *, device: str = "", without: tuple[str, ...] = (), precision: str = "float32") -> Loaded:
    """Reads `model/` of a run. precision: one of PRECISIONS.

    Raises UsageError: no such run or precision, or a run without a model yet.
    """
    if precision not in PRECISIONS:
        raise UsageError("unknown precision", received=precision, attempt=nearest(precision, PRECISIONS))
    run = Run.with_model(path)
    plan = run.plan()
    chosen = machines.pick_device(device or plan.device)
    tokenizer = load_tokenizer(run.model_folder / "tokenizer.json")
    if plan.shape.counted:
        ngram = files.read_ngram(run.model_folder)
        counts = Counts(ngram, end_of_text=tokenizer.end_of_text, shows_text=tokenizer.shows_text)
        return Loaded(run=run, plan=plan, tokenizer=tokenizer, alone=counts, predictor=counts, context_length=1024)
    module = read_model(run.model_folder, chosen)
    module.compute_dtype = getattr(torch, precision)
    filler = task_of(plan.objective).filler(module, tokenizer, plan)
    if filler is not None:
        length = module.shape.context_length
        return Loaded(run=run, plan=plan, tokenizer=tokenizer, alone=filler, predictor=filler, context_length=length)
    known = tokenizer.vocabulary
    network = Network(
        module,
        end_of_text=tokenizer.end_of_text,
        known_tokens=known,
        shows_text=tokenizer.shows_text,
        prepare=decoder_for,
    )
    predictor: Network | Mixture = network
    on = [(choice.name, techniques.make(choice)) for choice in plan.techniques if choice.name not in without]
    if any(run.mixture_folder.glob("*.json")):
        context = techniques.Context(plan=plan, machine=machines.described(chosen), run=run)
        predictor, _ = techniques.fold(on, "decode", predictor, context)
    return Loaded(
        run=run,
        plan=plan,
        tokenizer=tokenizer,
        alone=network,
        predictor=predictor,
        context_length=network.module.shape.context_length,
    )


def decoder_for(module: LanguageModel) -> Decoder:
    """The fastest on this machine; its compiled step is in the user's cache, or made there in a second or two."""
    fast = families.of(module.shape).fast_decoder
    if fast is None:
        return families.decoder_of(module)
    library = None
    if module.lm_head.weight.device.type == "cpu":
        library = decode_step.library(cache.folder() / "kernels", machines.compiler())
    return fast(module, library)
