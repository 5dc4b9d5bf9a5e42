"""Loading a model: the embedded one, one from a folder or from the Hugging Face hub, or any module handed over."""

import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from monosema import tiny
from monosema.device import has_fast_bf16, pick_device
from monosema.errors import InputError
from monosema.models.expressions import parsed
from monosema.models.families import Family, families
from monosema.models.hook_points import HookPoint
from monosema.models.names import resolve, text_config

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "vocab.txt")


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
    def predicts_next(self) -> bool:
        """Whether this is a causal language model with a head, which yields logits of the next token."""
        config = getattr(self.module, "config", None)
        can_generate: Callable[[], bool] = getattr(self.module, "can_generate", lambda: False)
        # A BERT with a language-model head predicts the next token only if it was made a decoder.
        causal = self.family is None or self.family.causal or getattr(config, "is_decoder", False)
        return can_generate() and causal and not getattr(config, "is_encoder_decoder", False)

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
        return self.module(inputs.to(self.device), **no_cache)

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
        return self.run(ids).logits

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


def load_model(
    what: str | Path | nn.Module,
    *,
    tokenizer: "PreTrainedTokenizerBase | str | Path | None" = None,
    device: str = "auto",
    dtype: str | torch.dtype = "auto",
    revision: str | None = None,
) -> LoadedModel:
    """A model ready to be read: in evaluation mode and, if it was loaded here, frozen.

    Weights come from safetensors only, and no code from the hub is run. A module that is handed over stays where it is
    and as precise as it is when `device` and `dtype` are "auto".

    Args:
        what: "tiny" (the embedded model), a local folder, a name on the Hugging Face hub, or any module.
        tokenizer: a tokenizer, or where to load one; by default the one that lies beside the model, if any.
        device: "auto" (cuda, mps or cpu, the first there is) or a device's name.
        dtype: "auto" (the checkpoint's 16 bits where `device` is fast with them, else float32), "float32", "bfloat16"
            or "float16".
        revision: the model's branch, tag or commit on the hub.

    Raises:
        InputError: the model or tokenizer is not there, is damaged or needs code of its own; or the device is not here.
    """
    wanted = DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if wanted is None and dtype != "auto":
        raise InputError(f"unknown dtype {dtype!r}", expected=f"auto, {', '.join(DTYPES)}")
    if isinstance(what, nn.Module):
        place = None if device == "auto" else pick_device(device)
        module, name = what.to(device=place, dtype=wanted or None), type(what).__name__
    else:
        name, place = str(what), pick_device(device)
        source = locate(what)
        module = _load_module(source, place, wanted, revision).to(place).requires_grad_(False)
        if tokenizer is None and _has_tokenizer(source, revision):
            tokenizer = _load_tokenizer(source, revision)
    if isinstance(tokenizer, (str, Path)):
        tokenizer = _load_tokenizer(locate(tokenizer), None)  # the revision is the model's
    model_type = str(getattr(getattr(module, "config", None), "model_type", None))
    family = families[model_type] if model_type in families else None  # noqa: SIM401 - a registry's get would raise
    return LoadedModel(module.eval(), tokenizer, name, family)


def locate(what: str | Path) -> str:
    """The local folder or hub name that `what` means."""
    if what == "tiny":
        return str(tiny.PATH)
    path = Path(what).expanduser()
    if path.is_dir():
        return str(path)
    if isinstance(what, Path) or what.startswith((".", "/", "~")) or what.count("/") > 1 or path.exists():
        raise InputError(f"no folder {what}", expected="a folder with a model in Hugging Face format")
    return what


def _load_module(source: str, device: torch.device, dtype: torch.dtype | None, revision: str | None) -> nn.Module:
    import transformers

    config = ask(transformers.AutoConfig.from_pretrained, source, revision)
    # Gemma 2 caps its attention logits, which scaled_dot_product_attention does not do.
    attention = "eager" if getattr(config, "attn_logit_softcapping", None) else None
    module, report = ask(
        getattr(transformers, auto_class(config)).from_pretrained,
        source,
        revision,
        config=config,
        dtype=dtype or _auto_dtype(config, device),
        attn_implementation=attention,
        use_safetensors=True,
        output_loading_info=True,
    )
    # An encoder's pooler is no part of what is read, and many checkpoints lack it.
    missing = sorted(key for key in report["missing_keys"] if "pooler." not in key)
    if missing:
        raise InputError(
            f"the weights of {source} lack {len(missing)} tensors of a {type(module).__name__} ({missing[0]}, …)",
            expected="every weight of the model",
            hint="download or save it again",
        )
    return module


def auto_class(config: Any) -> str:
    """The name of the class of transformers that loads the model with its head."""
    architecture = (getattr(config, "architectures", None) or [""])[0]
    if architecture.endswith("ForMaskedLM"):
        return "AutoModelForMaskedLM"
    causal = config.model_type in families and families[config.model_type].causal
    # GPT-2 calls its model with a head LMHeadModel; Gemma 3 models that also see are called ForConditionalGeneration.
    heads = ("ForCausalLM", "LMHeadModel", *(("ForConditionalGeneration",) if causal else ()))
    return "AutoModelForCausalLM" if architecture.endswith(heads) or (causal and not architecture) else "AutoModel"


def _auto_dtype(config: Any, device: torch.device) -> torch.dtype:
    """The checkpoint's own type if it has 16 bits and `device` is fast with them, else float32."""
    own = getattr(config, "dtype", None)
    fast = (own == torch.bfloat16 and has_fast_bf16(device)) or (own == torch.float16 and device.type == "cuda")
    return own if fast and own is not None else torch.float32


def _has_tokenizer(source: str, revision: str | None) -> bool:
    """Whether a tokenizer lies beside the model; without its files, transformers makes up one that knows no text."""
    from transformers.utils.hub import cached_file

    for file in _TOKENIZER_FILES:
        try:
            cached_file(source, file, revision=revision)
        except OSError:
            continue
        return True
    return False


def _load_tokenizer(source: str, revision: str | None) -> "PreTrainedTokenizerBase":
    from transformers import AutoTokenizer

    if not _has_tokenizer(source, revision):
        raise InputError(f"no tokenizer in {source}", expected=f"one of {', '.join(_TOKENIZER_FILES)} there")
    return ask(AutoTokenizer.from_pretrained, source, revision)


def ask(loader: Callable[..., Any], source: str, revision: str | None, **options: Any) -> Any:
    """What a loader of transformers yields, its many errors turned into one."""
    from huggingface_hub import constants
    from safetensors import SafetensorError

    local = os.path.isdir(source)
    try:
        with _without_bars() if local else nullcontext():
            return loader(source, revision=revision, trust_remote_code=False, **options)
    except (OSError, ValueError, RuntimeError, ImportError, SafetensorError) as error:
        offline = not local and ("connect" in str(error) or constants.HF_HUB_OFFLINE)
        reason = "it is not on this machine, and the Hugging Face hub cannot be reached"
        raise InputError(
            f"cannot load {source}: {reason if offline else str(error).strip().splitlines()[0]}",
            hint="check the files there"
            if local
            else "check the name, or pass the path of a local folder that holds config.json and model.safetensors",
        ) from error


@contextmanager
def _without_bars() -> Iterator[None]:
    """Reading local files takes no time worth a progress bar; downloading does, and keeps its own."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
