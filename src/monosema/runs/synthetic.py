"""Training dictionaries on activations whose features are known, and comparing what they found with the truth."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from monosema.config import dump_yaml, to_dict
from monosema.device import pick_device
from monosema.dictionaries import Dictionary, Spec, save
from monosema.errors import InputError
from monosema.evaluation import Table, evaluate_rows
from monosema.evaluation.known_truth import KnownTruth, evaluate_truth
from monosema.files import write_json
from monosema.recipes import Recipe
from monosema.runs.folder import CONFIG, DICTIONARIES, METRICS, check_free
from monosema.runs.naming import folder_name, settings_of, suffixes
from monosema.runs.train import SAMPLE_ROWS
from monosema.synthetic import SyntheticConfig, SyntheticSource, World, presets
from monosema.synthetic.source import POINT
from monosema.training import Learner, train
from monosema.training.observers import ProgressBar

_ROWS = 1024  # rows whose dense true codes are in memory at once


@dataclass(frozen=True)
class SyntheticRun:
    """Dictionaries that learn from a world of known features."""

    recipes: tuple[Recipe, ...]
    """How they learn; one dictionary for each."""
    preset: str = "easy"
    """Name of the world."""
    world: SyntheticConfig | None = None
    """A world without a name, in place of the preset."""
    width: int | None = None
    """Features of each dictionary; by default as many as the world has."""
    tokens: int = 4_000_000
    """Rows of activations to train on."""
    batch_size: int = 2048
    """Rows per step."""
    heldout: int = 32_768
    """Rows to measure on."""
    seed: int = 0
    """Of the rows, and of what the dictionaries start with; the world has a seed of its own."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, …"""

    def __post_init__(self):
        if not self.recipes:
            raise InputError("no recipe", expected="at least one")
        for name in ("tokens", "batch_size", "heldout", "width"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{name} = {value}", expected="at least 1")
        if self.seed < 0:
            raise InputError(f"seed = {self.seed}", expected="at least 0")

    @property
    def steps(self) -> int:
        """Steps of training, at least one."""
        return max(self.tokens // self.batch_size, 1)

    def names(self) -> list[str]:
        """Of the dictionaries: their recipes, and what varies among those; numbered where all is alike."""
        settings = [settings_of({"recipe": to_dict(recipe)}) for recipe in self.recipes]
        bases = [
            folder_name(recipe.name, suffix.removeprefix(recipe.name).strip("-"))
            for recipe, suffix in zip(self.recipes, _within(settings), strict=True)
        ]
        return [
            base if bases[:i].count(base) == 0 else f"{base}-{bases[:i].count(base) + 1}"
            for i, base in enumerate(bases)
        ]


@dataclass(frozen=True)
class SyntheticResult:
    """What one dictionary found."""

    truth: KnownTruth
    fve: float
    """Variance explained on held-out rows."""
    alive: float
    """Fraction of its features that fire on at least one held-out row."""


def run_synthetic(config: SyntheticRun, out: str | Path | None = None) -> dict[str, SyntheticResult]:
    """Trains every recipe on one stream, and measures each on rows that none has seen.

    Args:
        config: the run.
        out: a new or empty folder for the dictionaries, the configuration and the figures; by default nothing is
            written.

    Raises:
        InputError: an unknown preset, an impossible recipe or a folder that is in use; nothing was written.
        NonFiniteLoss: training diverged.
    """
    folder = None if out is None else check_free(Path(out))
    device = pick_device(config.device)
    world = World(config.world or presets[config.preset](), device)
    source = SyntheticSource(world, config.batch_size, seed=config.seed)
    spec = Spec.autoencoder(POINT, world.config.d, config.width or world.config.features)
    sample = source.sample(SAMPLE_ROWS)
    learners = {
        name: Learner(
            spec, recipe, sample, steps=config.steps, batch_size=config.batch_size, seed=config.seed, device=device
        )
        for name, recipe in zip(config.names(), config.recipes, strict=True)
    }
    started = time.perf_counter()
    with ProgressBar(config.steps, config.batch_size) as bar:
        train(source, learners, config.steps, [bar])
    seconds = time.perf_counter() - started
    dictionaries = {name: learner.finished() for name, learner in learners.items()}
    results = {name: measure_synthetic(dictionary, world, config) for name, dictionary in dictionaries.items()}
    if folder is not None:
        _write(folder, config, learners, dictionaries, results, seconds)
    return results


def measure_synthetic(dictionary: Dictionary, world: World, config: SyntheticRun) -> SyntheticResult:
    """Compares a dictionary with the world on held-out rows."""
    truth, _, _ = evaluate_truth(dictionary, world.directions, heldout_rows(world, config))
    rows = [x for x, _ in heldout_rows(world, config)]
    metrics = evaluate_rows(dictionary, list(zip(rows, rows, strict=True))).metrics
    return SyntheticResult(truth, metrics.fve, metrics.alive)


def heldout_rows(
    world: World, config: SyntheticRun
) -> Iterator[tuple[Float[Tensor, "batch d"], Float[Tensor, "batch features"]]]:
    """Rows that no training sees, whatever its seed, and the codes that made them."""
    source = SyntheticSource(world, _ROWS, seed=-1 - config.seed)
    for first in range(0, config.heldout, _ROWS):
        batch, codes = source.next_with_codes()
        rows = min(config.heldout - first, _ROWS)
        yield batch[POINT][:rows], codes.to_dense()[:rows]


def truth_table(results: Mapping[str, SyntheticResult]) -> Table:
    """What was found, as text: one row for each dictionary."""
    headers = [
        "Dictionary",
        "MCC",
        "Found (%)",
        "Precision",
        "Recall",
        "F1",
        "Shrinkage",
        "Duplicates",
        "L0",
        "FVE (%)",
    ]
    rows = [
        [
            name,
            f"{result.truth.mcc:.4f}",
            f"{100 * result.truth.found:.1f}",
            f"{result.truth.precision:.3f}",
            f"{result.truth.recall:.3f}",
            f"{result.truth.f1:.3f}",
            "–" if result.truth.shrinkage is None else f"{result.truth.shrinkage:.3f}",
            str(result.truth.duplicates),
            f"{result.truth.l0:.2f}",
            f"{100 * result.fve:.1f}",
        ]
        for name, result in results.items()
    ]
    notes = {f"True L0: {r.truth.true_l0:.2f}, on {r.truth.rows:,} held-out rows." for r in results.values()}
    return Table(headers, rows, sorted(notes))


def as_json(results: Mapping[str, SyntheticResult]) -> dict[str, Any]:
    """The figures as JSON values."""
    return {
        name: {**asdict(result.truth), "fve": result.fve, "alive": result.alive} for name, result in results.items()
    }


def _write(
    folder: Path,
    config: SyntheticRun,
    learners: Mapping[str, Learner],
    dictionaries: Mapping[str, Dictionary],
    results: Mapping[str, SyntheticResult],
    seconds: float,
) -> None:
    for name, dictionary in dictionaries.items():
        dictionary.metadata = {
            "name": name,
            "preset": None if config.world else config.preset,
            "recipe": to_dict(learners[name].recipe),
            "tokens": config.steps * config.batch_size,
            "seed": config.seed,
        }
        save(dictionary, folder / DICTIONARIES / name)
    dump_yaml(config, folder / CONFIG)
    write_json(folder / METRICS, {"dictionaries": as_json(results), "seconds": {"training": seconds}})


def _within(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """What tells each from the others of its recipe."""
    groups: dict[Any, list[Mapping[str, Any]]] = {}
    for own in settings:
        groups.setdefault(own["recipe"], []).append(own)
    words = {name: iter(suffixes(group)) for name, group in groups.items()}
    return [next(words[own["recipe"]]) for own in settings]
