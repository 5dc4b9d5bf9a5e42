"""The amortisation gap of saved dictionaries: what better codes than their encoders' would explain."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monosema.analysis.pursuit import Pursued, Pursuit
from monosema.dictionaries import Dictionary
from monosema.evaluation import Metrics, Table
from monosema.kernels.pursuit import Fit
from monosema.runs.evaluate import open_folder
from monosema.runs.measure import evaluate_heldout

TOKENS = 16_384


@dataclass(frozen=True)
class Amortisation:
    """A dictionary's metrics with its encoder's codes, with these features' best values, and with pursuit's codes."""

    encoder: Metrics
    refitted: Metrics
    pursued: Metrics

    @property
    def gap(self) -> float:
        """The amortisation gap: variance that pursuit explains and the encoder does not, as a share of all."""
        return self.pursued.fve - self.encoder.fve

    def as_json(self) -> dict[str, Any]:
        """The gap, and every metric of the three."""
        codes = {"encoder": self.encoder, "refitted": self.refitted, "pursued": self.pursued}
        return {"gap": self.gap, **{name: metrics.as_json() for name, metrics in codes.items()}}


def pursue_folder(
    folder: str | Path,
    *,
    k: int | None = None,
    fit: Fit = "least_squares",
    picks: int = Pursuit.picks,
    **options: Any,
) -> dict[str, Amortisation]:
    """Measures a saved dictionary, or every dictionary of a run, with three kinds of codes.

    Args:
        folder: a dictionary's folder or address, or a run's.
        k: most features that pursuit chooses at each token; by default as many as the encoder has there.
        fit, picks: how pursuit chooses.
        options: those of `open_folder`.

    Raises:
        InputError: no dictionary there, or nothing to measure it on.
    """
    dictionaries, heldout = open_folder(folder, **{"tokens": TOKENS, **options})
    ways = {"encoder": None, "refitted": Pursuit(refit_only=True), "pursued": Pursuit(k, fit, picks)}
    found: dict[str, Amortisation] = {}
    for name, dictionary in dictionaries.items():
        dictionary.eval()
        each: dict[str, Dictionary] = {
            way: dictionary if how is None else Pursued(dictionary, how) for way, how in ways.items()
        }
        measured = evaluate_heldout(each, heldout)
        found[name] = Amortisation(**{way: evaluation.metrics for way, evaluation in measured.items()})
    return found


def pursuit_table(found: dict[str, Amortisation]) -> Table:
    """Three rows for each dictionary, as text."""
    headers = ["Dictionary", "Codes", "Variance Explained (%)", "L0", "CE Diff", "% CE Recovered"]
    rows = [
        [
            name,
            way,
            f"{100 * m.fve:.1f}",
            f"{m.l0:.1f}",
            "–" if m.ce_diff is None else f"{m.ce_diff:.3f}",
            "–" if m.ce_recovered is None else f"{100 * m.ce_recovered:.1f}",
        ]
        for name, own in found.items()
        for way, m in (
            ("its encoder's", own.encoder),
            ("the same features, best values", own.refitted),
            ("pursuit", own.pursued),
        )
    ]
    gaps = ", ".join(f"{name} {100 * own.gap:.1f}" for name, own in found.items())
    return Table(headers, rows, [f"Amortisation gap, in points of variance explained: {gaps}."])
