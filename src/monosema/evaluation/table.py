"""The table that the field reads: one row for each dictionary."""

from collections.abc import Mapping
from typing import NamedTuple

from monosema.evaluation.cross_entropy import CrossEntropy
from monosema.evaluation.metrics import Metrics


class Table(NamedTuple):
    """Headers, formatted rows and the notes that belong below them."""

    headers: list[str]
    rows: list[list[str]]
    notes: list[str]

    def __str__(self) -> str:
        """Plain text: columns side by side, and the notes below."""
        columns = [
            [f"{cell:{'>' if i else '<'}{max(map(len, column))}}" for cell in column]
            for i, column in enumerate(zip(self.headers, *self.rows, strict=True))
        ]
        return "\n".join([*("  ".join(line).rstrip() for line in zip(*columns, strict=True)), *self.notes])


def table_rows(metrics: Mapping[str, Metrics]) -> Table:
    """The metrics of dictionaries, by name, as text: what the tables of published dictionaries show."""
    headers = ["Dictionary", "Variance Explained (%)", "L1", "L0", "% Alive", "CE Diff", "% CE Recovered"]
    rows = [
        [
            name,
            _percent(m.fve),
            f"{m.l1:.1f}",
            f"{m.l0:.1f}",
            _percent(m.alive),
            "–" if m.ce_diff is None else f"{m.ce_diff:.3f}",
            _percent(m.ce_recovered),
        ]
        for name, m in metrics.items()
    ]
    return Table(headers, rows, list(dict.fromkeys(_note(m) for m in metrics.values())))


def sites_table(metrics: Mapping[str, Metrics]) -> Table | None:
    """The metrics of each hook point that dictionaries write, as text; None where each writes one."""
    headers = ["Hook point", "Variance Explained (%)", "CE Diff", "% CE Recovered"]
    rows = [
        [
            f"{name}: {own.site}" if len(metrics) > 1 else own.site,
            _percent(own.fve),
            "–" if own.ce_diff is None else f"{own.ce_diff:.3f}",
            _percent(own.ce_recovered),
        ]
        for name, m in metrics.items()
        for own in m.sites or ()
    ]
    note = "Each hook point by itself: cross-entropy is that of the model with the activations there alone replaced."
    return Table(headers, rows, [note]) if rows else None


def together_table(together: CrossEntropy, dictionaries: int) -> Table:
    """What is left of the model's predictions with all dictionaries in it at once, as text."""
    headers = ["All at once", "CE", "CE Diff", "% CE Recovered", "KL"]
    assert together.ce_clean is not None
    spliced = [_percent(together.ce_recovered), f"{together.kl:.3f}"]
    rows = [
        [name, f"{ce:.3f}", f"{ce - together.ce_clean:.3f}", *rest]
        for name, ce, rest in (
            ("the model as it is", together.ce_clean, ["100.0", "0.000"]),
            (f"{dictionaries} dictionar{'y' if dictionaries == 1 else 'ies'}", together.ce_spliced, spliced),
            ("means in their places", together.ce_mean, ["–", "–"]),
            ("zeros in their places", together.ce_zero, ["0.0", "–"]),
        )
        if ce is not None
    ]
    tokens = f"Cross-entropy in nats, over {together.predicted_tokens:,} held-out tokens."
    return Table(headers, rows, [f"{tokens} Each reads what flows where it stands, as those before it have left it."])


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f}"


def _note(m: Metrics) -> str:
    """What the figures were measured on."""
    special = {
        None: "",
        True: ", special tokens among them",
        False: f"; {m.left_out_tokens:,} special tokens were neither measured nor replaced",
    }[m.includes_special_tokens]
    return f"% Alive: active on at least one of {m.tokens:,} held-out tokens{special}."
