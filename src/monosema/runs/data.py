"""What a run reads: the model and its text, or a file of activations, each with a part held out for measuring."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from itertools import islice

from jaxtyping import Float, Int
from torch import Tensor

from monosema.activations import (
    Contexts,
    Documents,
    MixedContexts,
    ModelSource,
    ReadAhead,
    Source,
    TensorSource,
    open_text,
    take_contexts,
)
from monosema.activations.gathered import GatheredSource
from monosema.activations.joined import JoinedSource, joined, needed, tensors_for
from monosema.activations.store import Place, StoreSource, read_index
from monosema.device import pick_device
from monosema.errors import InputError
from monosema.models import Readable, of_second
from monosema.runs.config import RunConfig
from monosema.runs.harvest_config import config_of
from monosema.runs.models import models_of
from monosema.runs.processes import ONLY, Processes
from monosema.runs.read_config import ReadConfig

HELDOUT_ONE_IN = 20
HELDOUT_WINDOW = 2**22  # tokens


@dataclass(frozen=True)
class Heldout:
    """What dictionaries are measured on: a model, or two, with contexts of tokens, or rows of activations."""

    model: Readable | None = None
    contexts: Int[Tensor, "n position"] | None = None
    rows: Mapping[str, Float[Tensor, "rows d"]] | None = None


@dataclass(frozen=True)
class Data:
    """A run's training stream and its held-out part."""

    source: Source
    heldout: Heldout

    @property
    def heads(self) -> dict[str, int]:
        """How many attention heads lie side by side at those of the source's hook points where they do."""
        model = self.heldout.model
        found = {} if model is None else {point: model.heads_at(point) for point in self.source.widths}
        return {point: heads for point, heads in found.items() if heads is not None}

    @property
    def dtype(self) -> str | None:
        """The precision of the model, if there is one."""
        model = self.heldout.model
        return None if model is None else str(model.dtype).removeprefix("torch.")


def as_in_its_store(config: RunConfig) -> RunConfig:
    """The run with what the store that it reads, if it does, was made from.

    Raises:
        InputError: there is no such store, or the run says something else.
    """
    if config.store is None:
        return config
    if config.activations is not None:
        raise InputError("a store and a file of activations", expected="one of the two")
    made, plain, names = config_of(config.store), ReadConfig(), [f.name for f in fields(ReadConfig)]
    for name in names:
        if getattr(config, name) not in (getattr(plain, name), getattr(made, name)):
            raise InputError(
                f"{name} = {getattr(config, name)} with the store {config.store}",
                expected=f"{getattr(made, name)}, which it was made with",
                hint=f"leave {name} out, or harvest another store",
            )
    if made.all_text and config.heldout is None:
        raise InputError(
            f"the store {config.store} holds all of its text", expected="another text to measure on", hint="--heldout"
        )
    same = {name: getattr(made, name) for name in names}
    if config.second is None and not any(map(of_second, config.points)):
        same |= {"second": None, "second_revision": None}  # a store of two models, of which one is trained on
    return replace(config, **same)


def open_data(config: RunConfig, processes: Processes = ONLY) -> Data:
    """Opens what a run reads; the errors of bad input come from here, before anything is written."""
    return _open_file(config, processes) if config.activations else _open_model(config, processes)


def _open_model(config: RunConfig, processes: Processes) -> Data:
    if config.store and not processes.leads:
        return Data(_stored(config, processes), Heldout())  # it need not measure
    model = models_of(config, config.device)
    training, heldout = config.text, config.heldout
    if heldout is None:
        training, heldout = training_text(config.text), heldout_text(config.text)
    source = _stored(config, processes) if config.store else _streamed(config, model, training, processes)
    return Data(source, Heldout(model, heldout_contexts(model, heldout, config.context, config.heldout_tokens)))


def _stored(config: RunConfig, processes: Processes) -> Source:
    assert config.store is not None
    points = needed(config.points, read_index(Place(config.store)).points)
    source = StoreSource(
        config.store,
        points,
        batch_size=config.batch_size,
        window_rows=config.buffer,
        seed=config.seed,
        part=(processes.ranks.rows.rank, processes.ranks.rows.size),
    )
    return _ahead(source if points == list(config.points) else JoinedSource(source, config.points), config)


def _streamed(config: RunConfig, model: Readable, training: str | Documents, processes: Processes) -> Source:
    """Of several processes, each reads every so-many-th document."""
    count, rank = processes.world.size, processes.world.rank
    if count > 1:
        training = _every(open_text(training), lambda i: i % count == rank)
    source = ModelSource(
        model,
        MixedContexts(
            Contexts(model.tokenizer, training, config.context, repeat=True), config.shuffle // count, seed=config.seed
        ),
        config.points,
        batch_size=config.batch_size // count,
        buffer_rows=config.buffer // count,
        seed=config.seed,
        keep=config.keep,
    )
    return source if count == 1 else GatheredSource(source, processes.readers, processes.world)


def heldout_contexts(model: Readable, text: str | Documents, context: int, tokens: int) -> Int[Tensor, "n position"]:
    """Contexts to measure on, from all over a text; always the same ones."""
    return take_contexts(MixedContexts(Contexts(model.tokenizer, text, context), HELDOUT_WINDOW), tokens)


def heldout_text(text: str) -> str | Documents:
    """The part of a training text that is held out where no other text is named: one document in twenty."""
    if text == "tiny:train":
        return "tiny:heldout"
    return _every(open_text(text), lambda i: i % HELDOUT_ONE_IN == 0)


def training_text(text: str) -> str | Documents:
    """The part of a text that is not held out.

    Raises:
        InputError: the text is one document.
    """
    if text == "tiny:train":
        return text
    documents = open_text(text)
    if len(list(islice(documents, 2))) == 1:
        raise InputError(
            f"{text} is one document, which cannot be both trained on and held out",
            expected="several documents, such as the lines of a .jsonl file",
            hint="or name another text to measure on: --heldout",
        )
    return _every(documents, lambda i: i % HELDOUT_ONE_IN > 0)


def _every(documents: Documents, takes: Callable[[int], bool]) -> Documents:
    return Documents(lambda: (text for i, text in enumerate(documents) if takes(i)))


def load_rows(path: str, points: Iterable[str]) -> dict[str, Float[Tensor, "rows d"]]:
    """The activations in a file at some hook points, as rows; a tensor without a name is at the only one.

    Raises:
        InputError: the file cannot be read, has no tensor for a hook point, or one that is no finite activations.
    """
    points = list(points)
    chosen = joined(tensors_for(path, points), points)
    TensorSource(chosen, batch_size=1)  # refuses what is no activations, by its row in the file
    return {point: tensor.flatten(0, -2) for point, tensor in chosen.items()}


def heldout_part(rows: Mapping[str, Float[Tensor, "rows d"]]) -> dict[str, Float[Tensor, "fewer d"]]:
    """The rows that are held out where no other file is named: one in twenty."""
    return {point: x[::HELDOUT_ONE_IN] for point, x in rows.items()}


def first_rows(rows: Mapping[str, Float[Tensor, "rows d"]], n: int) -> dict[str, Float[Tensor, "n d"]]:
    """The first `n` rows, to measure on."""
    return {point: x[:n].float() for point, x in rows.items()}


def _open_file(config: RunConfig, processes: Processes) -> Data:
    assert config.activations is not None
    rows = load_rows(config.activations, config.points)
    if config.heldout is None:
        held, rows = heldout_part(rows), {point: _without_every(x, HELDOUT_ONE_IN) for point, x in rows.items()}
    else:
        held = load_rows(config.heldout, config.points)
    part = (processes.ranks.rows.rank, processes.ranks.rows.size)
    source = _ahead(TensorSource(rows, config.batch_size, seed=config.seed, part=part), config)
    sizes = {point: x.shape[1] for point, x in held.items()}
    if sizes != source.widths:
        raise InputError(f"held-out activations of sizes {sizes}", expected=f"{source.widths}, as in training")
    return Data(source, Heldout(rows=first_rows(held, config.heldout_tokens)))


def _ahead(source: Source, config: RunConfig) -> Source:
    """Batches that come from memory reach a GPU before they are needed."""
    device = pick_device(config.device)
    return ReadAhead(source, device) if device.type == "cuda" else source


def _without_every(rows: Float[Tensor, "rows d"], n: int) -> Float[Tensor, "fewer d"]:
    kept = [i for i in range(n) if i]
    whole = len(rows) // n * n
    return rows[:whole].unflatten(0, (-1, n))[:, kept].flatten(0, 1)
