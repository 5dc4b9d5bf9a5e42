"""A feature that has been pulled back, as tables and as JSON values."""

import math
from dataclasses import asdict
from typing import Any

from monosema.analysis.feeding import Feeding
from monosema.analysis.pullback import Direction
from monosema.analysis.render import one_line
from monosema.evaluation import Table
from monosema.runs.linearise import Linearised

_VIA = {
    "feature": "the feature",
    "mlp": "through the MLP",
    "norm": "through the norm",
    "part": "one part of the stream",
    "output": "through the output projection",
    "head": "through the head",
}


def linearise_tables(found: Linearised, n: int) -> list[Table]:
    """The way, then parts, heads, tokens and earlier features, as far as there are any."""
    tables = [_way(found)]
    if found.parts:
        rows = [[part, f"{value:+.3f}"] for part, value in found.parts.items()]
        tables.append(Table(["Added to the stream by", "Gives"], rows, []))
    if found.heads:
        headers = ["Head", "Position", "Gives"]
        rows = [
            [f"attn_z.{one.layer}.{one.head}", _token(found, one.source), f"{one.value:+.3f}"] for one in found.heads
        ]
        tables.append(Table(headers, rows, ["--through attn_z.L.H@P goes on through one of them."]))
    if found.read is not None:
        tables.append(_tokens(found))
    if found.feeding is not None:
        tables.append(_feeding(found.feeding, n))
    return tables


def _way(found: Linearised) -> Table:
    headers = [f"{found.dictionary}, feature {found.feature}", "Hook point", "Position", "Linear", "Rest"]
    headers += ["Correlation", "Explained (%)"]
    rows = []
    for i, place in enumerate(found.way):
        numbers = [f"{place.linear:+.3f}", f"{place.constant:+.3f}"]
        agreement = found.agreements.get(i)
        tested = ["", ""] if agreement is None else [f"{agreement.correlation:.3f}", f"{100 * agreement.explained:.1f}"]
        rows.append([_VIA[place.via], place.point, _token(found, place.position), *numbers, *tested])
    fires = f"of which the code is {found.code:.3f}" if found.code else "with which the feature does not fire"
    notes = [f"Pre-activation {found.way[0].value:.3f}, {fires}: linear and rest, anywhere on the way."]
    if found.agreements:
        tokens = next(iter(found.agreements.values())).tokens
        notes.append(
            "Correlation: of the same linear function with what it stands for, at the "
            f"{tokens:,} tokens of held-out text on which the feature fires; explained: of its variance there."
        )
    return Table(headers, rows, notes)


def _token(found: Linearised, position: int) -> str:
    return f"{position} «{one_line(found.tokens[position])}»"


def _tokens(found: Linearised) -> Table:
    assert found.read is not None
    columns = [
        [
            (found.texts[token], f"{value:+.3f}")
            for token, value in zip(ids[0].tolist(), values[0].tolist(), strict=True)
        ]
        for ids, values in (
            (found.read.top_tokens, found.read.top_values),
            (found.read.bottom_tokens, found.read.bottom_values),
        )
    ]
    rows = [
        [f"«{up}»", gives, f"«{one_line(down)}»", takes] for (up, gives), (down, takes) in zip(*columns, strict=True)
    ]
    end = found.way[-1].point
    return Table([f"Embeddings along {end}", "Most", "against it", "Least"], rows, [])


def _feeding(feeding: Feeding, n: int) -> Table:
    rows = [
        [
            f"feature {i}",
            f"{feeding.connections[i]:+.4f}",
            f"{feeding.codes[i]:.3f}",
            f"{feeding.contributions[i]:+.3f}",
        ]
        for i in _fed(feeding, n)
    ]
    notes = ["Those that give most at this token, then those with the largest connections, whatever the input."]
    return Table(["Fed by", "Connection", "Code", "Gives"], rows, notes)


def _fed(feeding: Feeding, n: int) -> list[int]:
    """The features that give most at the token, then those with the largest connections, each once."""
    gives = feeding.contributions.abs()
    most = gives.topk(min(n, int(gives.count_nonzero()))).indices.tolist()
    return list(dict.fromkeys([*most, *feeding.connections.abs().topk(min(n, len(gives))).indices.tolist()]))


def linearise_json(found: Linearised, n: int) -> dict[str, Any]:
    """The same as JSON values."""
    read = {}
    if found.read is not None:
        for name in ("top", "bottom"):
            ids, values = (getattr(found.read, f"{name}_{what}")[0].tolist() for what in ("tokens", "values"))
            read[name] = [
                {"id": token, "token": found.texts[token], "value": value}
                for token, value in zip(ids, values, strict=True)
            ]
    feeding = found.feeding
    return {
        "dictionary": found.dictionary,
        "feature": found.feature,
        "position": found.position,
        "tokens": found.tokens,
        "preactivation": found.way[0].value,
        "code": found.code,
        "way": [_place(found, i, place) for i, place in enumerate(found.way)],
        "parts": found.parts,
        "heads": [one._asdict() for one in found.heads],
        "read": read,
        "fed_by": [
            {
                "feature": i,
                "connection": feeding.connections[i].item(),
                "code": feeding.codes[i].item(),
                "contribution": feeding.contributions[i].item(),
            }
            for i in _fed(feeding, n)
        ]
        if feeding is not None
        else [],
    }


def _place(found: Linearised, i: int, place: Direction) -> dict[str, Any]:
    agreement = found.agreements.get(i)
    numbers = {} if agreement is None else asdict(agreement)
    tested = {name: None if math.isnan(value) else value for name, value in numbers.items()}
    return {
        "via": place.via,
        "point": place.point,
        "position": place.position,
        "linear": place.linear,
        "constant": place.constant,
        "norm": place.vector.norm().item(),
        "agreement": tested or None,
    }
