"""Train: carries a plan out, from the first step to a scored model/ on disk, by the deadline."""

import hashlib
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from daybreak import techniques
from daybreak.core import records
from daybreak.core.clock import Clock, ReplayClock, SecondsClock, Stopwatch, TokensClock
from daybreak.core.errors import DaybreakError, Interrupted, Saved, UsageError
from daybreak.core.records import Event, Log, Measurement, Phase, Sample, Step, Validation
from daybreak.core.run import Run
from daybreak.core.types import Corpus, GptShape, Machine, NgramShape, Plan
from daybreak.data.batches import Batches
from daybreak.data.shards import Tokens
from daybreak.data.tokenizers import END_OF_TEXT, StreamDecoder, Tokenizer
from daybreak.engine import checkpoints, loop
from daybreak.models import files
from daybreak.models.ngram import KneserNey
from daybreak.models.predictors import Mixture, Network, Sampling, nats_of, summed
from daybreak.stages.build import Built, build
from daybreak.stages.evaluate import stream_windows
from daybreak.stages.signals import Signals

logger = logging.getLogger(__name__)

LEAVING_SECONDS = 0.25  # writing the report, closing files, ending the interpreter
SAVING_SHARE = 0.02  # of the budget that checkpoints may take
LOSING_SHARE = 0.025  # of the budget that a kill may cost
MODEL_WRITES = 10
SAMPLE_TOKENS = 64
QUICK_SHARE = 6  # one part in six of the scored text is scored on the way


class Ledger:
    """Says where every second of the budget went: one phase at a time, and together they are what was used."""

    def __init__(self, log: Log, stopwatch: Stopwatch, *, since: float) -> None:
        self._log, self._stopwatch = log, stopwatch
        self._name, self._since = "", since

    def enter(self, name: str) -> None:
        """The phase so far ends and this one begins."""
        now = self._stopwatch.used()
        if self._name:
            self._log.append(Phase(name=self._name, seconds=now - self._since, used_seconds=now))
        self._name, self._since = name, now

    @contextmanager
    def within(self, name: str) -> Iterator[None]:
        """A phase inside another, which goes on after it."""
        outer = self._name
        self.enter(name)
        try:
            yield
        finally:
            self.enter(outer)

    def close(self) -> None:
        self.enter("")


@dataclass(kw_only=True)
class Workbench:
    """What the parts of this stage share while a plan is carried out."""

    run: Run
    plan: Plan
    corpus: Corpus
    machine: Machine
    device: torch.device
    stopwatch: Stopwatch
    ledger: Ledger
    log: Log
    tokenizer: Tokenizer
    train: Tokens
    heldout: Tokens
    show: Callable[[records.Record], None]
    signals: Signals
    replayed: bool = False
    costs: dict[str, float] = field(default_factory=dict)  # seconds that were measured in this run

    def record(self, record: records.Record) -> None:
        self.log.append(record)
        self.show(record)

    def remaining(self) -> float:
        return self.plan.budget.seconds - self.stopwatch.used()

    def timed(self) -> bool:
        """Whether the deadline decides; where it does not, nothing may depend on how fast the machine is."""
        return self.plan.budget.clock == "seconds" and not self.replayed


def train(bench: Workbench, *, replay: list[Step] | None = None) -> dict[str, Any]:
    """Raises Interrupted or Saved where a signal ended it (all is on disk), and DaybreakError."""
    if isinstance(bench.plan.shape, NgramShape):
        return _count(bench)
    assert isinstance(bench.plan.shape, GptShape)
    bench.ledger.enter("build")
    built = build(bench.plan, bench.machine, bench.device, run=bench.run)
    for record in built.touched:
        bench.record(record)
    batches = Batches(bench.train, context_length=bench.plan.shape.context_length, seed=bench.plan.seed)
    with bench.ledger.within("counting"), _cost(bench, "counting"):
        batches, touched = techniques.fold(built.techniques, "batches", batches, built.context)
    for record in touched:
        bench.record(record)
    position, resumed = _resume(bench, built)
    clock = _clock(bench, replay, position, resumed)
    if not resumed:
        position.row_seconds = bench.plan.shape.context_length / bench.plan.predicted.tokens_per_second
    steps = loop.steps(
        built.module,
        built.loss,
        built.optimizer,
        built.schedule,
        _OnDevice(batches, bench.device),
        clock,
        position=position,
        micro_batch=bench.plan.micro_batch,
        after=_after(built.followers),
    )
    bench.ledger.enter("training")
    _consume(bench, built, steps, clock, position)
    chosen = _chosen_weights(bench, built, position)
    return _finish(bench, built, chosen)


# The steps


def _consume(bench: Workbench, built: Built, steps: Iterator[Step], clock: Clock, position: loop.Position) -> None:
    """Takes the steps; shows, validates, samples and saves between them."""
    saved_at = began = bench.stopwatch.used()
    spent = {"validation": 0.0, "samples": 0.0}
    budget = bench.plan.budget.seconds
    written = 0
    skipped = 0
    for step in steps:
        bench.record(step)
        skipped += step.skipped
        if bench.signals.received:
            with bench.ledger.within("saving"):
                _save_checkpoint(bench, built, position, clock)
                write_model(bench, _current(built))
            bench.ledger.close()
            raise _ended_by(bench)
        tenth = int(step.progress * MODEL_WRITES)
        if tenth > written:
            written = tenth
            if bench.costs.get("model", 0.0) < 0.005 * budget:
                with bench.ledger.within("saving"), _cost(bench, "model"):
                    write_model(bench, _current(built))
                _set_end(bench, clock)
            if spent["validation"] + bench.costs.get("quick", 0.0) <= 0.012 * budget * step.progress + 0.002 * budget:
                with bench.ledger.within("validation"), _cost(bench, "quick"):
                    bench.record(_validation(bench, built, position, step.progress))
                spent["validation"] += bench.costs["quick"]
                _set_end(bench, clock)
            if spent["samples"] + bench.costs.get("sample", 0.0) <= 0.005 * budget * step.progress:
                with bench.ledger.within("samples"), _cost(bench, "sample"):
                    bench.record(_sample(bench, built, step))
                spent["samples"] += bench.costs["sample"]
            built.module.train()
        now = bench.stopwatch.used()
        pause = max(LOSING_SHARE * budget, bench.costs.get("checkpoint", 0.0) / SAVING_SHARE)
        if now - saved_at > pause:
            with bench.ledger.within("saving"), _cost(bench, "checkpoint"):
                _save_checkpoint(bench, built, position, clock)
            saved_at = bench.stopwatch.used()
    logger.info("%d steps, %d skipped, %.1f s", position.step, skipped, bench.stopwatch.used() - began)


def _clock(bench: Workbench, replay: list[Step] | None, position: loop.Position, facts: dict[str, Any]) -> Clock:
    if replay is not None:
        return ReplayClock(bench.stopwatch, replay)
    if bench.plan.budget.clock == "tokens":
        tokens = TokensClock(bench.stopwatch, tokens=bench.plan.tokens)
        tokens.resume(position.tokens)
        return tokens
    seconds = SecondsClock(bench.stopwatch, begin=facts.get("begin", bench.stopwatch.used()), end=0.0)
    seconds.resume(facts.get("progress", 0.0))
    _set_end(bench, seconds)
    return seconds


def _set_end(bench: Workbench, clock: Clock) -> None:
    """Training ends when what comes after it, as measured so far, still fits."""
    if not isinstance(clock, SecondsClock):
        return
    budget = bench.plan.budget.seconds
    save = bench.costs.get(
        "model", 0.1 + 20 * bench.plan.shape.parameters() / max(bench.machine.disk_bytes_per_second, 1e7)
    )
    quick = bench.costs.get("quick", 0.003 * budget)
    candidates = 1 + sum(_has_weights(choice.name) for choice in bench.plan.techniques)
    scoring = min(0.02 * budget, QUICK_SHARE * quick)
    comparing = candidates * quick if candidates > 1 else 0.0
    mixing = bench.costs.get("counting", 0.0) * 0.3
    clock.end = budget - (1.3 * save + comparing + scoring + mixing + LEAVING_SECONDS + 0.004 * budget)


def _has_weights(name: str) -> bool:
    return hasattr(techniques.class_of(name), "weights")


@contextmanager
def _cost(bench: Workbench, name: str) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    bench.costs[name] = time.perf_counter() - begun


def _after(followers: list[Any]) -> Callable[[Any, float], None] | None:
    if not followers:
        return None

    def follow(module: Any, progress: float) -> None:
        for follower in followers:
            follower(module, progress)

    return follow


class _OnDevice:
    """Batches where the module is."""

    def __init__(self, batches: Batches, device: torch.device) -> None:
        self._batches, self._device = batches, device

    def take(self, cursor: int, rows: int) -> Tensor:
        batch = self._batches.take(cursor, rows)
        if self._device.type == "cuda":
            return batch.pin_memory().to(self._device, non_blocking=True)
        return batch.to(self._device)


# Scoring


def _scored(bench: Workbench, built: Built, *, most_bytes: int, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    """The beginning of the held-out tokens [n] and the network's nats [n] of them."""
    return _scored_by(bench, Network(built.module, end_of_text=bench.tokenizer.end_of_text), most_bytes, seconds)


def _scored_by(bench: Workbench, network: Network, most_bytes: int, seconds: float) -> tuple[np.ndarray, np.ndarray]:
    share = min(1.0, most_bytes / max(1, bench.heldout.bytes))
    stream = bench.heldout.slice(0, max(1, round(share * len(bench.heldout))))
    windows = stream_windows(stream, bench.tokenizer.end_of_text, network.module.shape.context_length)
    nats = nats_of(network, windows, stream, seconds=seconds if bench.timed() else float("inf"))
    return stream[: len(nats)], nats


def _validation(
    bench: Workbench, built: Built, position: loop.Position, progress: float, weights: str = "current"
) -> Validation:
    most = max(20_000, bench.plan.evaluation_bytes // QUICK_SHARE)
    stream, nats = _scored(bench, built, most_bytes=most, seconds=max(0.05, 0.1 * bench.remaining()))
    score = summed(nats, stream, bench.tokenizer.token_bytes)
    return Validation(
        step=position.step,
        progress=progress,
        used_seconds=bench.stopwatch.used(),
        tokens=position.tokens,
        bits_per_byte=score.bits_per_byte,
        perplexity=score.perplexity,
        bytes=score.bytes,
        weights=weights,
    )


def _sample(bench: Workbench, built: Built, step: Step) -> Sample:
    network = Network(built.module, end_of_text=bench.tokenizer.end_of_text)
    prompt = _prompt(bench)
    text = continued(network, bench.tokenizer, prompt, Sampling(max_tokens=SAMPLE_TOKENS, seed=bench.plan.seed))
    return Sample(
        progress=step.progress,
        used_seconds=bench.stopwatch.used(),
        prompt=bench.tokenizer.decode(prompt),
        text=text,
    )


def _prompt(bench: Workbench) -> list[int]:
    """How a held-out document begins."""
    starts = bench.heldout.starts
    first = int(starts[len(starts) // 2]) + 1 if len(starts) else 0
    tokens = bench.heldout.slice(first, min(first + 8, len(bench.heldout)))
    return [int(token) for token in tokens if token != bench.tokenizer.end_of_text]


def continued(predictor: Any, tokenizer: Tokenizer, prompt: list[int], sampling: Sampling) -> str:
    decoder = StreamDecoder(tokenizer)
    return "".join(decoder.push(token) for token in predictor.continuation(prompt, sampling)) + decoder.finish()


# The end


def _chosen_weights(bench: Workbench, built: Built, position: loop.Position) -> dict[str, Tensor]:
    """The candidate that scores best; a replay takes what the first run took."""
    bench.ledger.enter("validation")
    current = _current(built)
    candidates, touched = techniques.fold(built.techniques, "weights", {"current": current}, built.context)
    for record in touched:
        bench.record(record)
    if len(candidates) == 1:
        return current
    scores: dict[str, float] = {}
    original = {name: weight.detach().clone() for name, weight in current.items()}
    for name, weights in candidates.items():
        _load_into(built, weights)
        validation = _validation(bench, built, position, 1.0, weights=name)
        bench.record(validation)
        scores[name] = validation.bits_per_byte
    best = min(scores, key=lambda name: scores[name])
    earlier = [r for r in records.read(bench.run.log_file) if isinstance(r, Event) and r.name == "weights chosen"]
    if bench.replayed and earlier:
        best = earlier[-1].detail["weights"]
    bench.record(Event(name="weights chosen", used_seconds=bench.stopwatch.used(), detail={"weights": best, **scores}))
    chosen = original if best == "current" else candidates[best]
    _load_into(built, chosen)
    return _current(built)


def _finish(bench: Workbench, built: Built, weights: dict[str, Tensor]) -> dict[str, Any]:
    """Writes model/, reads it back, scores it alone, and then what the decode techniques make of it."""
    bench.ledger.enter("saving")
    write_model(bench, weights)
    digest = weights_digest(weights)
    bench.ledger.enter("the end")
    network = Network(files.read(bench.run.model_folder, bench.device), end_of_text=bench.tokenizer.end_of_text)
    network.module.compute_dtype = built.module.compute_dtype
    left = (
        bench.remaining() - LEAVING_SECONDS - 0.004 * bench.plan.budget.seconds - bench.costs.get("counting", 0.0) * 0.3
    )
    stream, nats = _scored_by(bench, network, bench.heldout.bytes, max(0.1, left))
    score = summed(nats, stream, bench.tokenizer.token_bytes)
    result: dict[str, Any] = {
        "bits_per_byte": score.bits_per_byte,
        "perplexity": score.perplexity,
        "bytes": score.bytes,
        "tokens": score.tokens,
        "weights_digest": digest,
    }
    bench.record(Measurement(name="bits_per_byte", value=score.bits_per_byte, unit="bits/byte", bytes=score.bytes))
    bench.record(Measurement(name="perplexity", value=score.perplexity, unit="per token", bytes=score.bytes))
    context = built.context_with(scored=(stream, nats))
    predictor, touched = techniques.fold(built.techniques, "decode", network, context)
    for record in touched:
        bench.record(record)
    if isinstance(predictor, Mixture):
        mixed = summed(predictor.cross_fitted(nats, stream), stream, bench.tokenizer.token_bytes)
        result["mixture"] = {"bits_per_byte": mixed.bits_per_byte, "weight_of_counts": predictor.weight}
        bench.record(
            Measurement(
                name="bits_per_byte",
                value=mixed.bits_per_byte,
                unit="bits/byte",
                needs=predictor.needs,
                bytes=mixed.bytes,
                note=f"{predictor.weight:.2f} of the counts; each half of the text with the weight of the other",
            )
        )
    bench.ledger.close()
    return result


def _count(bench: Workbench) -> dict[str, Any]:
    """The family ngram: counting is all the training there is."""
    shape = bench.plan.shape
    assert isinstance(shape, NgramShape)
    bench.ledger.enter("training")
    tokens = bench.train.slice(0, len(bench.train))
    model = KneserNey.fit(tokens, order=shape.order, vocabulary=bench.tokenizer.vocabulary, starts=bench.train.starts)
    bench.ledger.enter("the end")
    stream = bench.heldout.slice(0, len(bench.heldout))
    starts = bench.heldout.starts
    sizes = bench.tokenizer.token_bytes[stream]
    nats = -np.log(model.probabilities(stream, starts=starts)[:, sizes > 0]).sum(1)
    best = int(nats.argmin())
    bench.ledger.enter("saving")
    files.save_ngram(bench.run.model_folder, model.at_order(best + 1), tokenizer_file=bench.run.tokenizer_file)
    total, count = int(sizes.sum(dtype=np.int64)), int((sizes > 0).sum())
    bits = float(nats[best] / total / np.log(2))
    bench.record(Measurement(name="bits_per_byte", value=bits, unit="bits/byte", bytes=total, note=f"order {best + 1}"))
    bench.ledger.close()
    return {"bits_per_byte": bits, "perplexity": float(np.exp(nats[best] / count)), "bytes": total, "tokens": count}


# Saving


def write_model(bench: Workbench, weights: dict[str, Tensor]) -> None:
    """Raises ResourceError at the end of a run only: on the way, an older model/ stands and training goes on."""
    assert isinstance(bench.plan.shape, GptShape)
    files.save(
        bench.run.model_folder,
        bench.plan.shape,
        weights,
        tokenizer_file=bench.run.tokenizer_file,
        end_of_text=bench.tokenizer.end_of_text,
        token=END_OF_TEXT,
    )


def _current(built: Built) -> dict[str, Tensor]:
    return dict(built.module.named_parameters())


def _load_into(built: Built, weights: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, weight in built.module.named_parameters():
            weight.copy_(weights[name])


def weights_digest(weights: dict[str, Tensor]) -> str:
    """Equal for weights that are equal to the last bit."""
    whole = hashlib.blake2b(digest_size=16)
    for name in sorted(weights):
        whole.update(name.encode())
        whole.update(weights[name].detach().cpu().contiguous().numpy().tobytes())
    return whole.hexdigest()


def _save_checkpoint(bench: Workbench, built: Built, position: loop.Position, clock: Clock) -> None:
    """A full disk on the way costs the checkpoint, not the run."""
    tensors = {f"weights.{name}": weight for name, weight in _current(built).items()}
    tensors |= {f"optimizer.{name}": tensor for name, tensor in built.optimizer.state().items()}
    followers: dict[str, float] = {}
    for follower in built.followers:
        averaged, progress = follower.state()
        followers[follower.name] = progress
        tensors |= {f"follower.{follower.name}.{name}": tensor for name, tensor in averaged.items()}
    facts = {
        "identity": bench.plan.identity(),
        "position": vars(position),
        "schedule": built.schedule.state(),
        "followers": followers,
        "used_seconds": bench.stopwatch.used(),
    }
    if isinstance(clock, SecondsClock):
        facts |= {"begin": clock.begin, "progress": clock.progress}
    try:
        checkpoints.save(bench.run.checkpoints_folder, position.step, tensors, facts)
        bench.log.sync()
    except DaybreakError as error:
        logger.warning("%s", error)
        bench.record(Event(name="warning", used_seconds=bench.stopwatch.used(), detail={"what": str(error)}))


def _resume(bench: Workbench, built: Built) -> tuple[loop.Position, dict[str, Any]]:
    """The newest checkpoint's state put in place, or the beginning. Raises UsageError: another run's checkpoint."""
    found = checkpoints.newest(bench.run.checkpoints_folder)
    for warning in found[2] if found else []:
        bench.record(Event(name="warning", used_seconds=bench.stopwatch.used(), detail={"what": warning}))
    if not found or not found[0]:
        return loop.Position(), {}
    tensors, facts, _ = found
    if facts["identity"] != bench.plan.identity():
        raise UsageError(
            "the checkpoint belongs to another plan",
            received=f"{bench.run.checkpoints_folder}: text, tokenizer, shape, objective or seed differ from plan.json",
            attempt="the plan.json that it was made with, or another --out",
        )
    prefixed = {
        prefix: {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}
        for prefix in ("weights.", "optimizer.")
    }
    _load_into(built, prefixed["weights."])
    built.optimizer.load(prefixed["optimizer."])
    built.schedule.load(facts["schedule"])
    for follower in built.followers:
        prefix = f"follower.{follower.name}."
        averaged = {n[len(prefix) :]: t.to(bench.device) for n, t in tensors.items() if n.startswith(prefix)}
        follower.load(averaged, facts["followers"][follower.name])
    position = loop.Position(**facts["position"])
    bench.record(Event(name="resumed", used_seconds=bench.stopwatch.used(), detail={"step": position.step}))
    return position, facts


def _ended_by(bench: Workbench) -> DaybreakError:
    name = bench.signals.received
    kind = Interrupted if name == "SIGINT" else Saved
    return kind(
        "the run was saved before its end",
        received=f"{name} after {bench.stopwatch.used():.0f} s of {bench.plan.budget.seconds:.0f}",
        attempt="the same command again: it goes on from here",
    )
