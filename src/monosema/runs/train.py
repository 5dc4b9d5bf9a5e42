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
from monosema.files import write_json
from monosema.runs.config import RunConfig
from monosema.runs.data import Data, open_data
from monosema.runs.measure import HeldoutEvaluation, measure
from monosema.runs.report import write_report
from monosema.runs.resolve import resolve, spec_of
from monosema.runs.result import RunResult
from monosema.training import Learner, Observer, train
from monosema.training.observers import JsonlLog, Log, ProgressBar, TensorBoardLog, WandbLog

CONFIG, METRICS, LOG, DICTIONARIES = "config.yaml", "metrics.json", "metrics.jsonl", "dictionaries"
SAMPLE_ROWS = 16_384


class Interrupted(Exception):
    """Ctrl-C ended a run; what was trained is saved in `folder`."""

    def __init__(self, folder: Path, steps: int):
        super().__init__(f"interrupted after {steps} steps; what was trained is in {folder}")
        self.folder, self.steps = folder, steps


def run(config: RunConfig, out: str | Path, *, overwrite: bool = False) -> RunResult:
    """Trains, measures and reports; writes everything into the folder `out`.

    Args:
        config: the run.
        out: a folder that holds no run yet.
        overwrite: replace the run that is there.

    Raises:
        InputError: something that the configuration names cannot be used; nothing was written, or what was is gone.
        Interrupted: Ctrl-C; the dictionaries are saved as far as they were trained.
        NonFiniteLoss: training diverged.
    """
    out = Path(out)
    _check_free(out, overwrite)
    _check_extras(config)
    started = time.perf_counter()
    data = open_data(config)
    config = resolve(config, data.source.widths, data.dtype)
    learners = _learners(config, data)
    _make_folder(out)
    dump_yaml(config, out / CONFIG)

    training_started = time.perf_counter()
    try:
        interrupted = _train(config, data, learners, out)
    except InputError:  # found only now, deep in the text
        shutil.rmtree(out)
        raise
    dictionaries = {name: _finished(learner, config, name) for name, learner in learners.items()}
    for name, dictionary in dictionaries.items():
        save(dictionary, out / DICTIONARIES / name)
    if interrupted:
        raise Interrupted(out, min(learner.step_count for learner in learners.values()))
    measuring_started = time.perf_counter()
    found, examples = measure(dictionaries, data.heldout)
    ended = time.perf_counter()
    result = RunResult(
        config=config,
        metrics={name: evaluation.metrics for name, evaluation in found.items()},
        density={name: evaluation.density for name, evaluation in found.items()},
        examples=examples,
        log=[json.loads(line) for line in (out / LOG).read_text(encoding="utf-8").splitlines()],
        seconds={
            "preparation": training_started - started,
            "training": measuring_started - training_started,
            "measuring": ended - measuring_started,
        },
        facts=_facts(config, data, measuring_started - training_started),
    )
    write_json(out / METRICS, _as_json(result))
    write_report(out, result)
    return result


def _check_free(out: Path, overwrite: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not ((out / CONFIG).is_file() and (out / LOG).is_file()):
        raise InputError(f"{out} exists and is not a run's folder", expected="a new or empty folder")
    if not overwrite:
        raise InputError(
            f"{out} already holds a run", expected="a new or empty folder", hint="--overwrite replaces the run"
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


def _learners(config: RunConfig, data: Data) -> dict[str, Learner]:
    sample = data.source.sample(SAMPLE_ROWS)
    return {
        str(d.name): Learner(
            spec_of(d, data.source.widths),
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


def _train(config: RunConfig, data: Data, learners: Mapping[str, Learner], out: Path) -> bool:
    """Runs the loop under its observers; True if Ctrl-C ended it."""
    with ExitStack() as stack:
        logs = [stack.enter_context(log) for log in _logs(config, out)]
        observers: list[Observer] = [*logs, stack.enter_context(ProgressBar(config.steps, config.batch_size))]
        if config.evaluate_every is not None:
            every = max(config.evaluate_every // config.batch_size, 1)
            observers.append(HeldoutEvaluation(learners, data.heldout, every, logs))
        try:
            train(data.source, learners, config.steps, observers)
        except KeyboardInterrupt:
            return True
    return False


def _logs(config: RunConfig, out: Path) -> Iterator[Log]:
    yield JsonlLog(out / LOG, config.log_every)
    if config.tensorboard:
        yield TensorBoardLog(out / "tensorboard", config.log_every)
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


def _facts(config: RunConfig, data: Data, seconds: float) -> dict[str, Any]:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "tokens": config.steps * config.batch_size,
        "tokens_per_second": config.steps * config.batch_size / seconds,
        "text_passes": getattr(data.source, "passes", None),
        "buffer_bytes": getattr(data.source, "bytes", None),
        "peak_memory_bytes": peak * (1 if platform.system() == "Darwin" else 1024),
    }


def _as_json(result: RunResult) -> dict[str, Any]:
    return {
        "dictionaries": {name: asdict(metrics) for name, metrics in result.metrics.items()},
        "seconds": dict(result.seconds),
        **result.facts,
    }
