"""Finalize: from trained weights to a chosen, written, read back and scored model/."""

import hashlib
import math
from collections.abc import Collection
from dataclasses import replace

import numpy as np
import torch
import xxhash
from torch import Tensor

from daybreak import techniques
from daybreak.core import records
from daybreak.core.records import Event, Measurement, Sample, Touched, Validation
from daybreak.core.values import Json
from daybreak.data.shards import Tokens
from daybreak.engine import faults
from daybreak.evaluation.confidence import RESAMPLES_AT_THE_END, beside, of_cells, of_hidden
from daybreak.models.checkpoints import write
from daybreak.models.checkpoints.read import read_model
from daybreak.models.gpt import tensors_of
from daybreak.models.inference.mixture import Mixture
from daybreak.models.inference.predictors import Counts, Network
from daybreak.models.inference.scores import Score, summed
from daybreak.models.module import LanguageModel
from daybreak.tasks import samples, task_of
from daybreak.tasks.scoring import Part, TokenScores, figures_of
from daybreak.training.build import Trainable
from daybreak.training.heldout_scores import keep_hidden, keep_scores
from daybreak.training.state import TrainingState

QUICK_SHARE = 6  # one part in six of the scored text is scored on the way
QUICK_LEAST_BYTES = 20_000
LEAST_SCORING_SECONDS = 0.05
BEST_MARK = "best_mark"
MIXING_SHARE = 0.3  # of the seconds that counting took, for mixing
INTERVAL_SECONDS = 0.15  # for the two bootstraps of many documents


def _asked(state: TrainingState, module: LanguageModel, *, most_bytes: int, seconds: float) -> TokenScores:
    """A module put to held-out text from all over."""
    stream = sample_windows(state.heldout, _tokens_of(state, most_bytes), module.shape.context_length)
    return _put(state, module, stream, seconds)


def _tokens_of(state: TrainingState, most_bytes: int) -> int:
    """About how many held-out tokens so many bytes are."""
    share = min(1.0, most_bytes / max(1, state.heldout.bytes))
    return max(1, round(share * len(state.heldout)))


def sample_windows(tokens: Tokens, count: int, context_length: int) -> np.ndarray:
    """About `count` tokens in windows spread over a text: its beginning may be easier, or harder, than the rest."""
    windows = max(1, count // context_length)
    if count >= len(tokens) - context_length or windows == 1:
        return tokens.slice(0, count)
    starts = np.linspace(0, len(tokens) - context_length, windows).astype(int)
    return np.concatenate([tokens.slice(start, start + context_length) for start in starts])


def _put(state: TrainingState, module: LanguageModel, stream: np.ndarray, seconds: float) -> TokenScores:
    scorer = task_of(state.plan.objective).scorer(state.plan, state.tokenizer)
    return scorer.score(module, stream, seconds=seconds if state.timed() else float("inf"))


def validate(state: TrainingState, progress: float) -> Validation:
    """Scores a part of the held-out text on the way."""
    faults.at("validate")
    seconds = max(0.05, 0.1 * state.remaining())
    answers = _asked(state, state.trainable.module, most_bytes=_quick_bytes(state), seconds=seconds)
    return _validation(state, answers.total(), progress, "current")


def _quick_bytes(state: TrainingState) -> int:
    return max(QUICK_LEAST_BYTES, state.plan.evaluation_bytes // QUICK_SHARE)


def quick_tokens(state: TrainingState) -> int:
    """Held-out tokens that a mark is scored on."""
    return _tokens_of(state, _quick_bytes(state))


def whole_of_quick(state: TrainingState) -> float:
    """How many times as long as a score on the way one of all held-out text takes."""
    whole = state.heldout.bytes if state.timed() else state.plan.evaluation_bytes
    return max(1.0, whole / max(1, min(_quick_bytes(state), state.heldout.bytes)))


def _validation(state: TrainingState, score: Score, progress: float, weights: str) -> Validation:
    return Validation(
        step=state.position.step,
        progress=progress,
        used_seconds=state.stopwatch.used(),
        tokens=state.position.tokens,
        figure=state.plan.headline.value(score.sums()),
        perplexity=score.perplexity,
        bytes=score.bytes,
        weights=weights,
    )


def sample(state: TrainingState, progress: float) -> Sample:
    """What the model writes, at this moment, after how a held-out document begins, or into its gaps."""
    begins = samples.opening(state.tokenizer, state.heldout)
    prompt, text = task_of(state.plan.objective).sample(state.plan, state.trainable.module, state.tokenizer, begins)
    return Sample(progress=progress, used_seconds=state.stopwatch.used(), prompt=prompt, text=text)


def candidates_of(trainable: Trainable) -> tuple[dict[str, dict[str, Tensor]], list[Touched]]:
    """The weights that a run may end with, by name: the last ones first, and those of its best mark last."""
    candidates, touched = techniques.fold(
        trainable.techniques, "weights", {"current": current(trainable)}, trainable.context
    )
    if trainable.marks.best:
        candidates = {**candidates, BEST_MARK: trainable.marks.best}
    return candidates, touched


def choose_weights(state: TrainingState) -> dict[str, Tensor]:
    """The candidate that scores best, all on the same held-out text; a replay takes what the first run took."""
    state.ledger.enter("validation")
    trained = current(state.trainable)
    candidates, touched = candidates_of(state.trainable)
    for record in touched:
        state.record(record)
    if len(candidates) == 1:
        return trained
    needed = state.costs.get("model", 0.0) + state.margin() + len(candidates) * LEAST_SCORING_SECONDS
    if state.timed() and state.remaining() < needed:
        best = _unscored(state.trainable, candidates)
        state.record(Event(name="weights chosen", used_seconds=state.stopwatch.used(), detail={"weights": best}))
        load_into(state.trainable, candidates[best])
        return current(state.trainable)
    scores: dict[str, float] = {}
    original = {name: weight.detach().clone() for name, weight in trained.items()}
    scored = {}
    for name, weights in candidates.items():
        load_into(state.trainable, weights)
        seconds = max(LEAST_SCORING_SECONDS, 0.5 * state.remaining() / len(candidates))
        scored[name] = _asked(state, state.trainable.module, most_bytes=_quick_bytes(state), seconds=seconds)
    # The time may not have been enough for all: what is compared is the text that every candidate was scored on.
    least = min(map(len, scored.values()))
    for name, answers in scored.items():
        validation = _validation(state, answers.first(least).total(), 1.0, name)
        state.record(validation)
        scores[name] = validation.loss(state.plan.headline)
    best = min(scores, key=lambda name: (math.isnan(scores[name]), scores[name]))
    earlier = [r for r in records.read(state.run.log_file) if isinstance(r, Event) and r.name == "weights chosen"]
    if state.replayed and earlier:
        best = earlier[-1].detail["weights"]
    state.record(Event(name="weights chosen", used_seconds=state.stopwatch.used(), detail={"weights": best, **scores}))
    chosen = original if best == "current" else candidates[best]
    load_into(state.trainable, chosen)
    return current(state.trainable)


def _unscored(trainable: Trainable, candidates: Collection[str]) -> str:
    """The candidate that is likely to be best, where there is no time to score them."""
    if best_so_far(trainable) is trainable.marks.best:
        return BEST_MARK
    # An average stands in for the end of the decay, which there was no time for either.
    return next((name for name in reversed(list(candidates)) if name not in ("current", BEST_MARK)), "current")


def finish(state: TrainingState, weights: dict[str, Tensor]) -> Json:
    """Writes model/, reads it back, scores it alone, and then what the decode techniques make of it."""
    state.ledger.enter("saving")
    if state.timed() and state.remaining() < state.costs.get("model", 0.0) + state.margin() and _written(state):
        state.warn("the time reserved for the end was used up: model/ is the last version saved on the way")
    else:
        write_model(state, weights)
    state.ledger.enter("the end")
    module = read_model(state.run.model_folder, state.trainable.device)
    digest = weights_digest(tensors_of(module))
    module.compute_dtype = state.trainable.module.compute_dtype
    left = state.remaining() - state.margin() - after_scoring(state)
    # Where the clock counts tokens, how much is scored may not depend on the time: the plan has said how much.
    most = state.heldout.bytes if state.timed() else state.plan.evaluation_bytes
    stream = state.heldout.slice(0, len(state.heldout))
    scorer = task_of(state.plan.objective).scorer(state.plan, state.tokenizer)
    seconds = max(0.1, left) if state.timed() else float("inf")
    part = scorer.score_spread(module, stream, seconds=seconds, tokens=_tokens_of(state, most))
    result = {**figures_of(state.plan.headline, part.answers.total()), "weights_digest": digest}
    if state.plan.headline.of_text:
        mixed = _mixed(state, module, stream[part.tokens], part.answers.nats, result)
        kept = keep_scores(state, stream, part.answers.nats, mixed, where=part.tokens)
        intervals = of_cells(kept, resamples=RESAMPLES_AT_THE_END) if kept else {}
    else:
        keep_hidden(state, stream, part, module.shape.context_length)
        intervals = of_hidden(state.plan.headline, part.answers, resamples=RESAMPLES_AT_THE_END)
    result = beside(result, intervals) | {"heldout_share": heldout_share(state, part)}
    _record(state, result)
    state.ledger.enter("leaving")
    return result


def after_scoring(state: TrainingState) -> float:
    """Seconds that mixing and the intervals take, as far as that is known."""
    return MIXING_SHARE * state.costs.get("counting", 0.0) + state.slower * INTERVAL_SECONDS


def heldout_share(state: TrainingState, part: Part) -> float:
    """How much of the held-out text was scored: of its bytes, or of its windows where tokens are hidden in them."""
    if part.whole or not state.plan.headline.of_text:
        return float(part.windows.mean()) if len(part.windows) else 1.0
    sizes = state.tokenizer.token_bytes
    return part.answers.total().bytes / int(sizes[state.heldout.slice(0, len(state.heldout))].sum(dtype=np.int64))


def _record(state: TrainingState, result: Json) -> None:
    headline = state.plan.headline
    for name, unit in ((headline.name, headline.unit), ("perplexity", "per token")):
        interval, share = result.get(f"{name}_interval"), result["heldout_share"]
        shown = {"value": result[name], "unit": unit, "bytes": result["bytes"], "interval": interval, "share": share}
        state.record(Measurement(name=name, **shown))
    if "mixture" in result:
        mixture = result["mixture"]
        state.record(
            Measurement(
                name="bits_per_byte",
                value=mixture["bits_per_byte"],
                unit="bits/byte",
                needs=Mixture.needs,
                bytes=result["bytes"],
                note=f"{mixture['weight_of_counts']:.2f} of the counts on average; each half of the text with the "
                "weights of the other",
                interval=mixture.get("bits_per_byte_interval"),
                share=result["heldout_share"],
            )
        )


def _mixed(
    state: TrainingState, module: LanguageModel, stream: np.ndarray, nats: np.ndarray, result: Json
) -> np.ndarray | None:
    """Nats [n] with what the decode techniques mix in; None where there is nothing. Told in `result`, too."""
    trainable = state.trainable
    network = Network(module, end_of_text=state.tokenizer.end_of_text, known_tokens=state.tokenizer.vocabulary)
    context = replace(trainable.context, scored=(stream, nats))
    predictor, touched = techniques.fold(trainable.techniques, "decode", network, context)
    for record in touched:
        state.record(record)
    if not isinstance(predictor, Mixture):
        return None
    mixed_nats = predictor.cross_fitted(nats, stream)
    mixed = summed(mixed_nats, stream, state.tokenizer.token_bytes)
    weight = predictor.mean_weight(stream)
    result["mixture"] = {"bits_per_byte": mixed.bits_per_byte, "weight_of_counts": weight}
    if isinstance(counts := predictor.innermost.counts, Counts):
        alone = summed(counts.stream(stream)[0], stream, state.tokenizer.token_bytes)
        result["mixture"]["counts_bits_per_byte"] = alone.bits_per_byte
    return mixed_nats


def _written(state: TrainingState) -> bool:
    return (state.run.model_folder / "config.json").exists()


def write_model(state: TrainingState, weights: dict[str, Tensor]) -> None:
    """Raises ResourceError at the end of a run only: on the way, an older model/ stands and training goes on."""
    faults.at("model.write")
    write.save(
        state.run.model_folder,
        state.plan.network,
        weights,
        tokenizer_file=state.run.tokenizer_file,
        end_of_text=state.tokenizer.end_of_text,
        token=state.tokenizer.end_of_text_token,
        specials=state.plan.tokenizer.specials,
        kept=state.run.parent_folder if state.plan.origin else None,
    )


def current(trainable: Trainable) -> dict[str, Tensor]:
    return tensors_of(trainable.module)


def best_so_far(trainable: Trainable) -> dict[str, Tensor]:
    """The current weights, or those of the best mark where the last one was worse."""
    marks = trainable.marks
    worse = bool(marks.best) and not marks.losses[-1] <= marks.least  # or no number at all
    return marks.best if worse else current(trainable)


def load_into(trainable: Trainable, weights: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, weight in tensors_of(trainable.module).items():
            weight.copy_(weights[name])


def weights_checksum(weights: dict[str, Tensor]) -> str:
    """As `weights_digest`, many times as fast: for the log, often."""
    whole = xxhash.xxh3_128()
    for name in sorted(weights):
        whole.update(weights[name].detach().cpu().contiguous().numpy().data)
    return whole.hexdigest()


def weights_digest(weights: dict[str, Tensor]) -> str:
    """Equal for weights that are equal to the last bit."""
    whole = hashlib.blake2b(digest_size=16)
    for name in sorted(weights):
        whole.update(name.encode())
        whole.update(weights[name].detach().cpu().contiguous().numpy().tobytes())
    return whole.hexdigest()
