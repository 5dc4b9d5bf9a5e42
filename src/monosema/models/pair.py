"""Two models that read the same text, side by side: what a dictionary over both of them is trained on.

A hook point of the second model has `second.` before its name there: `resid_post.2 & second.resid_post.2` is layer 2 of
both (Lindsey et al. 2024, Sparse Crosscoders; Minder et al. 2025, arXiv 2504.02922).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch

from monosema.errors import InputError
from monosema.models.expressions import JOINED, SUM, parsed
from monosema.models.loaded import LoadedModel
from monosema.models.names import SECOND

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PROBE = "def f(x):\n\treturn x**2 + 10_000  # Ünïcode, don't; the year 2024 and 3.14\r\n    IT'S   so 日本 🙂\n"
"""What two tokenizers with one vocabulary may still cut in different ways."""


@dataclass(frozen=True, eq=False)
class ModelPair:
    """Two models with one tokenizer; `read`, sources and `evaluate` take a pair as they take a model.

    Raises:
        InputError: their tokenizers differ, they lie on different devices, or the first has a module `second`, whose
            name could mean either.
    """

    first: LoadedModel
    second: LoadedModel

    def __post_init__(self):
        if self.first.device != self.second.device:
            raise InputError(
                f"{self.first.name} on {self.first.device} and {self.second.name} on {self.second.device}",
                expected="two models on one device",
            )
        if SECOND in dict(self.first.module.named_children()):
            raise InputError(
                f"{self.first.name}, which has a module {SECOND!r}, with a second model",
                expected=f"a first model in which {SECOND}. begins no name",
                hint="exchange the two",
            )
        _check_tokenizers(self.first, self.second)

    @property
    def models(self) -> tuple[LoadedModel, ...]:
        """Both, the first one first."""
        return self.first, self.second

    @property
    def name(self) -> str:
        """The names of both, for messages."""
        return f"{self.first.name} and {self.second.name}"

    @property
    def tokenizer(self) -> "PreTrainedTokenizerBase | None":
        """The first model's, which cuts the text for both."""
        return self.first.tokenizer

    @property
    def device(self) -> torch.device:
        """Where both lie."""
        return self.first.device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the first model's weights."""
        return self.first.dtype

    @property
    def max_context(self) -> int | None:
        """The longest context that both take, in tokens, as far as they say."""
        return min((model.max_context for model in self.models if model.max_context is not None), default=None)

    @property
    def vocabulary(self) -> int | None:
        """How many tokens both know, if they take tokens: one of them may have rows that no token uses."""
        sizes = [model.vocabulary for model in self.models if model.vocabulary is not None]
        return min(sizes) if len(sizes) == len(self.models) else None

    @property
    def special_ids(self) -> frozenset[int]:
        """The tokens that stand for no text in either: a chat model may end its turns with another token."""
        return self.first.special_ids | self.second.special_ids

    @property
    def predicts_next(self) -> bool:
        """Whether both are causal language models with a head."""
        return all(model.predicts_next for model in self.models)

    def owner(self, point: str) -> tuple[LoadedModel, str] | None:
        """The model that a hook point, or an expression of some, belongs to, and its name there.

        None where an expression has hook points of both.
        """
        expression = parsed(point)
        of_second = {name.startswith(f"{SECOND}.") for name in expression.names}
        if len(of_second) > 1:
            return None
        if not of_second.pop():
            return self.first, point
        local = ([name.removeprefix(f"{SECOND}.") for name in terms] for terms in expression.sums)
        return self.second, f" {JOINED} ".join(f" {SUM} ".join(terms) for terms in local)

    def heads_at(self, point: str) -> int | None:
        """How many heads' outputs lie side by side at a hook point; None where it is no `attn_z.L` of either."""
        owned = self.owner(point)
        return None if owned is None else owned[0].heads_at(owned[1])


Readable: TypeAlias = LoadedModel | ModelPair
"""What activations can be read from."""


def of_second(point: str) -> bool:
    """Whether a hook point, or one in an expression, is the second model's by its name."""
    return any(name.startswith(f"{SECOND}.") for name in parsed(point).names)


def _check_tokenizers(first: LoadedModel, second: LoadedModel) -> None:
    """Which token ends a text may differ, as between a model and the chat model made of it; all else may not."""
    one, other = first.tokenizer, second.tokenizer
    if one is other:
        return
    difference = _difference(first, second)
    if difference is not None:
        raise InputError(
            f"two models with different tokenizers: {difference}",
            expected="models that read the same token ids as the same text",
            hint="a crosscoder compares a model with what was made of it, such as its fine-tuned form",
        )


def _difference(first: LoadedModel, second: LoadedModel) -> str | None:
    """The first difference between two models' tokenizers, in words."""
    one, other = first.tokenizer, second.tokenizer
    if one is None or other is None:
        return f"{(first if one is None else second).name} has none"
    vocabularies = [{index: token for token, index in each.get_vocab().items()} for each in (one, other)]
    for index in sorted(vocabularies[0].keys() | vocabularies[1].keys()):
        tokens = [vocabulary.get(index) for vocabulary in vocabularies]
        if tokens[0] != tokens[1]:
            return f"token {index} is {_shown(tokens[0])} of {first.name} and {_shown(tokens[1])} of {second.name}"
    if one.bos_token != other.bos_token:
        begins = f"{_shown(one.bos_token)} of {first.name} and {_shown(other.bos_token)} of {second.name}"
        return f"the token that begins a text is {begins}"
    cuts = [each(_PROBE, add_special_tokens=False)["input_ids"] for each in (one, other)]
    if cuts[0] != cuts[1]:
        at = next((i for i, ids in enumerate(zip(*cuts, strict=False)) if ids[0] != ids[1]), min(map(len, cuts)))
        return f"{first.name} and {second.name} cut a text differently from token {at} on: {_PROBE!r}"
    return None


def _shown(token: object) -> str:
    return "none" if token is None else repr(token)
