"""Which features of saved dictionaries cause what a model says after a prompt, by gradient and by removal."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from monosema.analysis.attribution import agreement, attribute, logit_of, loss_of, removal_of_each
from monosema.analysis.tokens import token_strings
from monosema.circuits import held_at
from monosema.device import pick_device
from monosema.errors import InputError
from monosema.evaluation import Table
from monosema.models import LoadedModel
from monosema.runs.evaluate import dictionaries_in, model_of
from monosema.runs.features import first_named
from monosema.runs.prompts import one_model, prompt_ids


@dataclass(frozen=True)
class Effect:
    """What one feature at one token of the prompt does to the measure."""

    position: int
    token: str
    feature: int
    value: float
    """Its code."""
    gradient: float
    """Gradient × code."""
    removed: float
    """How much smaller the measure is without the feature there: the model run again."""


@dataclass(frozen=True)
class Effects:
    """The features with the largest effects on a measure."""

    measure: str
    dictionary: str
    effects: list[Effect]
    active: int
    """Features that are active on the prompt, counted at each token."""
    error: float
    """Gradient × what the dictionary does not reconstruct, over all tokens."""
    agreement: float | None
    """Correlation of gradient and removal over these features; None of fewer than two."""


def attribute_folder(
    folder: str | Path,
    prompt: str,
    *,
    token: str | None = None,
    against: str | None = None,
    loss: bool = False,
    held: bool = False,
    name: str | None = None,
    n: int = 20,
    model: str | None = None,
    device: str = "auto",
) -> Effects:
    """The features with the largest effects on the next token's logit, a difference of two, or a prompt's loss.

    Args:
        folder: a dictionary's folder or address, or a run's.
        prompt: the text.
        token: whose logit after the prompt is explained, less the mean of all logits; by default the likeliest.
        against: a token whose logit is taken off instead.
        loss: explain the prompt's own cross-entropy.
        held: keep attention patterns and norms as they are on the prompt, in both kinds of effects.
        name: which of a run's dictionaries; by default the first.
        n: how many features, which are also removed, one at a time.
        model: another model.
        device: where to compute.

    Raises:
        InputError: no such dictionary or token, or no model that predicts the next token.
    """
    if n < 1 or (loss and (token or against)):
        raise InputError(f"{n} features, a token beside --loss", expected="at least one, and one of the two")
    dictionaries = dictionaries_in(folder)
    chosen = first_named(list(dictionaries), name)[0]
    dictionary = dictionaries[chosen].to(pick_device(device)).eval()
    loaded = one_model(model_of({chosen: dictionary}, model=model, device=device), "attribution")
    loaded.module.float()  # effects are small beside what flows
    ids = prompt_ids(loaded, prompt)
    texts = token_strings(loaded.tokenizer, ids)
    if loss:
        measure, said = loss_of(ids), "cross-entropy of the prompt"
    else:
        own = _token(loaded, token) if token is not None else _likeliest(loaded, ids)
        other = None if against is None else _token(loaded, against)
        measure = logit_of(own, other)
        rest = "the mean of all" if other is None else repr(_text(loaded, other))
        said = f"logit of {_text(loaded, own)!r} less {rest}"
    if held:
        loaded = held_at(loaded, ids)
    found = attribute(loaded, {chosen: dictionary}, ids, measure)[chosen]
    top = found.effects.abs().topk(min(n, len(found.effects))).indices
    removed = removal_of_each(loaded, dictionary, ids, measure, found, top)
    columns = (found.positions, found.features, found.values, found.effects)
    rows = zip(*(column[top].tolist() for column in columns), removed.tolist(), strict=True)
    effects = [Effect(at, texts[at], feature, *figures) for at, feature, *figures in rows]
    agreed = agreement(found.effects[top], removed) if len(top) > 1 else None
    return Effects(said, chosen, effects, len(found.effects), float(found.error.sum()), agreed)


def _likeliest(model: LoadedModel, ids: Sequence[int]) -> int:
    with torch.no_grad():
        return int(model.logits(torch.tensor([list(ids)]))[0, -1].argmax())


def _token(model: LoadedModel, text: str) -> int:
    """The token that a text is.

    Raises:
        InputError: it is none, or several.
    """
    assert model.tokenizer is not None  # or the prompt could not have been tokenised
    ids = model.tokenizer.encode(text, add_special_tokens=False)
    if len(ids) != 1:
        parts = " ".join(repr(part) for part in token_strings(model.tokenizer, ids))
        raise InputError(f"{text!r}, which is {len(ids)} tokens ({parts})", expected="one token", hint="mind the space")
    return ids[0]


def _text(model: LoadedModel, token: int) -> str:
    return token_strings(model.tokenizer, [token])[0]


def effects_table(found: Effects) -> Table:
    """A row for each feature, as text."""
    headers = ["Feature", "At", "Code", "Gradient × code", "Removed"]
    rows = [
        [str(e.feature), f"{e.position} {e.token!r}", f"{e.value:.2f}", f"{e.gradient:+.3f}", f"{e.removed:+.3f}"]
        for e in found.effects
    ]
    agreed = "" if found.agreement is None else f" Correlation of the two: {found.agreement:.3f}."
    note = (
        f"What of the {found.measure} comes from each of the largest {len(rows)} of {found.active:,} active features "
        f"of {found.dictionary}: to first order, and what is gone without the feature at that token.{agreed} What the "
        f"dictionary does not reconstruct: {found.error:+.3f}."
    )
    return Table(headers, rows, [note])
