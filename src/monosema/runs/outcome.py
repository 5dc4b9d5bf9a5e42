"""What a run leaves: its dictionaries, what was measured of them, and what it took."""

import json
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import monosema
from monosema.analysis import site_shares
from monosema.config import to_dict
from monosema.dictionaries import Dictionary, load, save
from monosema.models import PREPROCESSING
from monosema.runs.config import RunConfig
from monosema.runs.data import Data
from monosema.runs.folder import DICTIONARIES, LOG
from monosema.runs.measure import measure, measure_together
from monosema.runs.processes import Processes
from monosema.runs.result import RunResult
from monosema.training import Learner


def saved(config: RunConfig, learners: Mapping[str, Learner], out: Path, processes: Processes) -> dict[str, Dictionary]:
    """Saves the dictionaries, each by one of the processes that trained it, and returns them to the first.

    Of several processes none holds more than one whole dictionary at a time before the first one reads them all.
    """
    dictionaries: dict[str, Dictionary] = {}
    for name, learner in learners.items():
        dictionary = _finished(learner, config, name)
        if processes.leads:
            save(dictionary, out / DICTIONARIES / name)
        if processes.world.size == 1:
            dictionaries[name] = dictionary
    processes.wait()
    if processes.world.size == 1 or not processes.first:
        return dictionaries
    names = [str(d.name) for d in config.dictionaries]
    return {name: load(out / DICTIONARIES / name).to(config.device) for name in names}


def _finished(learner: Learner, config: RunConfig, name: str) -> Dictionary:
    """The dictionary as it is saved: for raw activations, and with what a reader needs to use it."""
    dictionary = learner.finished()
    dictionary.metadata = {
        "name": name,
        "model": None if config.activations else config.model,
        "revision": config.revision,
        "second": config.second,
        "second_revision": config.second_revision,
        "dtype": config.dtype,
        PREPROCESSING: None if config.activations else [],  # a run's models are Hugging Face's, and stay as they are
        "activations": config.activations,
        "text": None if config.activations else config.text,
        "heldout": config.heldout,
        "heldout_tokens": config.heldout_tokens,
        "context": config.context,
        "recipe": to_dict(learner.recipe),
        "tokens": learner.step_count * config.batch_size,
        "seed": config.seed,
        "training_scale": {"read": list(learner.read.scales), "written": list(learner.written.scales)},
        "monosema": monosema.__version__,
    }
    return dictionary


def measured(
    config: RunConfig,
    data: Data,
    dictionaries: Mapping[str, Dictionary],
    out: Path,
    seconds: Mapping[str, float],
    facts: Mapping[str, Any],
) -> RunResult:
    """Measures the dictionaries; `seconds` are those of what came before."""
    started = time.perf_counter()
    found, examples = measure(dictionaries, data.heldout)
    together = measure_together(dictionaries, data.heldout) if config.together else None
    return RunResult(
        config=config,
        metrics={name: evaluation.metrics for name, evaluation in found.items()},
        density={name: evaluation.density for name, evaluation in found.items()},
        examples=examples,
        log=[json.loads(line) for line in (out / LOG).read_text(encoding="utf-8").splitlines()],
        seconds={**seconds, "measuring": time.perf_counter() - started},
        facts=dict(facts),
        shares={name: site_shares(d) for name, d in dictionaries.items() if len(d.spec.sizes_out) > 1},
        together=together,
    )


def facts(config: RunConfig, data: Data, learners: Mapping[str, Learner], seconds: float) -> dict[str, Any]:
    """What a run took, and how far it read; `seconds` are those of its training."""
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


def as_json(result: RunResult) -> dict[str, Any]:
    """The metrics of a run, with its times and facts."""
    return {
        "dictionaries": {name: metrics.as_json() for name, metrics in result.metrics.items()},
        **({} if result.together is None else {"together": asdict(result.together)}),
        "seconds": dict(result.seconds),
        **result.facts,
    }
