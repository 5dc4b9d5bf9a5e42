"""Activations on disk: shards of rows with an index, written by a model and read as a source."""

from monosema.activations.store.harvest import Harvester, new_store, old_store
from monosema.activations.store.index import Index, Shard, read_index
from monosema.activations.store.place import Place
from monosema.activations.store.source import StoreSource

__all__ = ["Harvester", "Index", "Place", "Shard", "StoreSource", "new_store", "old_store", "read_index"]
