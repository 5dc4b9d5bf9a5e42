"""The dictionary: encoder map, activation function and decoder map, joined by a wiring."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from monosema.dictionaries.activation_functions import ActivationFunction
from monosema.dictionaries.maps import Map, maps
from monosema.dictionaries.normalisation import NONE, normalisations
from monosema.dictionaries.preactivations import Preactivations
from monosema.dictionaries.spec import TRIANGULAR, Spec
from monosema.errors import InputError
from monosema.kernels import RaggedCodes, SparseCodes
from monosema.ranks import ALONE


class Dictionary(nn.Module):
    """A sparse autoencoder or transcoder by composition.

    `codes = activation((x − input_bias) W_enc + b_enc)`, `x̂ = codes W_dec + b_dec (+ x W_skip)`. Where the spec has a
    normalisation, the encoder is given normalised x, and what an autoencoder decodes is brought back to the units of x.

    Parameters, under the field's own names: `W_enc [d_in, width]`, `b_enc [width]`, `W_dec [width, d_out]`,
    `b_dec [d_out]`; `b_in [d_in]` where the input bias is one of its own; `W_skip [d_in, d_out]` where there is a skip;
    and those of the activation function.
    A map of blocks has its matrix as `[blocks, rows, columns]`. They start at zero: `initialise_` or `load` fills them.
    """

    def __init__(self, spec: Spec, activation: ActivationFunction, metadata: dict[str, Any] | None = None):
        super().__init__()
        if spec.decoder == TRIANGULAR and not activation.by_feature:
            raise InputError(
                f"activation function {activation.name} with cross-layer features",
                expected="one that decides on each feature by itself, such as batch_topk or jumprelu",
                hint="what an early layer's features do would depend on layers that the model has not run yet",
            )
        self.spec = spec
        self.metadata = metadata or {}
        self.ranks = ALONE  # else it holds a part of the features, and its codes add up to a part of the output
        self.encoder: Map = maps[spec.encoder].of(spec.blocks, spec.sizes_in)
        self.decoder: Map = maps[spec.decoder].of(spec.blocks, spec.sizes_out)
        self.activation = activation
        self.W_enc = nn.Parameter(feature_major(torch.zeros(self.encoder.shape(spec.d_in, spec.width))))
        self.b_enc = nn.Parameter(torch.zeros(spec.width), requires_grad=not activation.owns_biases)
        self.W_dec = nn.Parameter(torch.zeros(self.decoder.shape(spec.width, spec.d_out)))
        self.b_dec = nn.Parameter(torch.zeros(spec.d_out))
        self.b_in = nn.Parameter(torch.zeros(spec.d_in)) if spec.input_bias == "b_in" else None
        self.W_skip = nn.Parameter(torch.zeros(spec.d_in, spec.d_out)) if spec.skip else None

    @property
    def input_bias(self) -> Float[Tensor, " d_in"] | None:
        """What is subtracted from the input, if anything."""
        return {"none": None, "b_dec": self.b_dec, "b_in": self.b_in}[self.spec.input_bias]

    def preactivations(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch width"]:
        """What the activation function is given: `(x − input_bias) W_enc + b_enc`."""
        x, shift = self._seen(x), self._shift()
        return self.encoder.apply(x if shift is None else x - shift, self.W_enc, self.b_enc)

    def lazy_preactivations(self, x: Float[Tensor, "batch d_in"]) -> Preactivations:
        """The same for those who may need a part of it alone."""
        if x.ndim != 2:
            raise InputError(
                f"activations of shape {list(x.shape)}", expected="[batch, d_in]", hint="flatten them first"
            )
        return self._lazy(x)

    def encode(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch width"]:
        """Dense codes of activations."""
        return self.activation.dense(self._lazy(x))

    def encode_sparse(self, x: Float[Tensor, "batch d_in"]) -> SparseCodes:
        """The codes of `encode` as indices and values."""
        return self.activation.sparse(self.lazy_preactivations(x))

    @torch.no_grad()
    def active_entries(self, x: Float[Tensor, "batch d_in"]) -> RaggedCodes:
        """The codes of `encode` as those that are not zero, which is all that most of what reads them needs."""
        return self.activation.active_entries(self.lazy_preactivations(x))

    def decode(
        self,
        codes: Float[Tensor, "*batch width"] | SparseCodes | RaggedCodes,
        x: Float[Tensor, "*batch d_in"] | None = None,
    ) -> Float[Tensor, "*batch d_out"]:
        """The reconstruction that codes stand for.

        Args:
            codes: dense, or sparse.
            x: the input, which a dictionary with a skip connection or a normalisation needs and any other ignores.

        Raises:
            InputError: x is needed, but not given.
        """
        restores = self.spec.normalisation != NONE and self.spec.writes_what_it_reads
        if x is None and (restores or self.W_skip is not None):
            reason = "puts its output into the units of x" if restores else "has a skip connection from x"
            raise InputError("codes alone", expected=f"decode(codes, x): this dictionary {reason}")
        out = self.decode_features(codes) + self.decode_nothing(x)
        return (
            normalisations[self.spec.normalisation].back(out, self._checked(x)) if restores and x is not None else out
        )

    def decode_features(
        self, codes: Float[Tensor, "*batch width"] | SparseCodes | RaggedCodes, weight: Tensor | None = None
    ) -> Float[Tensor, "*batch d_out"]:
        """What the features add to the output, `codes W_dec`, or the same with another weight."""
        weight = self.W_dec if weight is None else weight
        dense = isinstance(codes, Tensor)
        out = self.decoder.apply(codes, weight) if dense else self.decoder.apply_sparse(codes, weight)
        return self.ranks.features.sum(out)

    def decode_nothing(self, x: Float[Tensor, "*batch d_in"] | None) -> Float[Tensor, "*any d_out"]:
        """What stands before any feature adds to it: `b_dec (+ x W_skip)`."""
        return self.b_dec if self.W_skip is None or x is None else self.b_dec + self._checked(x) @ self.W_skip

    def forward(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_out"]:
        """Reconstruction (or, for a transcoder, prediction) from activations."""
        return self.decode(self.encode(x), x)

    def decoder_norms(self) -> Float[Tensor, " width"]:
        """Norm of each feature's direction; where it has one in each of several hook points, as the map says."""
        return self.decoder.row_norms(self.W_dec)

    def site_norms(self) -> Float[Tensor, "width sites"]:
        """Norm of each feature's direction in each hook point written: where a feature lives."""
        return self.decoder.site_norms(self.W_dec)

    @torch.no_grad()
    def fold_scale_(self, scales_in: Sequence[float], scales_out: Sequence[float]) -> None:
        """Makes a dictionary that was trained on scaled activations take and give raw ones, in place.

        After training on `x · scale_in` and `y · scale_out`, the folded dictionary maps raw x to raw y. Its codes are
        the trained ones divided by `scale_out`, so the decoder's directions stay what they were. Where hook points have
        scales of their own, codes are divided by the scales' geometric mean, and a feature's directions in the hook
        points become as long, relative to each other, as raw activations are.

        Args:
            scales_in: of what is read, one for all, or one for each hook point of `spec.sizes_in`.
            scales_out: of what is written.

        Raises:
            InputError: the scales differ, but one `b_dec` serves both sides; or the dictionary scales each activation
                by itself.
        """
        if self.spec.normalisation != NONE:
            raise InputError(f"a scale for a dictionary with {self.spec.normalisation}", expected="no normalisation")
        if self.spec.input_bias == "b_dec" and tuple(scales_in) != tuple(scales_out):
            raise InputError(
                f"scales {scales_in} in and {scales_out} out",
                expected="the same: this dictionary subtracts from its input the bias that it adds to its output",
            )
        of_codes = math.exp(sum(map(math.log, scales_out)) / len(scales_out))
        read = _by_coordinate(self.b_enc, scales_in, self.spec.sizes_in, self.spec.d_in)
        written = _by_coordinate(self.b_dec, scales_out, self.spec.sizes_out, self.spec.d_out)
        self.W_enc.mul_((read / of_codes).view(*self.W_enc.shape[:-2], -1, 1))
        self.b_enc.div_(of_codes)
        if len(scales_out) > 1:
            self.decoder.scale_columns_(self.W_dec, of_codes / written)
        self.b_dec.div_(written)
        self.activation.rescale_(1 / of_codes)
        if self.b_in is not None:
            self.b_in.div_(read)
        if self.W_skip is not None:
            self.W_skip.mul_(read[:, None] / written)

    def _lazy(self, x: Tensor) -> Preactivations:
        return Preactivations(self.encoder, self._seen(x), self.W_enc, self.b_enc, self._shift(), self.ranks)

    def _shift(self) -> Float[Tensor, " d_in"] | None:
        return None if self.input_bias is None else self.ranks.features.shared(self.input_bias)

    def _seen(self, x: Tensor) -> Tensor:
        """What the encoder is given."""
        x, kind = self._checked(x), self.spec.normalisation
        return x if kind == NONE else normalisations[kind].into(x)

    def _checked(self, x: Tensor) -> Tensor:
        if x.shape[-1] != self.spec.d_in:
            raise InputError(
                f"activations of size {x.shape[-1]}",
                expected=f"size {self.spec.d_in}, which this dictionary reads at {', '.join(self.spec.reads) or 'x'}",
            )
        return x if x.dtype == self.W_enc.dtype else x.to(self.W_enc.dtype)


def _by_coordinate(like: Tensor, scales: Sequence[float], sizes: Sequence[int], d: int) -> Float[Tensor, " d"]:
    scale = torch.tensor([*scales], dtype=torch.float64)
    every = scale.expand(d) if len(scales) == 1 else scale.repeat_interleave(torch.tensor(sizes))
    return every.to(like)


def feature_major(weight: Float[Tensor, "*any rows columns"]) -> Float[Tensor, "*any rows columns"]:
    """The same encoder, laid out in memory feature after feature, which is how gradients of single features come."""
    return weight.mT.contiguous().mT
