"""A tiny random model, a text that is hard to cut, small dictionaries, and feature stores of them."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from monosema import tiny
from monosema.activations import Contexts
from monosema.dictionaries import AbsTopK, BatchTopK, Dictionary, Spec
from monosema.features import BuildOptions, FeatureStore, build_features
from monosema.models import LoadedModel, load_model, read
from tests.analysis.dictionaries import random_weights

D, LENGTH, WIDTH, POINT = 16, 20, 24, "resid_post.0"
DOCUMENTS = [
    "" if i % 5 == 3 else f"def f_{i}(x):\n    return x + {i}  # {'naïve 漢字 🙂 ' * (i % 3)}\n" * (1 + i % 4)
    for i in range(40)
]
"""Some empty, some whose characters are cut into several tokens, some longer than a context."""


def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny.PATH)


def random_model(dtype: torch.dtype = torch.float64) -> LoadedModel:
    """Two layers of GPT-NeoX with the embedded model's tokeniser; in float64, so that rounding hides nothing."""
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    own = tokenizer()
    config = GPTNeoXConfig(
        vocab_size=len(own),
        hidden_size=D,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        initializer_range=0.6,  # large, so that every layer matters
    )
    torch.manual_seed(1)
    return load_model(GPTNeoXForCausalLM(config), tokenizer=own, device="cpu", dtype=dtype)


def sparse(made: Dictionary, by: float = 4.0, dead: int | None = None) -> Dictionary:
    """The same with features that fire less often, and one that never does."""
    with torch.no_grad():
        made.b_enc.sub_(by)
        if dead is not None:
            made.b_enc[dead] = -1e6
    return made


def autoencoder(width: int = WIDTH, point: str = POINT, dead: int | None = 5, seed: int = 0) -> Dictionary:
    return sparse(random_weights(Spec(D, D, width, (point,), (point,)), seed), dead=dead)


def signed(width: int = WIDTH, k: int = 3) -> Dictionary:
    """Whose codes may be negative."""
    made = random_weights(Spec(D, D, width, (POINT,), (POINT,)))
    made.activation = AbsTopK(width, k)
    return made


def thresholded(width: int = WIDTH) -> Dictionary:
    """BatchTopK as it is used once it is trained, though it is in training mode."""
    made = random_weights(Spec(D, D, width, (POINT,), (POINT,)))
    made.activation = BatchTopK(width, 3)
    made.activation.threshold.fill_(5.0)
    return made.train()


def contexts(model: LoadedModel, length: int = LENGTH, documents: list[str] = DOCUMENTS) -> Contexts:
    return Contexts(model.tokenizer, documents, length)


def built(dictionary: Dictionary, model: LoadedModel, out: Path, length: int = LENGTH, **options: Any) -> FeatureStore:
    """The store of all of the text."""
    return build_features(
        dictionary,
        model,
        contexts(model, length),
        out,
        tokens=10**6,
        text="some documents",
        options=BuildOptions(**options),
    )


@torch.no_grad()
def all_codes(
    dictionary: Dictionary, model: LoadedModel, length: int = LENGTH, special: bool = False
) -> tuple[Tensor, np.ndarray]:
    """Contexts, and the codes of `encode` on all of their tokens; those of special tokens are zero."""
    ids = torch.stack(list(contexts(model, length)))
    point = " & ".join(dictionary.spec.reads)
    was = dictionary.training
    x = torch.cat([read(model, row[None], [point])[point][0] for row in ids])
    codes = dictionary.eval().encode(x)
    dictionary.train(was)
    if not special:
        codes[torch.isin(ids.flatten(), torch.tensor(sorted(model.special_ids)))] = 0
    return ids, codes.numpy()


def documents_of(model: LoadedModel, length: int = LENGTH) -> np.ndarray:
    """The document of each token, counted by hand."""
    of: list[int] = []
    for number, document in enumerate(DOCUMENTS):
        ids = model.tokenizer.encode(document, add_special_tokens=False) if model.tokenizer else []
        of += [number] * (len(ids) + 1 if ids else 0)
    return np.array(of[: len(of) // length * length])
