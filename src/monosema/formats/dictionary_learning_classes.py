"""The classes of dictionary_learning: what their tensors are called, and what they compute."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from monosema.dictionaries import BatchTopK, Dictionary
from monosema.errors import InputError
from monosema.formats.outline import Layout

_LINEAR = {"encoder.weight": "W_enc.T", "decoder.weight": "W_dec.T"}
_NAMED = {name: name for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
_CHOOSING = {**_LINEAR, "encoder.bias": "b_enc", "b_dec": "b_dec"}
_THRESHOLD = {"threshold": "activation.threshold"}


@dataclass(frozen=True)
class Class:
    """One of its classes."""

    name: str
    activation: str
    subtracts: bool
    """Whether `b_dec` is subtracted from the input."""
    layout: Layout
    counts: Collection[str] = ()
    """Tensors beside the weights."""

    @property
    def encoder(self) -> str:
        """The name of the encoder's matrix."""
        return next(theirs for theirs, ours in self.layout.items() if ours.startswith("W_enc"))


CLASSES = {
    known.name: known
    for known in (
        Class("AutoEncoder", "relu", True, {**_LINEAR, "encoder.bias": "b_enc", "bias": "b_dec"}),
        Class("AutoEncoderNew", "relu", False, {**_LINEAR, "encoder.bias": "b_enc", "decoder.bias": "b_dec"}),
        Class(
            "GatedAutoEncoder",
            "gated",
            True,
            {
                **_LINEAR,
                "decoder_bias": "b_dec",
                "r_mag": "activation.r_mag",
                "gate_bias": "activation.b_gate",
                "mag_bias": "activation.b_mag",
            },
        ),
        Class("JumpReluAutoEncoder", "jumprelu", False, {**_NAMED, **_THRESHOLD}),
        Class("AutoEncoderTopK", "topk", True, _CHOOSING, ("k", "threshold")),
        Class("BatchTopKSAE", "batch_topk", True, {**_CHOOSING, **_THRESHOLD}, ("k",)),
        Class("MatryoshkaBatchTopKSAE", "batch_topk", True, {**_NAMED, **_THRESHOLD}, ("k", "group_sizes")),
    )
}


def class_of(tensors: Collection[str], where: Path) -> Class:
    """The class whose tensors these are.

    Raises:
        InputError: there is none, or two: only the configuration tells AutoEncoderTopK from BatchTopKSAE.
    """
    fitting = [known for known in CLASSES.values() if {*known.layout, *known.counts} == set(tensors)]
    if len(fitting) != 1:
        raise InputError(
            f"{where} has tensors {', '.join(sorted(map(str, tensors)))[:200]}",
            expected="those of one class of dictionary_learning",
            hint="a config.json with trainer.dict_class beside it says which" if fitting else None,
        )
    return fitting[0]


def class_for(dictionary: Dictionary) -> Class:
    """The class that computes what a dictionary does.

    Raises:
        InputError: there is none.
    """
    spec, kind = dictionary.spec, dictionary.activation.name
    if spec.d_in != spec.d_out or spec.skip or spec.normalisation != "none":
        raise InputError(
            f"a dictionary from {spec.d_in} to {spec.d_out} numbers"
            + (" with a skip connection" if spec.skip else "")
            + (f" after {spec.normalisation}" if spec.normalisation != "none" else ""),
            expected="one size on both sides, and nothing beside encoder and decoder: dictionary_learning has no other",
            hint="--to monosema keeps it",
        )
    usable = [known for known in CLASSES.values() if spec.writes_what_it_reads or not known.subtracts]
    fitting = [known for known in usable if known.activation == kind]
    if not fitting:
        known = sorted({known.activation for known in usable})
        raise InputError(
            f"dictionary_learning has no {spec.wiring} with {kind}",
            expected=", ".join(known),
            hint="--to monosema keeps it",
        )
    if isinstance(dictionary.activation, BatchTopK):
        if dictionary.activation.threshold < 0:
            raise InputError("a batch_topk dictionary whose threshold was never set", expected="a trained one")
        return fitting["group_sizes" in dictionary.metadata]
    same = [known for known in fitting if known.subtracts == (spec.input_bias == "b_dec")]
    return (same or fitting)[0]
