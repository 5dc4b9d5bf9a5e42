"""What makes a feature of a saved dictionary fire in a prompt, as directions further and further back."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from monosema.activations.filters import not_special
from monosema.analysis import TokensRead, TokenTexts, token_strings
from monosema.analysis.deembed import de_embedding
from monosema.analysis.feeding import Feeding, comes_before, feeding_features
from monosema.analysis.linearise import Agreement, agreement, feature_direction
from monosema.analysis.pullback import Direction
from monosema.analysis.pullback_path import HeadSource, strongest_heads, way_back
from monosema.analysis.stream import STREAMS
from monosema.analysis.stream_parts import stream_parts
from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.evaluation.splice import hook_points
from monosema.models import LoadedModel, read
from monosema.progress import progress
from monosema.runs.evaluate import dictionaries_in, model_of, open_folder
from monosema.runs.features import first_named
from monosema.runs.prompts import prompt_ids

TOKENS, CONTEXTS = 16_384, 8
_POSITIONWISE = ("mlp", "norm")


@dataclass(frozen=True)
class Linearised:
    """Where a feature's pre-activation at one token of a prompt comes from."""

    dictionary: str
    feature: int
    position: int
    code: float
    tokens: list[str]
    """The prompt's, with the separator before it."""
    way: list[Direction]
    agreements: dict[int, Agreement]
    """How well places of the way do at tokens of held-out text on which the feature fires, by index."""
    parts: dict[str, float]
    """What each part of the stream gives at the end of the way."""
    heads: list[HeadSource]
    read: TokensRead | None
    """The tokens along the end of the way, where that is in the stream."""
    texts: dict[int, str]
    """Of the tokens that were read."""
    feeding: Feeding | None
    """What an earlier dictionary's features give to the last place of the way that they come before."""


def linearise_folder(
    folder: str | Path,
    feature: int,
    prompt: str,
    *,
    position: int | None = None,
    name: str | None = None,
    through: Sequence[str] = (),
    earlier: str | None = None,
    exact_norm: bool = False,
    effective: bool = False,
    tokens: int = TOKENS,
    text: str | None = None,
    model: str | None = None,
    device: str = "auto",
    n: int = 10,
) -> Linearised:
    """Pulls a feature back from one token of a prompt. The model computes in float32, as gradients need.

    Args:
        folder: a dictionary's folder or address, or a run's.
        feature: which.
        prompt: the text.
        position: the token that is looked at, counted from the separator before the text; by default the one with the
            largest pre-activation.
        name: which of a run's dictionaries; by default the first.
        through: what to go through from the stream on, as `way_back` takes it.
        earlier: another of the run's dictionaries, whose features feed this one.
        exact_norm: take exact gradients of norms, in place of holding their scale fixed.
        effective: name directions by `effective_embeddings`, in place of those that are stored.
        tokens: of held-out text, to test the way on where the feature fires; 0 leaves the test out.
        text: another text to test on.
        model: another model.
        device: where to compute.
        n: heads, tokens and earlier features to list.

    Raises:
        InputError: no such dictionary, feature or position, or it cannot be pulled back.
    """
    dictionaries, loaded, contexts = _opened(folder, tokens, text, model, device)
    chosen = first_named(list(dictionaries), name)[0]
    dictionary = dictionaries[chosen]
    others = None if earlier is None else dictionaries[first_named(list(dictionaries), earlier)[0]]
    ids = _ids(loaded, prompt)
    codes, pre = _codes(dictionary, loaded, ids, feature)
    if position is None:
        position = int(pre.masked_fill(~not_special(ids, loaded.special_ids), -torch.inf).argmax())
    _, own = feature_direction(dictionary, loaded, ids, position, feature)
    way = way_back(loaded, ids, own, through, frozen=not exact_norm)
    last = way[-1]
    in_stream = last.point.partition(".")[0] in STREAMS
    found = de_embedding(loaded, last, n, effective=effective) if in_stream or last.point == "embed" else None
    return Linearised(
        dictionary=chosen,
        feature=feature,
        position=position,
        code=codes[position].item(),
        tokens=token_strings(loaded.tokenizer, ids.tolist()),
        way=way,
        agreements={} if contexts is None else _agreements(dictionary, loaded, way, feature, contexts),
        parts=stream_parts(loaded, ids, last) if in_stream else {},
        heads=strongest_heads(loaded, ids, last, n),
        read=found,
        texts=_texts(loaded, found),
        feeding=None if others is None else _feeding(others, loaded, ids, way),
    )


def _opened(
    folder: str | Path, tokens: int, text: str | None, model: str | None, device: str
) -> tuple[dict[str, Dictionary], LoadedModel, Int[Tensor, "n length"] | None]:
    """Dictionaries, their model in float32 and, where some are wanted, contexts of held-out text."""
    if tokens:
        dictionaries, heldout = open_folder(folder, tokens=tokens, text=text, model=model, device=device)
        loaded, contexts = heldout.model, heldout.contexts
    else:
        dictionaries, contexts = dictionaries_in(folder), None
        loaded = model_of(dictionaries, model=model, device=device)
    if not isinstance(loaded, LoadedModel):
        raise InputError(f"{folder}, which was made from activations or two models", expected="dictionaries of one")
    loaded.module.float()
    return {name: made.to(loaded.device).eval() for name, made in dictionaries.items()}, loaded, contexts


def _ids(model: LoadedModel, prompt: str) -> Int[Tensor, " position"]:
    ids = prompt_ids(model, prompt)
    if not ids:
        raise InputError("an empty prompt", expected="a text on which the feature is looked at")
    return torch.tensor(ids)


@torch.no_grad()
def _codes(
    dictionary: Dictionary, model: LoadedModel, ids: Int[Tensor, " position"], feature: int
) -> tuple[Float[Tensor, " position"], Float[Tensor, " position"]]:
    """The feature's codes and pre-activations in the prompt."""
    if not 0 <= feature < dictionary.spec.width:
        raise InputError(f"feature {feature}", expected=f"0 to {dictionary.spec.width - 1}, as the dictionary has")
    reads, _ = hook_points(dictionary)
    x = read(model, ids[None], [reads])[reads][0].to(dictionary.W_enc.device)
    return dictionary.encode(x)[:, feature].cpu(), dictionary.preactivations(x)[:, feature].cpu()


@torch.no_grad()
def _agreements(
    dictionary: Dictionary, model: LoadedModel, way: list[Direction], feature: int, contexts: Int[Tensor, "n length"]
) -> dict[int, Agreement]:
    """Of each place that MLPs and norms alone have led to, with where they set out, where the feature fires."""
    origins = {}
    for i, place in enumerate(way):
        if place.via in _POSITIONWISE:
            origins[i] = origins.get(i - 1, i - 1)
    if not origins:
        return {}
    points = sorted({way[i].point for pair in origins.items() for i in pair})
    reads, _ = hook_points(dictionary)
    rows: dict[str, list[Tensor]] = {point: [] for point in points}
    with progress("testing", contexts.numel(), "tokens") as bar:
        for ids in contexts.split(CONTEXTS):
            found = read(model, ids, list({reads, *points}))
            fires = torch.stack([dictionary.encode(x)[:, feature] != 0 for x in found[reads]])
            fires &= not_special(ids, model.special_ids).to(fires.device)
            for point in points:
                rows[point].append(found[point][fires].cpu())
            bar.advance(ids.numel())
    joined = {point: torch.cat(parts) for point, parts in rows.items()}
    return {i: agreement(way[origin], way[i], joined) for i, origin in origins.items()}


def _feeding(earlier: Dictionary, model: LoadedModel, ids: Int[Tensor, " position"], way: list[Direction]) -> Feeding:
    later = [place for place in way if comes_before(earlier, model, place)]
    return feeding_features(earlier, model, ids, (later or way)[-1])


def _texts(model: LoadedModel, read: TokensRead | None) -> dict[int, str]:
    ids = [] if read is None else [*read.top_tokens[0].tolist(), *read.bottom_tokens[0].tolist()]
    texts = TokenTexts(model.tokenizer)
    return {token: texts([token])[0] for token in ids}
