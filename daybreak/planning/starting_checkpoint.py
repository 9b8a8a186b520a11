"""Starting checkpoint: runs that go on from one of another run, or of another tool, with its tokenizer and weights.

Its header is peeked at once, before the text is read, and travels; its weights are read when the module is built.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from daybreak.core import records
from daybreak.core.errors import DataError, DaybreakError, UsageError
from daybreak.core.run import Run, read_json, write_json
from daybreak.core.types import Decisions, Origin, Request
from daybreak.data import tokenizers
from daybreak.data.tokenizers import growth as tokens_growth
from daybreak.data.tokenizers.base import Tokenizer
from daybreak.engine import scaling
from daybreak.engine.machine import settle_vector_functions
from daybreak.models import families
from daybreak.models.checkpoints import kept_files, vocabulary_growth
from daybreak.models.checkpoints.source import Checkpoint, peek
from daybreak.models.module import LanguageModel

GROWN = "grown.json"  # in the run's parent folder
OF_A_WINDOW = "context_length"  # the one size that the run may choose for itself


def adopted(request: Request) -> tuple[Request, Checkpoint | None]:
    """The request with the family of its checkpoint, and the header of that. Raises UsageError and DataError."""
    if not request.parent:
        if request.grow:
            raise UsageError(
                "--grow-vocabulary needs a pretrained checkpoint",
                received=f"--grow-vocabulary {request.grow} without --from",
                attempt="name the folder of a run or of a checkpoint with --from",
            )
        return request, None
    if request.tokenizer != "auto":
        raise UsageError(
            "a pretrained checkpoint brings its own tokenizer",
            received=f"--from {request.parent} and --tokenizer {request.tokenizer}",
            attempt="leave out --tokenizer; --grow-vocabulary 2000 adds tokens for a new language",
        )
    checkpoint = peek(Path(request.parent))
    planned = (family for family in families.every() if family.rung is not None)
    fields = {name for family in planned for name in family.fields()} - {OF_A_WINDOW}
    if changed := sorted(fields & set(request.settings)):
        raise UsageError(
            "a pretrained checkpoint fixes the model's shape",
            received=", ".join(f"--set {name}={request.settings[name]}" for name in changed),
            attempt=f"leave it out; only {OF_A_WINDOW} can be set, and how it is trained",
        )
    native = request.native and checkpoint.shape.native()
    return request.replace(family=checkpoint.shape.family, native=native), checkpoint


def origin_of(
    request: Request, run: Run, sample: Sequence[str], *, checkpoint: Checkpoint | None = None
) -> tuple[Origin, Tokenizer]:
    """The checkpoint that a run starts from, and its tokenizer, grown on request; both are copied to its folder.

    sample: of the text, for new tokens. checkpoint: its header, where it is known. Raises UsageError, DataError and
    ResourceError.
    """
    settle_vector_functions()
    parent = _of(request.parent, checkpoint)
    data, pieces, told_pieces = None, [], {}
    shape, tokens = parent.shape, parent.tokens
    if request.grow:
        told = json.loads(parent.tokenizer_file.read_text(encoding="utf-8"))
        grown = tokens_growth.grown(told, sample, request.grow, first=parent.tokens)
        data, pieces, tokens = grown.data, grown.pieces, grown.first + len(grown.pieces)
        shape = vocabulary_growth.grown_shape(shape, parent.layout.tensors, tokens=tokens)
        told_pieces = {"first": grown.first, "pieces": [list(piece) for piece in pieces]}
    kept_files.keep(parent.folder, run.parent_folder, tokenizer=data)
    write_json(run.parent_folder / "config.json", parent.config)
    if pieces:
        write_json(run.parent_folder / GROWN, told_pieces)
    tokenizer = tokenizers.load_tokenizer(
        run.parent_folder / "tokenizer.json", end_of_text=parent.end_of_text, lossless=True
    )
    seen, bytes_per_token = _seen(parent.folder)
    origin = Origin(
        path=request.parent,
        digest=parent.digest,
        shape=shape,
        specials=parent.specials,
        tokens=tokens,
        grown=len(pieces),
        seen=seen,
        bytes_per_token=bytes_per_token,
    )
    return origin, tokenizer


def _of(path: str, known: Checkpoint | None) -> Checkpoint:
    """The header that is known, while its files are as they were then, or the one that is there now."""
    return known if known is not None and known.unchanged() else peek(Path(path))


def _seen(folder: Path) -> tuple[float, float]:
    """Bytes that the run has learnt from that a model/ is of, and its bytes a token; 0 where it is of no run."""
    run = Run(folder.parent)
    try:
        plan = run.plan()
    except DaybreakError:
        return 0.0, 0.0
    steps = records.standing_steps(run.log_file)
    size = plan.predicted.bytes_per_token
    text = plan.predicted.corpus_tokens * size
    if not (steps and text):
        return 0.0, 0.0
    before = plan.origin.seen if plan.origin else 0.0  # that the run itself started from
    return before + text * scaling.effective_epochs(steps[-1].tokens * size / text), size


def module_of(plan: Decisions, run: Run, *, checkpoint: Checkpoint | None = None) -> LanguageModel:
    """The module with the weights that the run begins with. Raises DataError, as `weights_of`."""
    weights = weights_of(plan, run, checkpoint=checkpoint)
    family = families.of(plan.shape)
    if family.loaded is not None:
        return family.loaded(plan.shape, weights)
    module = family.module(plan.shape)
    lacking = module.load_state_dict(weights, strict=False).missing_keys
    shared = {family.head} if plan.network.tied else set()  # a head that is the table itself
    assert set(lacking) <= shared, lacking
    return module


def weights_of(plan: Decisions, run: Run, *, checkpoint: Checkpoint | None = None) -> dict[str, Tensor]:
    """The weights that a plan starts from. Raises DataError: the checkpoint is not the one that was planned with.

    checkpoint: its header, where this process has read it.
    """
    assert plan.origin is not None
    parent = _of(plan.origin.path, checkpoint)
    if parent.digest != plan.origin.digest:
        raise DataError(
            "the checkpoint has changed since the plan was made",
            received=f"{plan.origin.path}: digest {parent.digest}, planned {plan.origin.digest}",
            attempt="restore the checkpoint as it was, or use another --out",
        )
    weights = parent.weights()
    if plan.origin.grown:
        added = read_json(run.parent_folder / GROWN, "another --out")
        weights = vocabulary_growth.grow(weights, added["pieces"], first=added["first"], seed=plan.seed)
    return weights
