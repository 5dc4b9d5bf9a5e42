"""A model without its weights: what its configuration alone says about sizes, and what a pass of it costs."""

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from monosema.errors import InputError
from monosema.models.families import families
from monosema.models.load import DTYPES, ask, auto_class, locate
from monosema.models.loaded import LoadedModel
from monosema.models.pair import Readable
from monosema.models.read import read


@dataclass(frozen=True)
class PassCost:
    """What one forward pass costs that ends at the deepest hook point."""

    flops: int
    """Of matrix products; a multiplication and an addition are two. Attention counts every pair of positions."""
    bytes: int
    """The most that the pass holds beside the weights, what is read at the hook points included."""
    traffic: int
    """Bytes that its operations read and write, one after another, none fused with the next but attention's own."""
    parameters: int
    """Of the modules that run."""
    widths: Mapping[str, int]
    """Hook point → d."""


def blueprint(
    what: str | Path, *, revision: str | None = None, dtype: str = "auto", fast16: bool = True
) -> LoadedModel:
    """The model as `load_model` would load it, but on the meta device: a folder with `config.json` is enough.

    Args:
        what: "tiny", a local folder, or a name on the Hugging Face hub.
        revision: the model's branch, tag or commit on the hub.
        dtype: as `load_model` takes it.
        fast16: whether "auto" means the 16 bits of the model's configuration, as on a GPU.

    Raises:
        InputError: there is no such configuration, or no model can be built from it.
    """
    import transformers

    if dtype != "auto" and dtype not in DTYPES:
        raise InputError(f"unknown dtype {dtype!r}", expected=f"auto, {', '.join(DTYPES)}")
    source = locate(what)
    config = ask(transformers.AutoConfig.from_pretrained, source, revision)
    own = getattr(config, "dtype", None)
    auto = own if fast16 and own in (torch.bfloat16, torch.float16) else torch.float32
    attention = "eager" if getattr(config, "attn_logit_softcapping", None) else None
    build = getattr(transformers, auto_class(config)).from_config
    try:
        with torch.device("meta"):
            module = build(config, dtype=DTYPES.get(dtype, auto), attn_implementation=attention)
    except (ValueError, RuntimeError, ImportError) as error:
        raise InputError(f"no model can be built from the configuration of {source}: {error}") from error
    family = families[config.model_type] if config.model_type in families else None  # noqa: SIM401
    return LoadedModel(module.eval().requires_grad_(False), None, str(what), family)


def pass_cost(model: Readable, points: Sequence[str], contexts: int, length: int) -> PassCost:
    """What it costs to read `contexts` contexts of `length` tokens at hook points, in one pass.

    Of two models it is a pass of each. It is made on the meta device, with the fused attention that no weights of
    attention are held for; a model that looks at values, to see whether contexts are packed or padded, is told that
    they are ones.

    Raises:
        InputError: an unknown hook point, or contexts that the model does not take.
    """
    ran: dict[nn.Module, None] = {}
    whole = nn.ModuleList([each.module for each in model.models])
    hooks = [m.register_forward_pre_hook(lambda m, _: ran.setdefault(m)) for m in whole.modules()]
    held, products = Held(whole), FlopCounterMode(display=False)
    try:
        with torch.device("meta"), held, products, _FusedAttention() as attention:
            found = read(model, torch.zeros(contexts, length, dtype=torch.long), list(points))
    finally:
        for hook in hooks:
            hook.remove()
    weights = {id(p): p.numel() for module in ran for p in module.parameters(recurse=False)}
    widths = {point: x.shape[-1] for point, x in found.items()}
    return PassCost(
        flops=products.get_total_flops() + attention.flops,
        bytes=held.most,
        traffic=held.traffic + attention.traffic,
        parameters=sum(weights.values()),
        widths=widths,
    )


class Held(TorchDispatchMode):
    """Follows the memory that operations make and let go of, beside a module's own, and what they read and write."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.now = self.most = self.traffic = 0
        self._known = {t.untyped_storage()._cdata for t in (*module.parameters(), *module.buffers())}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default and args[0].is_meta:
            return True
        out = func(*args, **(kwargs or {}))
        made = _tensors(out if isinstance(out, (tuple, list)) else (out,))
        if not func.is_view:
            given = _tensors(args) if func is not torch.ops.aten.embedding.default else made  # it picks rows
            self.traffic += sum(tensor.nbytes for tensor in (*given, *made))
        for tensor in made:
            self._note(tensor.untyped_storage())
        return out

    def _note(self, storage: torch.UntypedStorage) -> None:
        if storage._cdata in self._known:
            return
        key, size = storage._cdata, storage.nbytes()
        self._known.add(key)
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._let_go, key, size)

    def _let_go(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


class _FusedAttention(TorchFunctionMode):
    """Stands in for PyTorch's attention, which on the meta device would be the kind that holds all of its weights."""

    def __init__(self):
        super().__init__()
        self.flops = self.traffic = 0

    def __torch_function__(self, func: Callable, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        query, key, value = [*args, *((kwargs or {})[name] for name in ("query", "key", "value")[len(args) :])][:3]
        self.flops += 2 * query.shape[:-1].numel() * key.shape[-2] * (query.shape[-1] + value.shape[-1])
        out = query.new_empty(*query.shape[:-1], value.shape[-1])
        self.traffic += sum(tensor.nbytes for tensor in (query, key, value, out))
        return out


def _tensors(values: Any) -> list[Tensor]:
    """The dense ones among some values, those in lists included."""
    flat = [item for value in values for item in (value if isinstance(value, (tuple, list)) else (value,))]
    return [item for item in flat if isinstance(item, Tensor) and item.layout == torch.strided]
