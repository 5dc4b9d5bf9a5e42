"""What probes have told, as tables and as JSON."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from statistics import mean
from typing import Any

from monosema.analysis.probing import Score, Task
from monosema.evaluation import Table
from monosema.runs.probe import ACTIVATIONS, CODES, Probed

Results = Sequence[tuple[Task, dict[str, list[Score]]]]


def probe_tables(found: Probed) -> list[Table]:
    """Of each label a table of accuracies by space and k; of each class its best single feature."""
    notes = [
        f"Accuracy in %, chance 50, over classes: each against as many of the rest, {found.fires.examples:,} examples "
        f"of {found.documents:,} documents of {found.text}, none of them in training and test. k columns with the "
        "largest difference of means, chosen on training documents; all: every column, C and scaling chosen there, too."
    ]
    *labels, last = _labels(found.results)
    tables = [_accuracies(label, found.results, []) for label in labels]
    return [*tables, _accuracies(last, found.results, notes), _single_features(found)]


def probe_json(found: Probed) -> dict[str, Any]:
    """Every score, as mean and by fold; of codes the features that all folds have chosen."""
    return {
        "dictionary": found.name,
        "reads": list(found.reads),
        "text": found.text,
        "documents": found.documents,
        "fires": asdict(found.fires),
        "warning": found.fires.warning,
        "left_out": found.left_out,
        "mean_accuracy": {label: _means(label, found.results) for label in _labels(found.results)},
        "tasks": [_task(task, scores) for task, scores in found.results],
    }


def _labels(results: Results) -> list[str]:
    return list(dict.fromkeys(task.label for task, _ in results))


def _means(label: str, results: Results) -> dict[str, dict[str, float]]:
    """Of each space the accuracy by k, over the label's tasks."""
    own = [scores for task, scores in results if task.label == label]
    return {
        space: {
            _k(score): round(mean(mean(scores[space][i].accuracy) for scores in own), 4)
            for i, score in enumerate(own[0][space])
        }
        for space in own[0]
    }


def _accuracies(label: str, results: Results, notes: list[str]) -> Table:
    means = _means(label, results)
    ks = list(dict.fromkeys(k for row in means.values() for k in row))
    tasks = sum(task.label == label for task, _ in results)
    of = f"{label}, of {tasks} classes" if tasks > 1 else label
    rows = [[space, *(f"{100 * row[k]:.1f}" if k in row else "–" for k in ks)] for space, row in means.items()]
    return Table([of, *(f"k = {k}" if k != "all" else k for k in ks)], rows, notes)


def _single_features(found: Probed) -> Table:
    """The feature that most folds have chosen first, with what one feature tells."""
    headers = ["Class", "% of examples", "Best feature", "Folds", "Accuracy", "AUC", "AUC of all activations"]
    rows = []
    for task, scores in found.results:
        one = next((score for score in scores[CODES] if score.k == 1), None)
        if one is None:
            continue
        (feature, folds), *_ = Counter(columns[0] for columns in one.columns).most_common()
        figures = [
            f"{100 * mean(one.accuracy):.1f}",
            f"{mean(one.auc):.3f}",
            f"{mean(scores[ACTIVATIONS][-1].auc):.3f}",
        ]
        name = f"{task.label}: {task.positive}"
        rows.append([name, f"{100 * task.share:.1f}", str(feature), f"{folds} of {len(one.columns)}", *figures])
    return Table(headers, rows, [_firing(found), *_remarks(found)])


def _firing(found: Probed) -> str:
    fires = found.fires
    return (
        f"{found.name}: {fires.at_all:,} of {fires.width:,} features fire on the examples, {fires.often:,} on at least "
        f"1 % of them, {fires.l0:.1f} on each."
    )


def _remarks(found: Probed) -> list[str]:
    left = [f"In too few documents to be told: {name}: {', '.join(own)}." for name, own in found.left_out.items()]
    return [*([found.fires.warning] if found.fires.warning else []), *left]


def _task(task: Task, scores: dict[str, list[Score]]) -> dict[str, Any]:
    return {
        "label": task.label,
        "class": task.positive,
        "examples": len(task.rows),
        "share": round(task.share, 5),
        "scores": {space: [_score(score, space) for score in own] for space, own in scores.items()},
    }


def _score(score: Score, space: str) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "k": _k(score),
        "accuracy": round(mean(score.accuracy), 4),
        "auc": round(mean(score.auc), 4),
        "accuracy_by_fold": [round(x, 4) for x in score.accuracy],
    }
    if score.k is None:
        return {**figures, "fits": [asdict(fit) for fit in score.fits]}
    if space == CODES:
        every = set(score.columns[0]).intersection(*score.columns[1:])
        figures["features_of_every_fold"] = [feature for feature in score.columns[0] if feature in every]
    return figures


def _k(score: Score) -> str:
    return "all" if score.k is None else str(score.k)
