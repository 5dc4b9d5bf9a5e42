"""The main job: a configuration in, a folder out."""

import json
import platform
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import monosema
from monosema.config import dump_yaml, to_dict
from monosema.dictionaries import Dictionary, save
from monosema.errors import InputError
from monosema.files import write_json, write_tensors
from monosema.runs.config import RunConfig
from monosema.runs.data import Data, as_in_its_store, open_data
from monosema.runs.interrupt import StopBetweenSteps, Stopped
from monosema.runs.measure import HeldoutEvaluation, measure, measure_together
from monosema.runs.report import write_report
from monosema.runs.resolve import resolve, spec_of
from monosema.runs.result import RunResult
from monosema.runs.resume import FOLDER, Past, cut_log, past_of, restore, state_of
from monosema.training import Learner, NonFiniteLoss, Observer, train
from monosema.training.checkpoints import Checkpoints, remove
from monosema.training.observers import JsonlLog, Log, ProgressBar, TensorBoardLog, WandbLog

CONFIG, METRICS, LOG, DICTIONARIES = "config.yaml", "metrics.json", "metrics.jsonl", "dictionaries"
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
    """
    out = Path(out)
    goes_on = resume and (out / CONFIG).is_file()
    _check_free(out, overwrite, resume)
    _check_extras(config)
    started = time.perf_counter()
    config = as_in_its_store(config)
    past = past_of(out) if goes_on else Past()
    data = open_data(config)
    config = resolve(config, data.source.widths, data.dtype, data.heads)
    learners = _learners(config, data)
    restore(past, config, data.source, learners)
    if goes_on:
        cut_log(out / LOG, past.step)
    else:
        _make_folder(out)
    dump_yaml(config, out / CONFIG)

    training_started = time.perf_counter()
    try:
        interrupted = _train(config, data, learners, out, past)
    except InputError:  # found only now, deep in the text
        if not goes_on:
            shutil.rmtree(out)
        raise
    dictionaries = {name: _finished(learner, config, name) for name, learner in learners.items()}
    for name, dictionary in dictionaries.items():
        save(dictionary, out / DICTIONARIES / name)
    if interrupted:
        raise Interrupted(out, min(learner.step_count for learner in learners.values()))
    measuring_started = time.perf_counter()
    training = past.seconds + measuring_started - training_started
    found, examples = measure(dictionaries, data.heldout)
    together = measure_together(dictionaries, data.heldout) if config.together else None
    ended = time.perf_counter()
    result = RunResult(
        config=config,
        metrics={name: evaluation.metrics for name, evaluation in found.items()},
        density={name: evaluation.density for name, evaluation in found.items()},
        examples=examples,
        log=[json.loads(line) for line in (out / LOG).read_text(encoding="utf-8").splitlines()],
        seconds={
            "preparation": training_started - started,
            "training": training,
            "measuring": ended - measuring_started,
        },
        facts=_facts(config, data, learners, training),
        together=together,
    )
    write_report(out, result)
    write_json(out / METRICS, _as_json(result))
    remove(out / FOLDER, _kept(config))
    return result


def _check_free(out: Path, overwrite: bool, resume: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
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


def _check_extras(config: RunConfig) -> None:
    for package, wanted in {"tensorboard": config.tensorboard, "wandb": config.wandb is not None}.items():
        if wanted and find_spec(package) is None:
            raise InputError(f"{package} is not installed", hint=f"pip install monosema[{package}]")


def _make_folder(out: Path) -> None:
    """Removes an earlier run only now, when all that the new one needs has been opened."""
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    (out / LOG).touch()  # with a configuration beside it, a folder is a run's


def _learners(config: RunConfig, data: Data) -> dict[str, Learner]:
    sample = data.source.sample(SAMPLE_ROWS)
    return {
        str(d.name): Learner(
            spec_of(d, data.source.widths, data.heads),
            d.recipe,
            sample,
            steps=config.steps,
            batch_size=config.batch_size,
            seed=config.seed,
            device=config.device,
            autocast=config.precision == "bfloat16",
        )
        for d in config.dictionaries
    }


def _train(config: RunConfig, data: Data, learners: Mapping[str, Learner], out: Path, past: Past) -> bool:
    """Runs the loop under its observers; True if it was told to stop."""
    started = time.perf_counter() - past.seconds

    def state(step: int) -> dict[str, Any]:
        return state_of(config, data.source, learners, step, time.perf_counter() - started)

    with ExitStack() as stack:
        logs = [stack.enter_context(log) for log in _logs(config, out, past)]
        bar = ProgressBar(config.steps, config.batch_size, done=past.step)
        observers: list[Observer] = [*logs, stack.enter_context(bar)]
        if config.evaluate_every is not None:
            every = max(config.evaluate_every // config.batch_size, 1)
            observers.append(HeldoutEvaluation(learners, data.heldout, every, logs))
        every = config.checkpoint_every and max(config.checkpoint_every // config.batch_size, 1)
        saver = Checkpoints(out / FOLDER, state, every=every, keep=config.keep_checkpoints, always=_kept(config))
        observers += [stack.enter_context(saver), stack.enter_context(StopBetweenSteps())]
        try:
            skip = config.non_finite == "skip"
            train(data.source, learners, config.steps, observers, done=past.step, skip_non_finite=skip)
        except Stopped:
            saver.save(min(learner.step_count for learner in learners.values()))
            return True
        except KeyboardInterrupt:
            return True
        except NonFiniteLoss as error:
            raise _with_its_batch(error, out / BATCH) from None
        if every:
            saver.save(config.steps)  # measuring takes its time, too
    return False


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


def _finished(learner: Learner, config: RunConfig, name: str) -> Dictionary:
    """The dictionary as it is saved: for raw activations, and with what a reader needs to use it."""
    dictionary = learner.finished()
    dictionary.metadata = {
        "name": name,
        "model": None if config.activations else config.model,
        "revision": config.revision,
        "dtype": config.dtype,
        "activations": config.activations,
        "text": None if config.activations else config.text,
        "heldout": config.heldout,
        "heldout_tokens": config.heldout_tokens,
        "context": config.context,
        "recipe": to_dict(learner.recipe),
        "tokens": learner.step_count * config.batch_size,
        "seed": config.seed,
        "training_scale": {"read": learner.read.scale, "written": learner.written.scale},
        "monosema": monosema.__version__,
    }
    return dictionary


def _facts(config: RunConfig, data: Data, learners: Mapping[str, Learner], seconds: float) -> dict[str, Any]:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "tokens": config.steps * config.batch_size,
        "tokens_per_second": config.steps * config.batch_size / seconds,
        "skipped_batches": max(learner.skipped for learner in learners.values()),
        "text_passes": getattr(data.source, "passes", None),
        "buffer_bytes": getattr(data.source, "bytes", None),
        "peak_memory_bytes": peak * (1 if platform.system() == "Darwin" else 1024),
    }


def _as_json(result: RunResult) -> dict[str, Any]:
    return {
        "dictionaries": {name: asdict(metrics) for name, metrics in result.metrics.items()},
        **({} if result.together is None else {"together": asdict(result.together)}),
        "seconds": dict(result.seconds),
        **result.facts,
    }
