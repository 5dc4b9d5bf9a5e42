"""A model that has been loaded, with what is known about it."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from monosema.errors import InputError
from monosema.models.expressions import parsed
from monosema.models.families import Family
from monosema.models.hook_points import HookPoint
from monosema.models.lens import LENS
from monosema.models.names import resolve, text_config
from monosema.models.preprocessing import preprocessing_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A module to read from, with what is known about it. `family` is None where short names are not known."""

    module: nn.Module = field(repr=False)
    tokenizer: "PreTrainedTokenizerBase | None" = field(repr=False)
    name: str
    family: Family | None

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next((weight.device for weight in self.module.parameters()), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights."""
        types = (weight.dtype for weight in self.module.parameters() if weight.is_floating_point())
        return next(types, torch.float32)

    @property
    def max_context(self) -> int | None:
        """The longest context that the model takes, in tokens, where its configuration says so."""
        config = text_config(self.module)
        return getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None)

    @property
    def vocabulary(self) -> int | None:
        """How many tokens the model knows, if it takes tokens."""
        return getattr(text_config(self.module), "vocab_size", None)

    @property
    def special_ids(self) -> frozenset[int]:
        """The tokens that stand for no text, such as the one that ends a document."""
        return frozenset(self.tokenizer.all_special_ids if self.tokenizer else ())

    @property
    def heads(self) -> int | None:
        """How many attention heads a layer has (query heads, where keys and values are shared), if that is known."""
        return getattr(text_config(self.module), "num_attention_heads", None)

    def heads_at(self, point: str) -> int | None:
        """How many heads' outputs lie side by side at a hook point; None where it is no `attn_z.L`."""
        if self.family is None or self.heads is None or parsed(point).names != (point,):
            return None
        places = (self.point(f"attn_z.{layer}") for layer in range(self.family.layers(text_config(self.module))))
        return self.heads if self.point(point) in places else None

    @property
    def preprocessing(self) -> tuple[str, ...]:
        """What TransformerLens has done to the weights, in its words (`fold_ln`, …); nothing in any other model."""
        return preprocessing_of(self.module) if self.family is LENS else ()

    @property
    def predicts_next(self) -> bool:
        """Whether this is a causal language model with a head, which yields logits of the next token."""
        if self.family is LENS:
            return True
        config = getattr(self.module, "config", None)
        can_generate: Callable[[], bool] = getattr(self.module, "can_generate", lambda: False)
        # A BERT with a language-model head predicts the next token only if it was made a decoder.
        causal = self.family is None or self.family.causal or getattr(config, "is_decoder", False)
        return can_generate() and causal and not getattr(config, "is_encoder_decoder", False)

    @property
    def models(self) -> "tuple[LoadedModel, ...]":
        """This one; a pair of models has two."""
        return (self,)

    def owner(self, point: str) -> "tuple[LoadedModel, str] | None":
        """The model that a hook point, or an expression of some, belongs to, and its name there: this, and that."""
        return self, point

    def point(self, name: str) -> HookPoint:
        """The hook point that a short name, a TransformerLens name or a module path means in this model.

        Raises:
            InputError: there is no such place; the nearest names are offered.
        """
        return resolve(name, self.module, self.family)

    def run(self, inputs: Tensor) -> Any:
        """What the module returns for `inputs`, `[batch, position]` token ids for a language model; nothing is cached.

        Raises:
            InputError: a context is longer than the model takes, or a token is not in its vocabulary.
        """
        if self.vocabulary is not None:
            self._check_ids(inputs)
        no_cache = {"use_cache": False} if "use_cache" in inspect.signature(self.module.forward).parameters else {}
        return self.module(inputs.to(self.device, non_blocking=True), **no_cache)

    def logits(self, ids: Int[Tensor, "batch position"]) -> Float[Tensor, "batch position vocabulary"]:
        """The logits of the token after each position.

        Raises:
            InputError: the model has no head for the next token, or cannot take `ids`.
        """
        if not self.predicts_next:
            raise InputError(
                f"{self.name} ({type(self.module).__name__}) does not predict the next token",
                expected="a causal language model with its head",
            )
        out = self.run(ids)
        return out if isinstance(out, Tensor) else out.logits  # TransformerLens returns nothing else

    def _check_ids(self, ids: Tensor) -> None:
        if ids.is_floating_point() or ids.ndim != 2 or ids.numel() == 0:
            raise InputError(
                f"input of shape {tuple(ids.shape)} and type {ids.dtype} for {self.name}",
                expected="token ids of shape [batch, position]",
            )
        if self.max_context and ids.shape[1] > self.max_context:
            raise InputError(
                f"a context of {ids.shape[1]} tokens for {self.name}", expected=f"at most {self.max_context} tokens"
            )
        # On an accelerator this look would make the program wait for it.
        if ids.device.type == "cpu" and not 0 <= int(ids.min()) <= int(ids.max()) < (self.vocabulary or 0):
            raise InputError(
                f"token ids from {int(ids.min())} to {int(ids.max())} for {self.name}",
                expected=f"ids from 0 to {(self.vocabulary or 0) - 1}",
                hint="was the text cut into tokens by another model's tokenizer?",
            )
