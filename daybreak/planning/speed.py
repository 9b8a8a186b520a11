"""Speed: how fast a shape trains here, its startup time in each execution mode, and the memory of a step."""

import statistics
from typing import ClassVar

from daybreak.core.shapes import NetworkShape, network_of
from daybreak.core.types import Machine, Probe, Timing

UNKNOWN_COMPILE_SECONDS = {"cpu": 30.0, "cuda": 25.0}  # until this machine has been measured
UNKNOWN_WARM_SECONDS = 3.0
KERNELS_SECONDS = 2.0  # to compile kernels.c
ALIKE = 8.0  # times the operations of a token, either way: what was timed there tells how fast a shape will be
LIBRARY_BYTES = 400e6  # memory of all imported libraries and of a sample of the text
MODES = ("eager", "compiled", "kernels")


def memory_bytes(shape: NetworkShape, micro_batch: int, mode: str = "eager") -> int:
    """Weights, gradients and optimizer state, activations of a micro-batch, and the libraries themselves.

    The kernels keep no logits but all of attention's weights, here in the wider of their two dtypes.
    """
    tokens, scores = micro_batch * shape.context_length, shape.scores()
    if mode == "kernels":
        activations, scores = 80 * shape.width * shape.depth(), 4 * scores
    else:
        activations = 40 * shape.width * shape.depth() + 10 * shape.vocabulary
        scores = 6 * scores if shape.context_length <= 256 else 0
    return int(16 * shape.parameters() + tokens * (activations + scores) + LIBRARY_BYTES)


class Speed:
    """Tokens per second of a shape: measured where it was, else arithmetic and memory traffic, set by what was."""

    # Bytes of memory traffic per token for each layer and unit of width, and for each word of the vocabulary. Compiled
    # layers and kernels keep what they can in cache.
    TRAFFIC: ClassVar = {"compiled": (350, 40), "eager": (650, 80), "kernels": (250, 20)}

    def __init__(self, machine: Machine, probe: Probe, *, dtype: str) -> None:
        self.machine, self.probe, self.dtype = machine, probe, dtype
        # What was measured in this run is the truth of today; what was measured before says how machine and law differ.
        self.known = {(t.shape.key(), t.mode): t for t in (*probe.earlier, *probe.timings) if t.dtype == dtype}
        self.timed = {(t.shape.key(), t.mode): t for t in probe.timings if t.dtype == dtype}
        # Newest first: how fast the machine is moves from hour to hour, and by more than the law errs.
        pools = (list(self.timed.values()), list(self.known.values()))
        self._measured = [{mode: self._against_law(pool, mode) for mode in MODES} for pool in pools]

    def tokens_per_second(self, shape: NetworkShape, mode: str) -> float:
        timing = self.timed.get((shape.key(), mode))
        if timing is not None:
            return timing.micro_batch * shape.context_length / timing.step_seconds
        return shape.context_length * self._factor(shape, mode) / self._estimate(shape, mode)

    def ready_seconds(self, shape: NetworkShape, mode: str) -> float:
        """Seconds before the first step in an execution mode: few where this machine has compiled for it before."""
        if mode == "eager":
            return 0.0
        if mode == "kernels":
            used = any(known == "kernels" for _, known in self.known)
            return 0.0 if used else KERNELS_SECONDS
        if (shape.key(), mode) in self.timed:
            return 0.5
        if (shape.key(), mode) in self.known:
            return self.probe.compile_warm_seconds or UNKNOWN_WARM_SECONDS
        return self.probe.compile_cold_seconds or UNKNOWN_COMPILE_SECONDS.get(self.machine.kind, 30.0)

    def _against_law(self, pool: list[Timing], mode: str) -> list[tuple[float, float]]:
        """For each timing in an execution mode: operations per token, and its speed against the formula's."""
        pairs = []
        for timing in pool:
            shape = network_of(timing.shape)
            if timing.mode == mode and shape is not None:
                factor = self._estimate(shape, mode) * timing.micro_batch / timing.step_seconds
                pairs.append((shape.flops_per_token(), factor))
        return pairs

    def _factor(self, shape: NetworkShape, mode: str) -> float:
        """How machine and law differ at shapes of about this size: a tiny one says nothing of a large one."""
        flops = shape.flops_per_token()
        for measured in self._measured:
            for known in (mode, *MODES):  # a bottleneck in one execution mode is one in the others, too
                near = [factor for timed, factor in measured[known] if 1 / ALIKE < timed / flops < ALIKE]
                if near:
                    return statistics.median(near)
        return 1.0

    def _estimate(self, shape: NetworkShape, mode: str) -> float:
        """Seconds of a row. Narrow products do not reach the rate of wide ones."""
        rate = self.machine.matmul_flops.get(self.dtype) or max(self.machine.matmul_flops.values(), default=5e10)
        rate *= 0.6 * shape.width / (shape.width + 64)
        layer_bytes, word_bytes = self.TRAFFIC[mode]
        traffic = layer_bytes * shape.depth() * shape.width + word_bytes * shape.vocabulary
        bandwidth = max(self.machine.bandwidth_bytes_per_second, 1e9)
        return shape.context_length * (shape.flops_per_token() / rate + traffic / bandwidth)
