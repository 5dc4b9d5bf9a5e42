"""What dictionaries share, as a table and as JSON."""

from dataclasses import asdict
from typing import Any

from monosema.analysis.stability import Interval
from monosema.evaluation import Table
from monosema.runs.compare import Compared, Shared


def compare_tables(found: Compared) -> list[Table]:
    """A row for each two dictionaries, in both directions."""
    thresholds = list(found.by_all)
    shares = [f"Partner ≥ {t:g} (%)" for t in thresholds]
    headers = ["First → second", "Features", *shares, "Max cosine", *(f"Random: ≥ {t:g}" for t in thresholds[:1])]
    rows = [
        [
            f"{row.first} → {row.second}",
            f"{row.features:,}",
            *(_percent(row.partner[t]) for t in thresholds),
            f"{row.nearest.value:.3f}",
            f"{100 * row.random['covariance'][0][thresholds[0]]:.1f}, max {row.random['covariance'][1]:.3f}",
        ]
        for row in found.pairs
    ]
    return [Table(headers, rows, _notes(found))]


def _notes(found: Compared) -> list[str]:
    alive = "dead features among them" if found.tokens is None else f"that fire on {found.tokens:,} held-out tokens"
    how = "the matching with the largest sum" if all(row.exact for row in found.pairs) else "the most similar both ways"
    notes = [
        f"Share of the first's features, {alive}, whose partner, one to one, has at least that cosine of their "
        f"{found.side} directions; partners are those of {how}. Max cosine: with any of the second's, on average. In "
        "brackets 95 % of bootstrap resamples of the features, with dictionaries and partners as they are. Random: "
        "directions with the second's covariance."
    ]
    if len(found.pairs) > 2:
        shares = ", ".join(f"{_percent(interval)} % at {t:g}" for t, interval in found.by_all.items())
        notes.append(f"{found.pairs[0].first}: features with a partner in every other dictionary: {shares}.")
    return notes


def _percent(interval: Interval) -> str:
    return f"{100 * interval.value:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def compare_json(found: Compared) -> dict[str, Any]:
    """All figures."""
    return {
        "side": found.side,
        "alive_on_tokens": found.tokens,
        "shared_by_all": {f"{t:g}": _rounded(interval) for t, interval in found.by_all.items()},
        "pairs": [_pair(row) for row in found.pairs],
    }


def _pair(row: Shared) -> dict[str, Any]:
    return {
        "first": row.first,
        "second": row.second,
        "features": row.features,
        "others": row.others,
        "matching": "best" if row.exact else "mutual",
        "partner": {f"{t:g}": _rounded(interval) for t, interval in row.partner.items()},
        "mean_max_cosine": _rounded(row.nearest),
        "random": {
            kind: {"partner": {f"{t:g}": round(s, 5) for t, s in shares.items()}, "mean_max_cosine": round(nearest, 5)}
            for kind, (shares, nearest) in row.random.items()
        },
    }


def _rounded(interval: Interval) -> dict[str, float]:
    return {name: round(x, 5) for name, x in asdict(interval).items()}
