"""One library's way from text to a trained dictionary: the other end of `end_to_end.py`.

    python end_to_end_worker.py '{"library": "dl", "architecture": "topk", "model": FOLDER, "texts": FILE, ...}'

The library's own buffer feeds its own trainer; each turn trains on as many tokens as the job says.
"""

import itertools
import json
import sys
from typing import Any

import torch
from harvest_worker import BATCH, LIBRARIES
from torch import Tensor
from versus.turns import serve

SAMPLE = 4
"""Batches on which scales and biases start."""


def run_of(job: dict[str, Any], first: list[Tensor]) -> Any:
    """The library's trainer, as the quality benchmark has it."""
    if job["library"] == "ours":
        from versus.ours import Run

        return Run(job, job["d"], job["width"], torch.cat(first))
    if job["library"] == "dl":
        from versus.peer_dl import Run
    else:
        from versus.peer_saelens import Run
    return Run(job, job["d"], job["width"], first)


def main() -> None:
    job = json.loads(sys.argv[1]) | {"batch": BATCH}
    torch.manual_seed(0)
    fetch = LIBRARIES[job["library"]](job)
    run, numbers = run_of(job, [fetch().float() for _ in range(SAMPLE)]), itertools.count()

    def turn() -> None:
        for _ in range(job["tokens"] // BATCH):
            run.step(next(numbers), fetch().float())

    serve(turn, job)


if __name__ == "__main__":
    main()
