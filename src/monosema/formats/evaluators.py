"""A dictionary as other libraries' evaluators expect an SAE: SAEBench's core evaluation and SAELens' evals."""

import re
from dataclasses import asdict, dataclass, field
from types import SimpleNamespace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.formats.equal import dense
from monosema.formats.own import lens_name

_LAYER = re.compile(r"blocks\.(\d+)\.")


@dataclass
class EvaluatorConfig:
    """What evaluators read of an SAE's configuration; `metadata` holds the same again, where SAELens looks for it."""

    model_name: str
    d_in: int
    d_sae: int
    hook_layer: int
    hook_name: str
    architecture: str
    context_size: int | None
    prepend_bos: bool
    dtype: str
    device: str
    apply_b_dec_to_input: bool
    normalize_activations: str = "none"
    activation_fn_str: str = ""
    activation_fn_kwargs: dict[str, Any] = field(default_factory=dict)
    hook_head_index: int | None = None
    finetuning_scaling_factor: bool = False
    model_from_pretrained_kwargs: dict[str, Any] = field(default_factory=dict)
    dataset_path: str = ""
    dataset_trust_remote_code: bool = False
    exclude_special_tokens: bool = False
    seqpos_slice: tuple[int | None, ...] = (None,)
    training_tokens: int = -100_000
    sae_lens_training_version: str | None = None
    neuronpedia_id: str | None = None

    def __post_init__(self):
        self.metadata = SimpleNamespace(**asdict(self))

    def to_dict(self) -> dict[str, Any]:
        """The values without `metadata`."""
        return asdict(self)


class EvaluatorSAE(nn.Module):
    """A dictionary whose decoder rows are unit vectors, and whose codes are as much larger; it reconstructs the same.

    `W_enc [d_in, width]`, `b_enc [width]`, `W_dec [width, d_in]`, `b_dec [d_in]` are those that the codes belong to.
    """

    def __init__(self, dictionary: Dictionary, config: EvaluatorConfig):
        super().__init__()
        self.dictionary = dense(dictionary).eval()
        self.norms: Tensor
        self.cfg = config
        self.hook_z_reshaping_mode = False
        norms = self.dictionary.decoder_norms().detach()
        self.register_buffer("norms", torch.where(norms > 0, norms, 1))
        self._last: Tensor | None = None

    @property
    def W_enc(self) -> Float[Tensor, "d_in width"]:
        """The encoder."""
        return self.dictionary.W_enc.detach() * self.norms

    @property
    def b_enc(self) -> Float[Tensor, " width"]:
        """The encoder's bias; of a gated dictionary, the bias of its magnitudes."""
        own = getattr(self.dictionary.activation, "b_mag", None)
        return (self.dictionary.b_enc if own is None else own).detach() * self.norms

    @property
    def W_dec(self) -> Float[Tensor, "width d_in"]:
        """The decoder: unit rows, and rows of zeros where the dictionary has them."""
        return self.dictionary.W_dec.detach() / self.norms[:, None]

    @property
    def b_dec(self) -> Float[Tensor, " d_in"]:
        """The decoder's bias."""
        return self.dictionary.b_dec.detach()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.dictionary.W_enc.device

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the weights."""
        return self.dictionary.W_enc.dtype

    @torch.no_grad()
    def encode(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch width"]:
        """Codes; the input is remembered, because some dictionaries need it to decode."""
        self._last = x
        return self.dictionary.encode(x) * self.norms

    @torch.no_grad()
    def decode(self, feature_acts: Float[Tensor, "*batch width"]) -> Float[Tensor, "*batch d_in"]:
        """The reconstruction of codes; where the input is needed (a skip, a normalisation), of the last one encoded.

        Raises:
            InputError: it is needed, and the last input encoded was of another shape.
        """
        codes = feature_acts / self.norms
        if self.dictionary.W_skip is None and self.dictionary.spec.normalisation == "none":
            return self.dictionary.decode(codes)
        if self._last is None or self._last.shape[:-1] != codes.shape[:-1]:
            raise InputError("codes of another input than the last", expected="encode, then decode: both need it")
        return self.dictionary.decode(codes, self._last)

    def forward(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_in"]:
        """`decode(encode(x))`."""
        return self.decode(self.encode(x))

    def turn_off_forward_pass_hook_z_reshaping(self) -> None:
        """Nothing: the heads' outputs are taken side by side always."""

    def turn_on_forward_pass_hook_z_reshaping(self) -> None:
        """Nothing, as above."""


def for_evaluators(
    dictionary: Dictionary, *, model_name: str | None = None, hook_name: str | None = None, prepend_bos: bool = True
) -> EvaluatorSAE:
    """A dictionary in the form that SAEBench's core evaluation and SAELens' evals take.

    Args:
        dictionary: an autoencoder: they compare with what it reads.
        model_name: the model's name as TransformerLens knows it; by default that in the metadata.
        hook_name: TransformerLens' name of the hook point; by default the one that the dictionary reads.
        prepend_bos: whether texts begin with the model's first token.

    Raises:
        InputError: a transcoder, or a model or hook point that nobody names.
    """
    spec, metadata = dictionary.spec, dictionary.metadata
    if not spec.writes_what_it_reads:
        raise InputError("a transcoder", expected="an autoencoder: evaluators compare with what it reads")
    model = model_name or metadata.get("model")
    hook = hook_name or (lens_name(spec.reads[0]) if len(spec.reads) == 1 else None)
    layer = None if hook is None else _LAYER.match(hook)
    if not isinstance(model, str) or hook is None or layer is None:
        raise InputError(
            f"model {model!r} and hook point {hook!r}",
            expected="model_name= and hook_name= as TransformerLens calls them, such as blocks.3.hook_resid_post",
        )
    return EvaluatorSAE(dictionary, _config(dictionary, model, hook, int(layer[1]), prepend_bos))


def _config(dictionary: Dictionary, model: str, hook: str, layer: int, prepend_bos: bool) -> EvaluatorConfig:
    spec, weight, context = dictionary.spec, dictionary.W_enc, dictionary.metadata.get("context")
    return EvaluatorConfig(
        model_name=model,
        d_in=spec.d_in,
        d_sae=spec.width,
        hook_layer=layer,
        hook_name=hook,
        architecture=dictionary.activation.name,
        context_size=context if isinstance(context, int) else None,
        prepend_bos=prepend_bos,
        dtype=str(weight.dtype).removeprefix("torch."),
        device=str(weight.device),
        apply_b_dec_to_input=spec.input_bias == "b_dec",
        normalize_activations=spec.normalisation,
    )
