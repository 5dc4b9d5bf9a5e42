"""The configuration of a run. The same classes are the Python API, the YAML file and the command line."""

from dataclasses import dataclass, field
from typing import Literal

from monosema.config import register_grid, register_tagged
from monosema.errors import InputError
from monosema.models import parsed
from monosema.recipes import Recipe, recipes
from monosema.runs import grid
from monosema.runs.parallel import Parallel
from monosema.runs.read_config import ReadConfig

register_tagged(Recipe, recipes)


@dataclass(frozen=True)
class DictionaryConfig:
    """One dictionary of a run: where it reads and writes, how large it is, and how it learns."""

    recipe: Recipe
    """The training protocol and its hyper-parameters."""
    site: str
    """Hook point to read: resid_post.2, mlp_out.5, blocks.3.attn.hook_z, or a module path."""
    target: str | None = None
    """Hook point to predict (a transcoder); by default the site itself (an autoencoder)."""
    width: int | None = None
    """Number of features."""
    expansion: float | None = None
    """Number of features as a multiple of the site's size, in place of width; 16 if neither is given."""
    wiring: Literal["joined", "crosscoder", "cross_layer"] = "joined"
    """What hook points joined by & are: joined, one long activation; crosscoder, several with a scale and feature norms
    of their own; cross_layer, layers in order, whose features read their own of the site's and write to that and all
    later ones of the target's."""
    skip: bool = False
    """Add a dense linear map from input to output."""
    blocks: int | Literal["heads"] | None = None
    """Cut encoder and decoder into so many blocks, each with its own part of the activations and of the features; heads
    is one for each attention head, on the side or sides that are attn_z.L."""
    name: str | None = None
    """Name of the dictionary and its folder; by default made of recipe, site and what varies."""

    def __post_init__(self):
        if self.width is not None and self.expansion is not None:
            raise InputError(f"width {self.width} and expansion {self.expansion}", expected="one of the two")
        size = self.width if self.width is not None else self.expansion
        if size is not None and size <= 0:
            raise InputError(f"a dictionary of width or expansion {size}", expected="a positive size")
        if isinstance(self.blocks, int) and self.blocks < 1:
            raise InputError(f"{self.blocks} blocks", expected="at least 1, or heads")
        if self.name is not None and (not self.name or self.name.startswith(".") or "/" in self.name):
            raise InputError(f"dictionary name {self.name!r}", expected="a name that can be a folder's")

    @property
    def reads(self) -> tuple[str, ...]:
        """Hook points read, each with a scale of its own."""
        return (self.site,) if self.wiring == "joined" else parsed(self.site).parts

    @property
    def writes(self) -> tuple[str, ...]:
        """Hook points written, each with a scale of its own."""
        target = self.target or self.site
        return (target,) if self.wiring == "joined" else parsed(target).parts


register_grid(DictionaryConfig, grid.dictionaries)


COUNTS = ("tokens", "batch_size", "shuffle", "buffer", "heldout_tokens", "log_every", "evaluate_every")
LEAST = {**dict.fromkeys((*COUNTS, "checkpoint_every", "keep_checkpoints"), 1), "context": 2}
"""The least that counts may be; a single token has no next one to predict."""


@dataclass(frozen=True)
class RunConfig(ReadConfig):
    """A run: what is read, what is trained on it, and how it is measured."""

    dictionaries: tuple[DictionaryConfig, ...]
    """The dictionaries to train; all learn from one stream of activations. In YAML, a hyper-parameter that is a list
    stands for one dictionary with each of its values."""
    activations: str | None = None
    """A file of activations (.npy, .safetensors, .pt, .parquet, .arrow) to train on, in place of a model and text."""
    store: str | None = None
    """A store of activations that monosema harvest wrote, to train on without running the model; what it was made from
    (model, text, context, which tokens are kept) is this run's, too."""
    heldout: str | None = None
    """Text (or file of activations) to measure on; by default one document (or row) in twenty is held out."""
    tokens: int = 1_000_000
    """Tokens (rows of activations) to train on."""
    batch_size: int = 512
    """Tokens per training step."""
    buffer: int = 131_072
    """Tokens whose activations are held in memory to be shuffled; of a store, at least a shard is."""
    seed: int = 0
    """Seed of shuffling and of the dictionaries' starting weights."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1, mps."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Matrix products of training; auto is bfloat16 where the hardware is fast at it. Weights are always float32."""
    heldout_tokens: int = 65_536
    """Held-out tokens to measure on."""
    checkpoint_every: int | None = None
    """Save all that --resume needs each time this many tokens were trained on; when it is interrupted, a run does so
    anyway."""
    keep_checkpoints: int = 2
    """How many of the last checkpoints are kept; none once the run is finished."""
    checkpoint_at: tuple[int, ...] = ()
    """Tokens after which a checkpoint is saved and kept for good."""
    non_finite: Literal["stop", "skip"] = "stop"
    """What a loss that is NaN or infinite does: stop the run and save the batch, or skip the batch and count it."""
    together: bool = False
    """Also measure what is left of the model's predictions when all dictionaries take their places at once, such as a
    transcoder for every MLP."""
    evaluate_every: int | None = None
    """Measure on a part of the held-out text each time this many tokens were trained on."""
    log_every: int = 10
    """Steps between lines of the training log."""
    tensorboard: bool = False
    """Also log to TensorBoard (needs monosema[tensorboard])."""
    wandb: str | None = None
    """Also log to this Weights & Biases project (needs monosema[wandb])."""
    parallel: Parallel = field(default_factory=Parallel)
    """How several processes, as torchrun starts them, share the work."""

    def __post_init__(self):
        if not self.dictionaries:
            raise InputError("a run without dictionaries", expected="at least one")
        for name, minimum in LEAST.items():
            value = getattr(self, name)
            if value is not None and value < minimum:
                raise InputError(f"{name} = {value}", expected=f"at least {minimum}")
        if self.tokens < self.batch_size:
            raise InputError(
                f"{self.tokens} tokens in batches of {self.batch_size}", expected="tokens for at least one batch"
            )
        self.check_second(self.points)
        if self.second is not None and (self.activations is not None or self.together):
            raise InputError(
                f"a second model, {self.second}, with {'together' if self.together else 'a file of activations'}",
                expected="a model and a text to read with both, and one model at a time to put dictionaries into",
            )
        if self.together:
            self._check_apart()
        names = [d.name for d in self.dictionaries if d.name is not None]
        if len(set(names)) < len(names):
            raise InputError(f"dictionaries named {', '.join(names)}", expected="a different name for each")

    def _check_apart(self) -> None:
        written = [point for d in self.dictionaries for point in d.writes]
        crossed = [d for d in self.dictionaries if d.wiring == "crosscoder" and len(d.writes) > 1]
        if crossed:
            raise InputError(
                f"all dictionaries together, of which one is a crosscoder of {crossed[0].site}",
                expected="dictionaries that write what the model computes after all that they read",
                hint="leave together out: a crosscoder is measured at each of its hook points, and at all at once",
            )
        if self.activations is not None or len(set(written)) < len(written):
            raise InputError(
                f"all dictionaries together, which write {', '.join(written)}",
                expected="a model, and one dictionary for each hook point in it",
                hint="leave together out, or train fewer dictionaries",
            )

    @property
    def steps(self) -> int:
        """Training steps: whole batches in `tokens`."""
        return self.tokens // self.batch_size

    @property
    def points(self) -> tuple[str, ...]:
        """Every hook point that a dictionary reads or writes, once."""
        return tuple(dict.fromkeys(p for d in self.dictionaries for p in (*d.reads, *d.writes)))
