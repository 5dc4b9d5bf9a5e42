"""What a feature is made of, as the page shows it."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from monosema.analysis import (
    AlignedNeurons,
    TokenTexts,
    aligned_neurons,
    encoder_decoder_cosines,
    head_shares,
    largest_entries,
    tokens_read,
)
from monosema.analysis.aligned import NeuronsBeside
from monosema.analysis.composition import shares_of_norms
from monosema.dictionaries import Dictionary
from monosema.features import FeatureStore

if TYPE_CHECKING:
    from monosema.models import Readable

SHOWN = 10


def heads_of(store: FeatureStore, dictionary: Dictionary, model: "Readable") -> np.ndarray | None:
    """The share of each head in every feature's direction, `[width, heads]`; None where no heads lie side by side.

    It is what the store's norms say; a store that has none may be an old one, and then the dictionary is asked.
    """
    norms = store.head_norms()
    if norms is None:
        found = head_shares(dictionary, model, range(dictionary.spec.width))
    else:
        found = shares_of_norms(torch.from_numpy(norms))
    return None if found is None else found.numpy().round(4)


def neurons_of(dictionary: Dictionary, model: "Readable", feature: int, beside: NeuronsBeside | None) -> list[Any]:
    """The neurons that write its direction or read it; where none are known, the entries that most of it lies along."""
    if beside is None:
        return [_entries(dictionary, feature)]
    return [_aligned(one) for one in aligned_neurons(dictionary, model, [feature], SHOWN, beside=beside)]


def _aligned(found: AlignedNeurons) -> dict[str, Any]:
    weights = (
        "output weights" if found.does == "write" else f"input weights{f' of the {found.part}' * bool(found.part)}"
    )
    cosines = zip(found.indices[0].tolist(), found.cosines[0].tolist(), strict=True)
    return {
        "title": "Neurons",
        "label": f"of the MLP of layer {found.layer} that {found.does} it{f', {found.part}' * bool(found.part)}",
        "meaning": f"MLP neurons whose {weights} lie along the feature's direction: neuron, and the cosine of the two.",
        "entries": [(i, round(cosine, 4), round(abs(cosine), 4)) for i, cosine in cosines],
    }


def _entries(dictionary: Dictionary, feature: int) -> dict[str, Any]:
    spec = dictionary.spec
    found = largest_entries(dictionary, [feature], min(SHOWN, spec.d_out))
    entries = zip(found.indices[0].tolist(), found.weights[0].tolist(), found.shares[0].tolist(), strict=True)
    return {
        "title": "Entries",
        "label": f"of the direction at {', '.join(spec.writes)}",
        "meaning": "The largest entries of the feature's direction: index, weight, and its share of the sum of all "
        "absolute weights.",
        "entries": [(i, round(w, 4), round(s, 4)) for i, w, s in entries],
    }


def reads_of(dictionary: Dictionary, model: "Readable", feature: int) -> Any:
    """The tokens that a transcoder's encoder reads, and how far that is what its decoder writes."""
    spec = dictionary.spec
    if spec.writes_what_it_reads:
        return None
    vocabulary = model.vocabulary or 0
    found = tokens_read(dictionary, model, [feature], min(SHOWN, vocabulary)) if vocabulary else None
    if found is None:
        return None
    texts = TokenTexts(model.tokenizer)
    cosines = encoder_decoder_cosines(dictionary, [feature])

    def pairs(tokens: list[int], values: list[float]) -> list[tuple[str, float]]:
        return [(texts([i])[0], round(v, 4)) for i, v in zip(tokens, values, strict=True)]

    return {
        "top": pairs(found.top_tokens[0].tolist(), found.top_values[0].tolist()),
        "bottom": pairs(found.bottom_tokens[0].tolist(), found.bottom_values[0].tolist()),
        "cosine": None if cosines is None else round(cosines.item(), 4),
    }
