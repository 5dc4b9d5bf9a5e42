"""From a run's configuration to what it has to do, without loading a weight or reading a row."""

from collections.abc import Mapping
from dataclasses import replace

import torch

from monosema.activations.joined import tensors_for
from monosema.activations.store import Place, read_index
from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.models import pass_cost
from monosema.planning import DictionaryShape, ModelShape, Workload
from monosema.planning.workload import stored_bytes
from monosema.recipes import Recipe
from monosema.recipes.penalised import Penalised
from monosema.recipes.topk import TopKFamily
from monosema.runs.config import DictionaryConfig, RunConfig
from monosema.runs.data import as_in_its_store
from monosema.runs.models import blueprints_of
from monosema.runs.resolve import resolve, spec_of

CONTEXT_BATCH = 16
"""Contexts in a pass of the model."""
MOMENTS = {"adam": 2, "muon": 1, "signum": 1, "schedule_free": 2}
"""Numbers that each optimiser keeps for a parameter; of Muon's, few lie outside matrices and are Adam's."""
UNKNOWN_L0 = 64.0
"""Active features where a coefficient decides about them."""


def workload_of(config: RunConfig, *, fast_bfloat16: bool = True) -> Workload:
    """What a run has to do.

    Args:
        config: the run.
        fast_bfloat16: whether "auto" precision is bfloat16, as on a GPU.

    Raises:
        InputError: the model's configuration, the store or the file that it names cannot be used, or a hook point.
    """
    config = as_in_its_store(config)
    model, widths, rows = _read(config, fast_bfloat16)
    index = read_index(Place(config.store)) if config.store else None
    resolved = resolve(replace(config, device="cpu"), widths, None)
    shapes = {str(d.name): shape_of(d, widths) for d in resolved.dictionaries}
    if index is not None and (missing := set(widths) - set(index.points)):
        raise InputError(
            f"hook points {', '.join(sorted(missing))}", expected=f"those of the store: {', '.join(index.points)}"
        )
    low = fast_bfloat16 if config.precision == "auto" else config.precision == "bfloat16"
    return Workload(
        dictionaries=shapes,
        points=widths,
        tokens=config.tokens,
        batch_size=config.batch_size,
        buffer=config.buffer,
        context=config.context,
        shuffle=config.shuffle,
        size=2 if low else 4,
        row_size=model.size if model else 4,
        model=model,
        stored=stored_bytes(index.points, index.dtype) if index else None,
        rows_in_memory=rows,
        checkpoints=config.keep_checkpoints + len(config.checkpoint_at),
    )


def shape_of(config: DictionaryConfig, widths: Mapping[str, int]) -> DictionaryShape:
    """What a resolved dictionary's costs depend on; its weights are counted on the meta device."""
    recipe = config.recipe
    spec = replace(spec_of(config, widths), subtracts_input_bias=recipe.subtracts_input_bias)
    with torch.device("meta"):
        dictionary = Dictionary(spec, recipe.activation(spec.width))
    read, written = spec.sizes_in or (spec.d_in,), spec.sizes_out or (spec.d_out,)
    turned = read if spec.wiring == "autoencoder" else (*read, *written)
    return DictionaryShape(
        d_in=spec.d_in,
        d_out=spec.d_out,
        width=spec.width,
        active=min(_active(recipe), spec.width),
        parameters=sum(p.numel() for p in dictionary.parameters()),
        buffers=sum(b.numel() for b in dictionary.buffers()),
        moments=MOMENTS[recipe.optimiser],
        axes=sum(d * d for d in turned) if recipe.basis == "principal" else 0,
        transcoder=spec.wiring != "autoencoder",
        aux=recipe.aux > 0,
        dense=not isinstance(recipe, TopKFamily),
        by_row=recipe.by_row,
        factor=recipe.step_cost,
        gpu_factor=recipe.step_cost_on_gpu,
    )


def _active(recipe: Recipe) -> float:
    if isinstance(recipe, TopKFamily):
        return float(recipe.k_start or recipe.k)
    return (recipe.goal if isinstance(recipe, Penalised) else None) or UNKNOWN_L0


def _read(config: RunConfig, fast16: bool) -> tuple[ModelShape | None, dict[str, int], int]:
    """The model, if there is one (or both), the size of each hook point, and the bytes of a file that is held."""
    if config.activations is not None:
        return _file(config)
    model = blueprints_of(config, fast16=fast16)
    contexts = max(min(CONTEXT_BATCH, config.buffer // 2 // config.context), 1)
    if model.max_context and config.context > model.max_context:
        raise InputError(
            f"contexts of {config.context} tokens for {model.name}", expected=f"at most {model.max_context}"
        )
    cost = pass_cost(model, config.points, contexts, config.context)
    weights = [w for each in model.models for w in (*each.module.parameters(), *each.module.buffers())]
    shape = ModelShape(
        weights=sum(w.nbytes for w in weights),
        parameters_run=cost.parameters,
        flops=cost.flops / (contexts * config.context),
        traffic=cost.traffic / (contexts * config.context),
        pass_bytes=cost.bytes,
        size=model.dtype.itemsize,
        vocabulary=(model.vocabulary or 0) if model.predicts_next else 0,
        models=len(model.models),
    )
    return shape, dict(cost.widths), 0


def _file(config: RunConfig) -> tuple[None, dict[str, int], int]:
    tensors = tensors_for(str(config.activations), config.points)
    for point in config.points:
        if point not in tensors or tensors[point].ndim < 2:
            raise InputError(f"site {point!r}", expected=f"a tensor in {config.activations}: {', '.join(tensors)}")
    rows = sum(tensors[point].nbytes for point in config.points)
    return None, {point: tensors[point].shape[-1] for point in config.points}, rows
