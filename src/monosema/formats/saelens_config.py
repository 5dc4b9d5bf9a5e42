"""What SAELens' `cfg.json` says, in the form of version 6 or in an older one."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from monosema.dictionaries import Spec
from monosema.errors import InputError
from monosema.formats import own
from monosema.formats.outline import Layout, spec_of
from monosema.formats.settings import Settings

ARCHITECTURES = {
    "standard": "relu",
    "topk": "topk",
    "abstopk": "abs_topk",
    "jumprelu": "jumprelu",
    "gated": "gated",
    "transcoder": "relu",
    "skip_transcoder": "relu",
    "jumprelu_transcoder": "jumprelu",
    "jumprelu_skip_transcoder": "jumprelu",
    "matching_pursuit": "matching_pursuit",
    "batchtopk": "jumprelu",
    "matryoshka_batchtopk": "jumprelu",
}
"""SAELens' architectures, and the activation function of each; the last two are those of checkpoints of training, which
become `jumprelu` when it ends."""
_TEMPORAL = (
    "a dictionary of single activations: its codes depend, through attention, on every token before, and its "
    "reconstruction on codes that attention predicts, too; monosema.load_temporal reads it as what it is"
)
NORMALISATIONS = {
    "none": "none",
    "layer_norm": "layer_norm",
    "constant_norm_rescale": "length",
    "expected_average_only_in": "none",
    "covariance_whitening": "none",
}
"""SAELens' normalisations; the last two are a factor and a linear map, which are folded into the weights."""


@dataclass(frozen=True)
class Config:
    """The values of a `cfg.json`."""

    values: Settings

    @classmethod
    def read(cls, path: Path) -> "Config":
        """The content of a file; InputError if it is not JSON."""
        return cls(Settings.read(path))

    @property
    def path(self) -> Path:
        """The file."""
        return self.values.path

    @cached_property
    def architecture(self) -> str:
        """The name of a class of SAELens."""
        name = self.values.text("architecture", "standard")
        if name == "temporal":
            raise InputError(f"{self.path} describes a temporal dictionary", expected=_TEMPORAL)
        function = self.values.text("activation_fn_str", self.values.text("activation_fn", "relu"))
        if function == "topk" and "k" in self.values.section("activation_fn_kwargs"):
            return "topk"  # versions before 6 had no architecture for it
        if function != "relu" and not (function == "topk" and name == "topk"):
            raise InputError(f"activation function {function!r} in {self.path}", expected="relu or topk with its k")
        return self.values.text("architecture", "standard", among=ARCHITECTURES)

    @property
    def width(self) -> int:
        """Number of features."""
        return self.values.whole("d_sae")

    @property
    def finetuned(self) -> bool:
        """Whether codes are multiplied by factors before decoding."""
        return self.values.flag("finetuning_scaling_factor", False)

    @property
    def rescales(self) -> bool:
        """Whether the largest are chosen by what they add to the output."""
        top = self.activation() in ("topk", "abs_topk") or self.one_threshold
        return top and self.values.flag("rescale_acts_by_decoder_norm", self.one_threshold)

    @property
    def one_threshold(self) -> bool:
        """Whether the file has one threshold for all features: a checkpoint of training with batch top-k."""
        return "batchtopk" in self.architecture

    @property
    def normalised_by_average(self) -> bool:
        """Whether activations are multiplied by one factor first."""
        return self._normalisation == "expected_average_only_in"

    @property
    def whitened(self) -> bool:
        """Whether activations are whitened first."""
        return self._normalisation == "covariance_whitening"

    @property
    def tied(self) -> bool:
        """Whether the encoder is the decoder turned, so that the file lacks it."""
        return self.architecture == "matching_pursuit"

    @property
    def norm_scaling_factor(self) -> float | None:
        """That factor, where the configuration has it."""
        return self.values.number("norm_scaling_factor", None)

    @property
    def _normalisation(self) -> str:
        given = self.values.values.get("normalize_activations")
        if isinstance(given, bool):  # before there were several
            return "expected_average_only_in" if given else "none"
        if given == "covariance_whitening" and (self.transcodes or self.tied):
            raise self.values.refused(
                "normalize_activations", f"something else: SAELens whitens no {self.architecture}"
            )
        return self.values.text("normalize_activations", "none", among=NORMALISATIONS)

    @property
    def transcodes(self) -> bool:
        """Whether it predicts another hook point."""
        return "transcoder" in self.architecture

    def activation(self) -> str:
        """The activation function's name."""
        return ARCHITECTURES[self.architecture]

    def options(self) -> dict[str, Any]:
        """The activation function's options."""
        if self.activation() == "matching_pursuit":
            return {
                "rounds": self.values.whole("max_iterations", self.values.whole("d_in")),
                "residual": max(self.values.number("residual_threshold", 0.01), 0.0),
                "stop_at_repeat": self.values.flag("stop_on_duplicate_support", True),
            }
        if self.activation() not in ("topk", "abs_topk"):
            return {}
        kwargs = self.values.section("activation_fn_kwargs")
        return {"k": kwargs.whole("k") if "k" in kwargs else self.values.whole("k", 100)}

    def spec(self) -> Spec:
        """Sizes, hook points and wiring."""
        place, d_in = self._place(), self.values.whole("d_in")
        reads = place.text("hook_name", place.text("hook_point", None))
        writes = place.text("hook_name_out", None) if self.transcodes else None
        head = place.whole("hook_head_index", place.whole("hook_point_head_index", None, least=0), least=0)
        if reads is not None and head is not None:
            reads = own.of_head(reads, head)
        subtracts = self.values.flag("apply_b_dec_to_input", True)
        if self.transcodes and subtracts:
            raise self.values.refused("apply_b_dec_to_input", "false: b_dec belongs to a transcoder's output")
        return spec_of(
            self.path,
            d_in=d_in,
            d_out=self.values.whole("d_out", 768) if self.transcodes else d_in,
            width=self.width,
            wiring="transcoder" if self.transcodes else "autoencoder",
            subtracts_input_bias=subtracts,
            skip="skip" in self.architecture,
            normalisation=NORMALISATIONS[self._normalisation],
            **own.points(self._place(), reads, writes),
        )

    def layout(self) -> Layout:
        """What the tensors are called."""
        return layout(self.architecture)

    def metadata(self, density: list[float] | None) -> dict[str, Any]:
        """Where it comes from; `log10_density` is how often each feature is active."""
        place = self._place()
        found = {
            "model": own.hub_name(place.text("model_name", None)),
            "context": place.whole("context_size", None),
            "prepend_bos": place.flag("prepend_bos", None),
        }
        known = own.metadata(self.values if own.ENTRY not in place else place, "saelens", **found)
        return known if density is None else {**known, "log10_density": density}

    def _place(self) -> Settings:
        """Where the configuration has what concerns the model: since version 6 in a mapping of its own."""
        return self.values.section("metadata") if "metadata" in self.values else self.values


def layout(architecture: str) -> Layout:
    """What the tensors of an architecture are called."""
    names = {"W_enc": "W_enc", "W_dec": "W_dec", "b_dec": "b_dec"}
    if architecture == "gated":
        return names | {name: f"activation.{name}" for name in ("b_gate", "b_mag", "r_mag")}
    if architecture == "matching_pursuit":
        return names
    names["b_enc"] = "b_enc"
    if "jumprelu" in architecture or "batchtopk" in architecture:
        names["threshold"] = "activation.threshold"
    if "skip" in architecture:
        names["W_skip"] = "W_skip.T"
    return names
