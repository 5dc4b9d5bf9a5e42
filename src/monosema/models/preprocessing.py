"""What TransformerLens does to a model's weights when it loads them, and where activations differ because of it.

`HookedTransformer.from_pretrained` rewrites weights so that the model computes the same logits up to a constant, but
not the same activations. A dictionary fits the activations that it was trained on; its metadata says which they were.

| treatment | what it does | the activations that change |
| --- | --- | --- |
| `fold_ln` | the norms' weights go into the next matrix | `mlp_in`: normalised, but not scaled |
| `center_writing_weights` | what is written to the stream has mean zero | `embed`, `resid_*`, `attn_out`, `mlp_out` |
| `fold_value_biases` | the value biases go into attention's output bias | `attn_z` |
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from monosema.errors import InputError
from monosema.models.expressions import names_in
from monosema.models.families import KINDS
from monosema.models.names import kind_of

if TYPE_CHECKING:
    from monosema.models.loaded import LoadedModel
    from monosema.models.pair import Readable

METADATA = "model_preprocessing"
"""Where a dictionary's metadata has the treatments of the model that it was trained on, as a list of names."""

_WRITES_STREAM = ("embed", "resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out")
CHANGES = {"fold_ln": ("mlp_in",), "center_writing_weights": _WRITES_STREAM, "fold_value_biases": ("attn_z",)}
"""Each treatment, and the kinds of hook points at which activations differ by it."""


def preprocessing_of(module: nn.Module) -> tuple[str, ...]:
    """The treatments that show in the weights of a model in TransformerLens' layout.

    A model whose weights happen to be so to begin with, all norms one, counts as treated: for what it computes there
    is no difference.
    """
    lens: Any = module
    found = {
        "fold_ln": all(_is_plain(block, name) for block in lens.blocks for name in ("ln1", "ln2")),
        "center_writing_weights": _is_centred(lens.W_E[:1000]),  # all that writes is treated alike
        # Where there never was a value bias (Llama), nothing has arrived in the output bias.
        "fold_value_biases": not lens.b_V.any() and bool(lens.b_O.any()),
    }
    return tuple(name for name, done in found.items() if done)


def check_preprocessing(model: "Readable", points: Sequence[str], trained_on: Sequence[str] | None) -> None:
    """Refuses a model whose weights were treated otherwise, as far as activations at `points` differ by it.

    Args:
        model: the model that a dictionary is to be used in.
        points: the hook points that it reads and writes, or expressions of them.
        trained_on: what its metadata says of the model it was trained on; None where nobody knows.

    Raises:
        InputError: activations at one of the points are not what they were in training.
    """
    if trained_on is None:
        return
    for point in names_in(points):
        owned = model.owner(point)
        assert owned is not None  # a single hook point has one
        _check_treatments(*owned, trained_on)


def _check_treatments(model: "LoadedModel", point: str, trained_on: Sequence[str]) -> None:
    for treatment in sorted(set(trained_on) ^ set(model.preprocessing)):
        kind = kind_of(point, model.module, model.family)
        if kind is None or kind in CHANGES.get(treatment, KINDS):
            was, now = ("with", "without") if treatment in trained_on else ("without", "with")
            raise InputError(
                f"a dictionary trained {was} {treatment}, in {model.name} {now} it: the activations at {point!r} "
                "are not those that it knows",
                expected=f"a model whose weights were treated as in training ({', '.join(trained_on) or 'not'})",
                hint="HookedTransformer.from_pretrained treats them, from_pretrained_no_processing does not",
            )


def _is_plain(block: Any, name: str) -> bool:
    """Whether a norm does no more than normalise: no weights, or ones and zeros."""
    norm = getattr(block, name, None)
    values = [weight.detach().flatten() for weight in norm.parameters()] if isinstance(norm, nn.Module) else []
    return all(bool((value == value[0]).all()) and float(value[0]) in (0.0, 1.0) for value in values)


def _is_centred(weights: Tensor) -> bool:
    """Whether what a matrix writes, its rows, has mean zero, up to rounding."""
    rows = weights.detach().float()
    return bool(rows.mean(-1).abs().max() <= 1e-3 * rows.abs().mean())
