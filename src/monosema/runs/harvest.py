"""Harvesting: a configuration in, a store of activations out."""

from pathlib import Path
from typing import Any

from monosema.activations import Contexts, MixedContexts
from monosema.activations.store import Harvester, Index, Place, new_store, old_store
from monosema.config import to_dict
from monosema.errors import InputError
from monosema.models import Readable, width_of
from monosema.runs.data import training_text
from monosema.runs.harvest_config import HarvestConfig
from monosema.runs.models import models_of
from monosema.runs.parallel import Parallel
from monosema.runs.processes import join


def harvest(
    config: HarvestConfig, out: str | Path, *, device: str = "auto", resume: bool = False, repair: bool = False
) -> tuple[Index, list[str]]:
    """Writes a store. The processes that `torchrun` has started take turns at it: the bytes are those of one.

    Args:
        config: what is read, and how it is stored.
        out: a folder, or any fsspec address.
        device: where the model computes.
        resume: go on with the store that is there, behind its last shard.
        repair: make again what is missing or damaged of the store that is there.

    Returns:
        Its index, and the names of the shards that were repaired.

    Raises:
        InputError: bad input, a store that was begun otherwise, or one that is finished and is to go on.
        OSError: it could not be written; what is there stays whole.
    """
    with join(Parallel(), device) as processes:
        place = Place(out)
        model = models_of(config, device)
        index = _described(config, model)
        index = processes.first_does(lambda: (old_store if resume or repair else new_store)(place, index))
        if resume and index.finished:
            raise InputError(f"the store in {out} is finished", hint="--repair checks its shards")
        text = config.text if config.all_text else training_text(config.text)
        contexts = MixedContexts(Contexts(model.tokenizer, text, config.context), config.shuffle, seed=config.seed)
        harvester = Harvester(model, contexts, place, index, config.keep, processes.world)
        if repair:
            return index, harvester.repair()
        return harvester.finish(), []


def _described(config: HarvestConfig, model: Readable) -> Index:
    made_from: dict[str, Any] = to_dict(config)
    return Index(
        made_from=made_from | {"dtype": str(model.dtype).removeprefix("torch.")},
        points={point: width_of(model, point) for point in dict.fromkeys(config.site)},
        dtype=config.stored,
        context=config.context,
        contexts=config.tokens // config.context,
        shard_contexts=config.shard_tokens // config.context,
        context_batch=config.context_batch,
        norm_limits={},
    )
