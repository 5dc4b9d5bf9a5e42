"""Going on with a run that was interrupted or killed, from its last checkpoint."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import monosema
from monosema.activations import Source
from monosema.activations.gathered import GatheredSource, check_processes
from monosema.config import differences, to_dict
from monosema.errors import InputError
from monosema.files import remove_unfinished, write_text
from monosema.runs.config import RunConfig
from monosema.runs.folder import CHECKPOINTS
from monosema.runs.processes import Processes
from monosema.training import Learner
from monosema.training.checkpoints import checkpoints
from monosema.training.state_file import Own, Snapshot, read_state
from monosema.training.state_folder import SharedSnapshot, read_shared_state

FREE = {
    "log_every",
    "evaluate_every",
    "tensorboard",
    "wandb",
    "checkpoint_every",
    "keep_checkpoints",
    "checkpoint_at",
    "non_finite",
    "parallel",
}
"""What may change between one part of a run and the next: it changes nothing that is learned."""


@dataclass(frozen=True)
class Past:
    """What lies behind a run."""

    step: int = 0
    seconds: float = 0.0
    """Of training."""
    state: Mapping[str, Any] | None = None
    """None where nothing was saved."""


def past_of(out: Path, processes: Processes) -> Past:
    """Where the run in a folder can go on: behind its newest checkpoint, or from the start if it has none.

    Raises:
        InputError: the checkpoint is damaged, or of another version's kind.
    """
    if processes.first:
        remove_unfinished(out / CHECKPOINTS)
    processes.wait()
    found = checkpoints(out / CHECKPOINTS)
    if not found:
        return Past()
    try:
        state = _read(found[-1], processes)
    except InputError as error:
        hint = f"delete it to go on from {found[-2].name}" if len(found) > 1 else "begin again with --overwrite"
        raise error.hinting(hint) from None
    return Past(state["step"], state["seconds"], state)


def _read(path: Path, processes: Processes) -> Any:
    if path.is_dir():
        return read_shared_state(path, processes.world, processes.ranks, processes.share)
    return read_state(path, processes.ranks)


def snapshot_of(processes: Processes) -> Callable[[Any], Snapshot]:
    """How a state is copied, to be written."""
    if processes.writers is None:
        return Snapshot
    return partial(SharedSnapshot, world=processes.world, ranks=processes.ranks, writers=processes.writers)


def state_of(
    config: RunConfig, source: Source, learners: Mapping[str, Learner], step: int, seconds: float
) -> dict[str, Any]:
    """All that the rest of a run depends on."""
    return {
        "step": step,
        "seconds": seconds,
        "config": to_dict(config),
        "source": _source_state(source),
        "learners": {name: learner.marked_state() for name, learner in learners.items()},
        "monosema": monosema.__version__,
    }


def _source_state(source: Source) -> dict[str, Any]:
    state = source.state_dict()
    return state | {"own": Own(state["own"])} if isinstance(source, GatheredSource) else state


def restore(past: Past, config: RunConfig, source: Source, learners: Mapping[str, Learner]) -> None:
    """Puts source and learners where they were.

    Raises:
        InputError: the run is configured otherwise than it was, its data has changed, or its text was divided among
            another number of processes.
    """
    if past.state is None:
        return
    _check_same(to_dict(config), past.state["config"])
    if "processes" in past.state["source"] and not isinstance(source, GatheredSource):
        check_processes(past.state["source"], 1)
    source.load_state_dict(past.state["source"])
    for name, learner in learners.items():
        learner.load_state_dict(past.state["learners"][name])


def cut_log(path: Path, step: int) -> None:
    """Takes out the lines behind a step, which will be written again, and a last one that is not whole."""
    if path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = (line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step)
        write_text(path, "".join(kept))


def _check_same(now: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    for key, new, old in differences(now, before):
        if key.split(".")[0] not in FREE:
            raise InputError(
                f"{key} = {new} to go on with a run",
                expected=f"{old}, as it began with",
                hint="leave it as it was, or begin another run",
            )
