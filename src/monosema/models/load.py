"""Loading a model: the embedded one, one from a folder or from the Hugging Face hub, or any module handed over."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from monosema import tiny
from monosema.device import has_fast_bf16, pick_device
from monosema.errors import InputError
from monosema.models.families import Family, families
from monosema.models.lens import LENS, lens_config
from monosema.models.loaded import LoadedModel
from monosema.models.wrappers import tokenizer_of, unwrapped

if TYPE_CHECKING:
    from nnsight import NNsight  # pyright: ignore[reportMissingImports]
    from transformers import PreTrainedTokenizerBase

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "vocab.txt")


def load_model(
    what: "str | Path | nn.Module | NNsight",
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
        what: "tiny" (the embedded model), a local folder, a name on the Hugging Face hub, any module, one of
            TransformerLens' (`HookedTransformer`, `TransformerBridge`) among them, or a model of nnsight.
        tokenizer: a tokenizer, or where to load one; by default the one that lies beside the model, or that a model of
            TransformerLens or nnsight brings along.
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
    if not isinstance(what, (str, Path)):
        tokenizer = tokenizer_of(what) if tokenizer is None else tokenizer
        module = _moved(unwrapped(what), None if device == "auto" else pick_device(device), wanted)
        name = type(module).__name__
    else:
        name, place = str(what), pick_device(device)
        source = locate(what)
        module = _load_module(source, place, wanted, revision).to(place).requires_grad_(False)
        if tokenizer is None and _has_tokenizer(source, revision):
            tokenizer = _load_tokenizer(source, revision)
    if isinstance(tokenizer, (str, Path)):
        tokenizer = _load_tokenizer(locate(tokenizer), None)  # the revision is the model's
    return LoadedModel(module.eval(), tokenizer, name, _family_of(module))


def _family_of(module: nn.Module) -> Family | None:
    if lens_config(module):
        return LENS
    model_type = str(getattr(getattr(module, "config", None), "model_type", None))
    return families[model_type] if model_type in families else None  # noqa: SIM401 - a registry's get would raise


def _moved(module: nn.Module, device: torch.device | None, dtype: torch.dtype | None) -> nn.Module:
    """The module on a device and in a precision, one at a time: TransformerLens' models take no more, and print it."""
    weights = list(module.parameters())
    if device is not None and any(weight.device != device for weight in weights):
        module = module.to(device)
    if dtype is not None and any(weight.dtype != dtype for weight in weights if weight.is_floating_point()):
        module = module.to(dtype)
    return module


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
