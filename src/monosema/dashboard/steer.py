"""Steering from the page: text with and without, and dose beside response."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import torch

from monosema.activations.tokens import TokeniseDocuments
from monosema.analysis import TokenTexts, logit_effects
from monosema.analysis.dose import dose_response
from monosema.analysis.steering import generate, steering
from monosema.dashboard.steer_contract import Continuation, Doses, Steered, SteerRequest
from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.features import FeatureStore
from monosema.features.pairs import spread_contexts
from monosema.models import LoadedModel, read

if TYPE_CHECKING:
    from monosema.models import Readable

DOSE_TOKENS, CONTROLS = 1024, 3
"""Of the store's text, that doses are measured on; and random directions."""


def can_steer(dictionary: Dictionary, model: "Readable") -> bool:
    """Whether a dictionary's features can be steered while the model writes."""
    alone = len(dictionary.spec.writes) == 1 or dictionary.spec.cross_layer
    return isinstance(model, LoadedModel) and model.predicts_next and model.tokenizer is not None and alone


@torch.no_grad()
def steered_text(store: FeatureStore, dictionary: Dictionary, model: "Readable", asked: SteerRequest) -> Steered:
    """What the model writes after a prompt, as it is and steered, with the features' activations on both.

    Raises:
        InputError: the model cannot be steered or read the prompt, or the dictionary does not have a feature.
    """
    loaded = _steerable(dictionary, model)
    for steer in asked.steers:
        store.feature(steer.feature)
    (ids,) = TokeniseDocuments(loaded.tokenizer)([asked.prompt]) if asked.prompt else ([],)
    if not ids or (loaded.max_context and len(ids) >= loaded.max_context):
        expected = f"1 to {(loaded.max_context or 0) - 1}" if loaded.max_context else "at least 1"
        raise InputError(f"a prompt of {len(ids)} tokens", expected=expected)
    how = {"temperature": asked.temperature, "seed": asked.seed}
    plain = generate(loaded, ids, asked.tokens, **how)
    with steering(loaded, dictionary, asked.steers):
        steered = generate(loaded, ids, asked.tokens, **how)
    features = list(dict.fromkeys(steer.feature for steer in asked.steers))
    return {
        "prompt": len(ids),
        "features": features,
        "max": [store.feature(feature).high for feature in features],
        "plain": _continuation(dictionary, loaded, [*ids, *plain], features),
        "steered": _continuation(dictionary, loaded, [*ids, *steered], features),
    }


def doses(
    store: FeatureStore, dictionary: Dictionary, model: "Readable", feature: int, strengths: Sequence[float]
) -> Doses:
    """How the model answers to a feature's direction on some of the store's text, beside random directions.

    Raises:
        InputError: the model cannot be steered, or the dictionary does not have the feature.
    """
    loaded = _steerable(dictionary, model)
    store.feature(feature)
    effects = logit_effects(dictionary, loaded, [feature])
    ids = torch.from_numpy(store.contexts_ids(spread_contexts(store, DOSE_TOKENS)))
    found = dose_response(dictionary, loaded, ids, feature, strengths, controls=CONTROLS)
    texts = TokenTexts(loaded.tokenizer)
    promoted = [] if effects is None else [texts([token])[0] for token in effects.top_tokens[0].tolist()]
    return {
        "feature": feature,
        "promoted": promoted,
        "tokens": ids.numel(),
        "controls": CONTROLS,
        "responses": [{**asdict(one)} for one in found],  # pyright: ignore[reportReturnType]  the same names
    }


def _steerable(dictionary: Dictionary, model: "Readable") -> LoadedModel:
    if not can_steer(dictionary, model) or not isinstance(model, LoadedModel):
        raise InputError(
            f"steering of {model.name}",
            expected="one model that writes text, and a dictionary of one hook point or of cross-layer features",
        )
    return model


def _continuation(dictionary: Dictionary, model: LoadedModel, ids: list[int], features: list[int]) -> Continuation:
    """Tokens, and what the features are on each as the model reads them without steering."""
    point = " & ".join(dictionary.spec.reads)
    x = read(model, torch.tensor([ids]), [point])[point][0].to(dictionary.W_enc)
    codes = dictionary.encode(x)[:, features]
    values = codes.masked_fill(torch.tensor([i in model.special_ids for i in ids]).to(x.device)[:, None], 0)
    return {
        "tokens": TokenTexts(model.tokenizer)(ids),
        "values": [[round(v, 4) for v in own] for own in values.T.tolist()],
    }
