"""What the heads of an attention layer do, by dictionaries that lie on disk: figures, and a page to look at."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from monosema.activations.filters import not_special
from monosema.analysis import Example, middling_features, top_examples
from monosema.analysis.heads import FiringSums as Sums
from monosema.analysis.heads import Heads, check_heads, chosen_features, compare, written
from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.evaluation import Evaluation, Table, evaluate
from monosema.files import write_text
from monosema.models import Readable, read
from monosema.progress import progress
from monosema.runs.drawing import DARK, LIGHT
from monosema.runs.evaluate import open_folder
from monosema.runs.report import Feature, page_template, shown_tokens

FEATURES, EXAMPLES, REPEATS, CONTEXTS = 4, 3, 8, 8


@dataclass(frozen=True)
class HeadsOfDictionary:
    """What was found of one dictionary's heads."""

    evaluation: Evaluation
    heads: Heads
    examples: dict[int, list[Example]]
    """The strongest examples of the features that are shown."""


def heads_of_folder(folder: str | Path, **options: Any) -> dict[str, HeadsOfDictionary]:
    """The heads of every dictionary of a folder that has a block for each, by name.

    The options are those of `open_folder`.

    Raises:
        InputError: there is no such dictionary, or its model or text cannot be used.
    """
    dictionaries, heldout = open_folder(folder, **options)
    if heldout.model is None or heldout.contexts is None:
        raise InputError(f"{folder}, which was made from a file of activations", expected="a model with heads")
    chosen = {name: d for name, d in dictionaries.items() if d.spec.blocks > 1} or dictionaries
    for dictionary in chosen.values():
        check_heads(dictionary, heldout.model)
    found = evaluate(chosen, heldout.model, heldout.contexts)
    return {name: _heads(d, heldout.model, heldout.contexts, found[name]) for name, d in chosen.items()}


def _heads(
    dictionary: Dictionary, model: Readable, contexts: Int[Tensor, "n length"], found: Evaluation
) -> HeadsOfDictionary:
    heads = check_heads(dictionary, model)
    chosen = chosen_features(found.density, heads)
    features = torch.cat(chosen)
    if not len(features):
        raise InputError("a dictionary whose features never fire", expected="some that do")
    sums = _sums(dictionary, model, contexts, features)
    compared = compare(sums, written(dictionary, model, features), chosen, found.density)
    shown = [feature for own in _shown(found.density, heads) for feature in own]
    shown += [feature for repeat in compared.repeats[:REPEATS] for feature in repeat.features]
    examples = top_examples(dictionary, model, contexts, list(dict.fromkeys(shown)), n=EXAMPLES)
    return HeadsOfDictionary(found, compared, examples)


@torch.no_grad()
def _sums(
    dictionary: Dictionary, model: Readable, contexts: Int[Tensor, "n length"], features: Int[Tensor, " some"]
) -> Sums:
    (point,) = dictionary.spec.reads
    assert model.vocabulary is not None
    sums = Sums(len(features), model.vocabulary)
    with progress("comparing heads", contexts.numel(), "tokens") as bar:
        for ids in contexts.split(CONTEXTS):
            x = read(model, ids, [point])[point].to(dictionary.W_enc.device)
            fires = torch.stack([dictionary.encode(rows)[:, features.to(x.device)] > 0 for rows in x])
            sums.add(fires.cpu(), ids, not_special(ids, model.special_ids))
            bar.advance(ids.numel())
    return sums


def _shown(density: Float[Tensor, " width"], heads: int) -> list[list[int]]:
    """Features of middling density of each head."""
    width = len(density) // heads
    return [
        [head * width + feature for feature in middling_features(own, n=FEATURES)] if own.any() else []
        for head, own in enumerate(density.chunk(heads))
    ]


def heads_table(name: str, found: HeadsOfDictionary) -> Table:
    """A row for each head, as text."""
    headers = [name, "L0", "Live features", "Topics", "of any heads'", "Fire together", "Repeated"]
    rows = [
        [
            f"head {number}",
            f"{head.l0:.2f}",
            f"{head.live:,}",
            f"{head.topics:.1f}",
            f"{head.topics_of_any:.1f}",
            f"{head.together} of {head.compared}",
            f"{head.repeated}",
        ]
        for number, head in enumerate(found.heads.heads)
    ]
    metrics = found.evaluation.metrics
    notes = [
        f"On {metrics.tokens:,} held-out tokens; of a head's 64 features that fire most, on at most 10 % of tokens. "
        "Topics: how many different ones they have, by the tokens up to where they fire; 1 if all have the same one; "
        "beside it, of as many features from all heads.",
        "Fire together: a feature of another head fires on the same tokens, half or more of those where either does. "
        "Repeated: it also writes the same into the stream, with a cosine of 0.7 or more.",
    ]
    return Table(headers, rows, notes)


def heads_json(found: HeadsOfDictionary) -> dict[str, Any]:
    """The figures as JSON values."""
    return {
        "metrics": found.evaluation.metrics.as_json(),
        "heads": [asdict(head) for head in found.heads.heads],
        "repeats": [asdict(repeat) for repeat in found.heads.repeats],
        "pairs": found.heads.pairs.tolist(),
    }


@dataclass(frozen=True)
class _Section:
    """What the page says of one dictionary."""

    name: str
    table: Table
    pairs: list[list[int]]
    repeats: Sequence[tuple[Any, Sequence[Feature]]]
    heads: Sequence[tuple[int, Sequence[Feature]]]


def write_heads(path: Path, found: dict[str, HeadsOfDictionary]) -> None:
    """Writes a page that shows each head's figures and features, and the features that repeat."""
    page = page_template("heads.html").render(
        sections=[_section(name, one) for name, one in found.items()], themes={"light": LIGHT, "dark": DARK}
    )
    write_text(path, page)


def _section(name: str, found: HeadsOfDictionary) -> _Section:
    def feature(index: int) -> Feature:
        examples = found.examples[index]
        tokens = [(example, shown_tokens(example, examples)) for example in examples]
        return Feature(index, float(found.evaluation.density[index]), tokens)

    heads = _shown(found.evaluation.density, len(found.heads.heads))
    return _Section(
        name,
        heads_table(name, found),
        found.heads.pairs.tolist(),
        [(repeat, [feature(index) for index in repeat.features]) for repeat in found.heads.repeats[:REPEATS]],
        [(number, [feature(index) for index in own]) for number, own in enumerate(heads)],
    )
