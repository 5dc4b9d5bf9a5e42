"""The main job: a configuration in, a folder out."""

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from monosema.config import dump_yaml, to_dict
from monosema.errors import InputError
from monosema.files import UNFINISHED, write_json, write_tensors
from monosema.runs.config import RunConfig
from monosema.runs.data import Data, as_in_its_store, open_data
from monosema.runs.folder import CHECKPOINTS, CONFIG, LOG, METRICS
from monosema.runs.interrupt import StopBetweenSteps, Stopped
from monosema.runs.measure import HeldoutEvaluation, Told
from monosema.runs.outcome import as_json, facts, measured, saved
from monosema.runs.plan import refuse_what_cannot_fit
from monosema.runs.processes import Processes, join
from monosema.runs.report import write_report
from monosema.runs.resolve import resolve, spec_of
from monosema.runs.result import RunResult
from monosema.runs.resume import Past, cut_log, past_of, restore, snapshot_of, state_of
from monosema.training import Learner, NonFiniteLoss, Observer, train
from monosema.training.checkpoints import Checkpoints, remove
from monosema.training.observers import JsonlLog, Log, ProgressBar, TensorBoardLog, WandbLog, not_installed

BATCH = "non_finite_batch.safetensors"
SAMPLE_ROWS = 16_384


class Interrupted(Exception):
    """A run was told to stop; what was trained is saved in `folder`."""

    def __init__(self, folder: Path, steps: int):
        super().__init__(
            f"interrupted after {steps} steps; what was trained is in {folder}, and --resume goes on with it"
        )
        self.folder, self.steps = folder, steps


def run(config: RunConfig, out: str | Path, *, overwrite: bool = False, resume: bool = False) -> RunResult:
    """Trains, measures and reports; writes everything into the folder `out`.

    In each of the processes that `torchrun` has started, it does a part of the training, as `config.parallel` says; all
    of them get the result.

    Args:
        config: the run.
        out: a folder that holds no run yet.
        overwrite: replace the run that is there.
        resume: go on with the run that is there, behind its last checkpoint, or begin it if there is none. It ends with
            the same bits as if it had not been interrupted.

    Raises:
        InputError: something that the configuration names cannot be used; nothing was written, or what was is gone.
            Also a run that is to go on and is finished, or is configured otherwise; it stays as it is.
        Interrupted: Ctrl-C, or a request to terminate; the dictionaries are saved as far as they were trained, and a
            checkpoint with them.
        NonFiniteLoss: training diverged; the batch is saved in `out`.
        LostContact: of several processes, another one ended before this.
    """
    with join(config.parallel, config.device, config.batch_size) as processes:
        return _run(config, Path(out), overwrite, resume, processes)


def _run(config: RunConfig, out: Path, overwrite: bool, resume: bool, processes: Processes) -> RunResult:
    started = time.perf_counter()
    goes_on = resume and (out / CONFIG).is_file()
    _check_free(out, overwrite, resume)
    _check_extras(config)
    processes.wait()  # until everybody has seen the folder as it is
    config = as_in_its_store(config)
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    refuse_what_cannot_fit(config, ranks=processes.world.size, on_this_machine=local)
    past = past_of(out, processes) if goes_on else Past()
    data = open_data(config, processes)
    heads, dtype = processes.told((data.heads, data.dtype))  # not every process need have the model
    config = resolve(config, data.source.widths, dtype, heads)
    learners = _learners(config, data, heads, processes)
    restore(past, config, data.source, learners)
    if processes.first:
        _open_folder(config, out, past if goes_on else None)
    processes.wait()

    training_started = time.perf_counter()
    try:
        interrupted = _train(config, data, learners, out, past, processes)
    except InputError:  # found only now, deep in the text
        if not goes_on:
            shutil.rmtree(out, ignore_errors=True)
        raise
    dictionaries = saved(config, learners, out, processes)
    if interrupted:
        raise Interrupted(out, min(learner.step_count for learner in learners.values()))
    training = past.seconds + time.perf_counter() - training_started
    result = None
    if processes.first:
        seconds = {"preparation": training_started - started, "training": training}
        result = measured(config, data, dictionaries, out, seconds, facts(config, data, learners, training))
        write_report(out, result)
        write_json(out / METRICS, as_json(result))
        remove(out / CHECKPOINTS, _kept(config))
    return processes.told(result)


def _check_free(out: Path, overwrite: bool, resume: bool) -> None:
    if not out.exists() or (out.is_dir() and _holds_nothing(out)):
        return
    if not ((out / CONFIG).is_file() and (out / LOG).is_file()):
        raise InputError(f"{out} exists and is not a run's folder", expected="a new or empty folder")
    if resume and (out / METRICS).is_file():
        raise InputError(f"the run in {out} is finished", hint="--overwrite, without --resume, runs it again")
    if not (overwrite or resume):
        raise InputError(
            f"{out} already holds a run",
            expected="a new or empty folder",
            hint="--resume goes on with it, --overwrite replaces it",
        )


def _holds_nothing(out: Path) -> bool:
    """Whether a folder is empty, or has only what a run leaves that is killed while it makes its folder."""
    there = {path for path in out.iterdir() if not any(map(path.match, UNFINISHED))}
    return not there or (there == {out / LOG} and (out / LOG).stat().st_size == 0)


def _check_extras(config: RunConfig) -> None:
    for package, wanted in {"tensorboard": config.tensorboard, "wandb": config.wandb is not None}.items():
        if wanted and find_spec(package) is None:
            raise not_installed(package)


def _open_folder(config: RunConfig, out: Path, past: Past | None) -> None:
    """Makes the folder of a new run, or cuts the log of one that goes on, and writes what is run.

    An earlier run is removed only now, when all that the new one needs has been opened.
    """
    if past is not None:
        cut_log(out / LOG, past.step)
    else:
        if out.exists():
            shutil.rmtree(out)
        out.mkdir(parents=True)
        (out / LOG).touch()  # with a configuration beside it, a folder is a run's
    dump_yaml(config, out / CONFIG)


def _learners(config: RunConfig, data: Data, heads: Mapping[str, int], processes: Processes) -> dict[str, Learner]:
    """The dictionaries that this process trains."""
    sample, mine = data.source.sample(SAMPLE_ROWS), processes.share([str(d.name) for d in config.dictionaries])
    if not mine:
        raise InputError(
            f"{len(config.dictionaries)} dictionaries for parallel.spread = {config.parallel.spread}",
            expected="at least one for each of so many groups of processes",
        )
    return {
        str(d.name): Learner(
            spec_of(d, data.source.widths, heads),
            d.recipe,
            sample,
            steps=config.steps,
            batch_size=config.batch_size,
            seed=config.seed,
            device=config.device,
            autocast=config.precision == "bfloat16",
            ranks=processes.ranks,
        )
        for d in config.dictionaries
        if d.name in mine
    }


def _train(
    config: RunConfig, data: Data, learners: Mapping[str, Learner], out: Path, past: Past, processes: Processes
) -> bool:
    """Runs the loop under its observers; True if it was told to stop."""
    started = time.perf_counter() - past.seconds

    def state(step: int) -> dict[str, Any]:
        return state_of(config, data.source, learners, step, time.perf_counter() - started)

    with ExitStack() as stack:
        observers = _observers(stack, config, data, learners, out, past, processes)
        every = config.checkpoint_every and max(config.checkpoint_every // config.batch_size, 1)
        saver = Checkpoints(
            out / CHECKPOINTS,
            state,
            every=every,
            keep=config.keep_checkpoints,
            always=_kept(config),
            take=snapshot_of(processes),
            tidy=processes.first,
        )
        observers += [stack.enter_context(saver), stack.enter_context(StopBetweenSteps(processes))]
        try:
            skip = config.non_finite == "skip"
            train(data.source, learners, config.steps, observers, done=past.step, skip_non_finite=skip)
        except Stopped:
            saver.save(min(learner.step_count for learner in learners.values()))
            return True
        except KeyboardInterrupt:
            return True
        except NonFiniteLoss as error:
            if processes.leads:
                raise _with_its_batch(error, out / BATCH) from None
            raise
        if every:
            saver.save(config.steps)  # measuring takes its time, too
    return False


def _observers(
    stack: ExitStack,
    config: RunConfig,
    data: Data,
    learners: Mapping[str, Learner],
    out: Path,
    past: Past,
    processes: Processes,
) -> list[Observer]:
    """What watches a run: logs, the progress bar, evaluations on the way; the stack closes them."""
    logs = [stack.enter_context(log) for log in _logs(config, out, past)] if processes.first else []
    bar = ProgressBar(config.steps, config.batch_size, done=past.step)
    observers: list[Observer] = [Told(logs, config.log_every, processes), stack.enter_context(bar)]
    if config.evaluate_every is not None:
        every = max(config.evaluate_every // config.batch_size, 1)
        observers.append(HeldoutEvaluation(learners, data.heldout, every, logs, processes))
    return observers


def _with_its_batch(error: NonFiniteLoss, path: Path) -> NonFiniteLoss:
    """Saves the batch, and says so."""
    assert error.batch is not None
    write_tensors(path, {point: rows.cpu().contiguous() for point, rows in error.batch.items()})
    return NonFiniteLoss(f"{error}; the batch is in {path}, and --non-finite skip would leave it out")


def _kept(config: RunConfig) -> set[int]:
    """The steps whose checkpoints stay."""
    return {max(tokens // config.batch_size, 1) for tokens in config.checkpoint_at}


def _logs(config: RunConfig, out: Path, past: Past) -> Iterator[Log]:
    yield JsonlLog(out / LOG, config.log_every, seconds=past.seconds)
    if config.tensorboard:
        yield TensorBoardLog(out / "tensorboard", config.log_every, done=past.step)
    if config.wandb is not None:
        yield WandbLog(config.wandb, out, config.log_every, to_dict(config))
