"""Saves in processes that are killed at each point of it: all forked from one process without threads."""

import json
import os
import sys
from pathlib import Path

import torch

from daybreak.core.errors import ResourceError
from daybreak.engine import checkpoints, faults


def state(step: int) -> tuple[dict[str, torch.Tensor], dict[str, int]]:
    return {"a": torch.full((64,), float(step)), "b": torch.arange(step + 8)}, {"step": step}


def main(folder: Path, asked: list[str]) -> None:
    """Prints for each fault: the exit status of the process that met it, and what it said."""
    torch.set_num_threads(1)
    for number, fault in enumerate(asked):
        here = folder / str(number)
        for step in (1, 2):
            checkpoints.save(here, step, *state(step))
        child = os.fork()
        if not child:
            os.environ["DAYBREAK_FAULT"] = fault
            faults.forget()
            try:
                checkpoints.save(here, 3, *state(3))
            except ResourceError as error:
                (folder / f"{number}.said").write_text(str(error))
                os._exit(4)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        said = folder / f"{number}.said"
        print(json.dumps({"fault": fault, "status": status, "said": said.read_text() if said.exists() else ""}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
