"""What looking on costs training: the live page with a reader and three mirrors, on and off by turns beside one run.

    python benchmarks/onlookers.py --text ../shared/data/lm_en_tinyshakespeare/input.txt --seconds 420

Steps are compared with those of the turns before and after, in one run, so that a slow minute of the machine cancels.
Each turn starts the onlookers anew: their imports, which a real run pays once, are told apart from what they cost then.
"""

import argparse
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from threading import Thread

from daybreak.core.records import Log, Step, standing_steps
from daybreak.core.run import Run

TURN = 30.0  # seconds
SETTLED = 12.0  # seconds of a turn after which the onlookers have started
MIRRORS = ("tensorboard", "wandb", "trackio")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def read_events(port: int) -> None:
    """A reader of the live page; leaves when the page is gone."""
    for _ in range(100):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/events") as events:
                while events.readline():
                    pass
            return
        except OSError:
            time.sleep(0.2)


def onlookers(run: Path) -> list[subprocess.Popen]:
    port = free_port()
    words = [["watch", str(run), "--port", str(port), "--no-open"]]
    words += [["mirror", str(run), "--to", name, "--follow"] for name in MIRRORS]
    environment = {**os.environ, "WANDB_MODE": "offline"}
    started = [
        subprocess.Popen(
            [sys.executable, "-P", "-m", "daybreak", *w],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for w in words
    ]
    Thread(target=read_events, args=(port,), daemon=True).start()
    return started


def end(processes: list[subprocess.Popen]) -> None:
    for process in processes:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def logging_seconds() -> float:
    """Of one step's record, median of many."""
    step = Step(
        step=1,
        progress=0.5,
        micro_batch=16,
        accumulation=1,
        skipped=False,
        nats=3.0,
        gradient_norm=1.0,
        learning_rate_factor=1.0,
        tokens=10**6,
        seconds=0.1,
        used_seconds=10.0,
    )
    with tempfile.TemporaryDirectory() as folder:
        log = Log(Path(folder) / "log.jsonl")
        taken = []
        for _ in range(3000):
            begun = time.perf_counter()
            log.append(step)
            taken.append(time.perf_counter() - begun)
        log.close()
    return statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--seconds", type=int, default=420)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        words = ["run", str(asked.text), "--for", f"{asked.seconds}s", "--out", str(out)]
        words += ["--without", "batch_ramp", "--without", "compiled", "--without", "ngram_mix"]
        training = subprocess.Popen(
            [sys.executable, "-P", "-m", "daybreak", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        begun = time.monotonic()
        while not standing_steps(Run(out).log_file) and training.poll() is None:
            time.sleep(0.5)
        turns: list[tuple[float, float, bool]] = []
        on = False
        while training.poll() is None and time.monotonic() - begun < asked.seconds - TURN:
            processes = onlookers(out) if on else []
            start = time.monotonic() - begun
            time.sleep(TURN)
            turns.append((start, time.monotonic() - begun, on))
            end(processes)
            on = not on
        training.wait()
        steps = [s for s in standing_steps(Run(out).log_file) if not s.skipped]
    told = {}
    for name, low, high in (("starting", 0.0, SETTLED), ("settled", SETTLED, TURN), ("whole turn", 0.0, TURN)):
        medians = [
            statistics.mean(s.seconds for s in steps if start + low <= s.used_seconds <= start + high)
            for start, _, _ in turns
        ]
        ratios = [
            medians[i] / statistics.mean(medians[i - 1 : i + 2 : 2]) - 1
            for i in range(1, len(turns) - 1)
            if turns[i][2]
        ]
        draws = [statistics.mean(random.choices(ratios, k=len(ratios))) for _ in range(4000)]
        draws.sort()
        told[name] = {
            "slower": round(statistics.mean(ratios), 4),
            "interval": [round(draws[100], 4), round(draws[-101], 4)],
            "turns": len(ratios),
        }
    step_seconds = statistics.median(s.seconds for s in steps)
    per_step = logging_seconds()
    told["logging"] = {"microseconds": round(1e6 * per_step, 1), "share_of_a_step": round(per_step / step_seconds, 6)}
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
