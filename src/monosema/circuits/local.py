"""The local replacement model of a prompt: dictionaries in it, their errors as constants, patterns and norms held."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from monosema.activations.filters import not_special
from monosema.analysis.vectors import decoder_rows, encoder_columns
from monosema.circuits.frozen import Factors
from monosema.dictionaries import Dictionary
from monosema.dictionaries.normalisation import NONE
from monosema.errors import InputError
from monosema.kernels import RaggedCodes
from monosema.models import PREPROCESSING, Replacement, check_preprocessing, parsed, replacing
from monosema.models.flow import attach
from monosema.models.names import text_config

if TYPE_CHECKING:
    from monosema.models import LoadedModel

EMBED = "embed"


@dataclass(frozen=True)
class Active:
    """The features of one dictionary that are active on the prompt, one row each."""

    positions: Int[Tensor, " active"]
    features: Int[Tensor, " active"]
    values: Float[Tensor, " active"]
    slopes: Float[Tensor, " active"]
    """How much of a change of its pre-activation is in a feature's code; 1, but for gated ones."""
    written: dict[str, Float[Tensor, "active d"]]
    """What each adds at each hook point that is written: code × decoder row."""


class LocalModel:
    """A model on one prompt, in which what dictionaries write is given, and all else is linear in that.

    At each hook point that a dictionary writes, what flows on is what flowed there, held fixed: the sum of what its
    active features add, its biases, and an error, which are all constants (a skip connection stays one). What an MLP
    adds for which there is no dictionary is held, too, and all of it counts as an error. Attention patterns and norms
    are those of the model's own pass. So each logit, and the pre-activation of each feature, is a sum of what earlier
    features, errors and token embeddings contribute, and of a constant; only where a dictionary reads what comes out
    of an MLP, the MLP in between is linearised at its input.

    Args:
        model: a causal language model of a known family, in float32 or better.
        dictionaries: by name; each reads and writes hook points, and no two write the same one.
        ids: the prompt.

    Raises:
        InputError: two dictionaries write one hook point, a dictionary cannot be in a circuit, or the prompt is empty.
    """

    def __init__(self, model: "LoadedModel", dictionaries: Mapping[str, Dictionary], ids: Sequence[int]):
        _check(model, dictionaries, ids)
        self.model, self.dictionaries = model, dict(dictionaries)
        self.ids = torch.tensor([list(ids)], device=model.device)
        self.factors = Factors()
        written = [point for d in self.dictionaries.values() for point in d.spec.writes]
        self.held = _without_dictionary(model, written)
        self.sites = [EMBED, *written, *self.held]
        self.flowing, self.logits = self._clean()
        self.active = {name: self._active(dictionary) for name, dictionary in self.dictionaries.items()}
        self.errors = {site: self._error(site) for site in written} | {
            site: self.flowing[site][0] for site in self.held
        }
        self._given: dict[str, Tensor] = {}
        self._read: dict[str, Tensor] = {}
        self._said = torch.empty(0)

    @property
    def length(self) -> int:
        """Tokens of the prompt."""
        return self.ids.shape[1]

    def run(self, given: Mapping[str, Float[Tensor, "1 position d"]]) -> tuple[dict[str, Tensor], Tensor]:
        """What each dictionary reads, and the logits, where `given` flows on at each of `sites`; gradients reach it."""
        read: dict[str, Tensor] = {}
        steps = [
            Replacement(point, partial(_keep, read, point), reads=(point,))
            for point in dict.fromkeys(p for d in self.dictionaries.values() for p in d.spec.reads)
        ]
        for dictionary in self.dictionaries.values():
            for point in dictionary.spec.writes:
                flow = partial(self._with_skip, given[point], dictionary)
                steps.append(Replacement(point, flow, reads=() if dictionary.W_skip is None else dictionary.spec.reads))
        steps += [Replacement(point, partial(_given, given[point]), reads=()) for point in (EMBED, *self.held)]
        with replacing(self.model, steps), self.factors.held():
            logits = self.model.logits(self.ids)
        reads = {name: torch.cat([read[p] for p in d.spec.reads], -1)[0] for name, d in self.dictionaries.items()}
        return reads, logits[0]

    def pull(
        self,
        name: str | None,
        positions: Int[Tensor, " targets"],
        directions: Float[Tensor, "targets d"],
    ) -> dict[str, Float[Tensor, "targets position d"]]:
        """How much each target grows with what flows at each site: the direction, pulled back through the model.

        Args:
            name: of the dictionary whose input the directions are in; None for logits.
            positions: of the targets.
            directions: what each target is the product with.
        """
        if not self._given:
            self._given = {site: self.flowing[site].detach().clone().requires_grad_() for site in self.sites}
            with torch.enable_grad():
                self._read, self._said = self.run(self._given)
        out = self._said if name is None else self._read[name]
        seeds = out.new_zeros(len(positions), *out.shape)
        seeds[torch.arange(len(positions)), positions] = directions.to(out)
        found = torch.autograd.grad(
            out, list(self._given.values()), seeds, retain_graph=True, allow_unused=True, is_grads_batched=True
        )
        return {site: own[:, 0] for site, own in zip(self._given, found, strict=True) if own is not None}

    def inward(self, name: str, chosen: Int[Tensor, " some"]) -> Float[Tensor, "some d_in"]:
        """What active features of a dictionary, by number, take the product of their input with."""
        own = self.active[name]
        columns = encoder_columns(self.dictionaries[name], own.features[chosen])
        return columns * own.slopes[chosen].unsqueeze(1).to(columns)

    def _with_skip(self, given: Tensor, dictionary: Dictionary, *reads: Tensor) -> Tensor:
        """What is given, and what a skip connection makes of a change of what is read."""
        if dictionary.W_skip is None:
            return given
        change = torch.cat(reads, -1) - torch.cat([self.flowing[point] for point in dictionary.spec.reads], -1)
        return given + (change.to(dictionary.W_skip) @ dictionary.W_skip).to(given)

    @torch.no_grad()
    def _clean(self) -> tuple[dict[str, Tensor], Tensor]:
        flowing: dict[str, Tensor] = {}
        specs = [d.spec for d in self.dictionaries.values()]
        points = dict.fromkeys([*self.sites, *(p for spec in specs for p in spec.reads)])
        with ExitStack() as hooks:
            for point in points:
                seen = partial(_see, flowing, point)
                hooks.callback(attach(self.model.module, self.model.point(point), seen).remove)
            with self.factors.recorded():
                logits = self.model.logits(self.ids)
        return flowing, logits[0]

    @torch.no_grad()
    def _active(self, dictionary: Dictionary) -> Active:
        x = torch.cat([self.flowing[point][0] for point in dictionary.spec.reads], -1).to(dictionary.W_enc)
        codes = dictionary.active_entries(x)
        kept = not_special(self.ids[0], self.model.special_ids)[codes.rows()]
        codes = codes.only(kept)
        rows, features = codes.rows(), codes.columns
        written = decoder_rows(dictionary, features) * codes.values.unsqueeze(1) if len(rows) else None
        sizes = dictionary.spec.sizes_out or (dictionary.spec.d_out,)
        parts = x.new_zeros(0, sum(sizes)).split(sizes, 1) if written is None else written.split(sizes, 1)
        return Active(
            rows,
            features,
            codes.values,
            _slopes(dictionary, x, codes),
            dict(zip(dictionary.spec.writes, parts, strict=True)),
        )

    @torch.no_grad()
    def _error(self, site: str) -> Float[Tensor, "position d"]:
        """What flows at a site beyond what features, biases and skips put there; all of it at special tokens."""
        name, dictionary = next((n, d) for n, d in self.dictionaries.items() if site in d.spec.writes)
        own, flows = self.active[name], self.flowing[site][0]
        x = torch.cat([self.flowing[point][0] for point in dictionary.spec.reads], -1).to(dictionary.W_enc)
        sizes = dictionary.spec.sizes_out or (dictionary.spec.d_out,)
        nothing = dictionary.decode_nothing(x).expand(len(x), -1).split(sizes, 1)[dictionary.spec.writes.index(site)]
        made = torch.zeros_like(flows).index_add_(0, own.positions, own.written[site].to(flows))
        return flows - made - nothing.to(flows)


def _without_dictionary(model: "LoadedModel", written: Sequence[str]) -> list[str]:
    """The outputs of MLPs that no dictionary writes."""
    assert model.family is not None  # else it has no embed
    places = {model.point(point) for point in written}
    points = (f"mlp_out.{layer}" for layer in range(model.family.layers(text_config(model.module))))
    return [point for point in points if model.point(point) not in places]


def _keep(read: dict[str, Tensor], point: str, activation: Tensor) -> Tensor:
    read[point] = activation
    return activation


def _see(flowing: dict[str, Tensor], point: str, activation: Tensor) -> None:
    flowing[point] = activation.clone()


def _given(given: Tensor) -> Tensor:
    return given


def _slopes(dictionary: Dictionary, x: Float[Tensor, "position d"], codes: RaggedCodes) -> Float[Tensor, " active"]:
    """The derivative of each active code by its own pre-activation."""
    with torch.enable_grad():
        pre = dictionary.preactivations(x).detach().requires_grad_()
        (slope,) = torch.autograd.grad(dictionary.activation(pre)[codes.rows(), codes.columns].sum(), pre)
    return slope[codes.rows(), codes.columns]


def _check(model: "LoadedModel", dictionaries: Mapping[str, Dictionary], ids: Sequence[int]) -> None:
    if model.family is None or not model.predicts_next:
        raise InputError(f"a circuit of {model.name}", expected="a causal language model of a family with short names")
    if not len(ids) or not dictionaries:
        raise InputError(
            f"{len(ids)} tokens and {len(dictionaries)} dictionaries", expected="at least one token and one dictionary"
        )
    written: dict[str, str] = {}
    for name, dictionary in dictionaries.items():
        spec = dictionary.spec
        if not spec.reads or not spec.writes or spec.normalisation != NONE:
            what = "that names no hook points" if spec.normalisation == NONE else f"with {spec.normalisation}"
            raise InputError(f"dictionary {name!r} {what} in a circuit", expected="one that is linear at named places")
        check_preprocessing(model, (*spec.reads, *spec.writes), dictionary.metadata.get(PREPROCESSING))
        for point in (*spec.reads, *spec.writes):
            if parsed(point).names != (point,):
                raise InputError(f"dictionary {name!r} of {point!r} in a circuit", expected="single hook points")
        for point in spec.writes:
            if point in written:
                raise InputError(
                    f"dictionaries {written[point]!r} and {name!r}, which both write {point!r}",
                    expected="one for each hook point",
                    hint="choose among the dictionaries of the run",
                )
            written[point] = name
