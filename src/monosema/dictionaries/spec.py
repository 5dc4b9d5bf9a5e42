"""What a dictionary connects: hook points read and written, sizes, maps and wiring."""

from dataclasses import dataclass
from typing import Literal

from monosema.dictionaries.normalisation import NONE, normalisations
from monosema.errors import InputError
from monosema.registry import Registry

BLOCK_DIAGONAL = "block_diagonal"
TRIANGULAR = "triangular"

InputBias = Literal["none", "b_dec", "b_in"]


@dataclass(frozen=True)
class Wiring:
    """How what a dictionary writes relates to what it reads.

    `input_bias` names the bias that is subtracted from the input by recipes that subtract one: an autoencoder's own
    `b_dec`, because both live in one space, or a separate `b_in`.
    """

    writes_what_it_reads: bool
    input_bias: InputBias


wirings: Registry[Wiring] = Registry("wiring")
wirings.register("autoencoder")(Wiring(writes_what_it_reads=True, input_bias="b_dec"))
wirings.register("transcoder")(Wiring(writes_what_it_reads=False, input_bias="b_in"))


@dataclass(frozen=True)
class Spec:
    """What a dictionary connects. Any spec goes with any recipe.

    Raises:
        InputError: a size is not positive, or the sizes or hook points contradict the wiring.
    """

    d_in: int
    """Size of the activations read."""
    d_out: int
    """Size of the activations written."""
    width: int
    """Number of features."""
    reads: tuple[str, ...] = ()
    """Hook points read; several are joined end to end."""
    writes: tuple[str, ...] = ()
    """Hook points written; several are joined end to end."""
    wiring: str = "autoencoder"
    """A registered wiring: `autoencoder` reconstructs what it reads, `transcoder` predicts another hook point."""
    subtracts_input_bias: bool = False
    """Whether a bias is subtracted from the input before it is encoded; a learner sets what its recipe says."""
    skip: bool = False
    """Whether a dense linear map from input to output is added to the reconstruction."""
    encoder: str = "dense"
    """A registered map from activations to features."""
    decoder: str = "dense"
    """A registered map from features to activations."""
    blocks: int = 1
    """Blocks of a map that has some: feature j belongs to block j // (width / blocks). With the decoder `triangular`,
    the features of block i write to hook point i and to all behind it."""
    sizes_in: tuple[int, ...] = ()
    """Sizes of the activations at several hook points read, which add up to `d_in`: each then has a scale and a frame
    of its own in training, as in a crosscoder. Empty where all that is read has one."""
    sizes_out: tuple[int, ...] = ()
    """The same of the hook points written. The map `sites` also keeps their directions' norms apart."""
    normalisation: str = NONE
    """A registered normalisation of each activation before it is encoded. Some published dictionaries have one; recipes
    train with none, on activations that one factor has scaled."""

    def __post_init__(self):
        for name in ("d_in", "d_out", "width"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} = {getattr(self, name)}", expected="a positive size")
        self._check_blocks()
        self._check_sites()
        if self.d_in < normalisations[self.normalisation].least:
            raise InputError(
                f"{self.normalisation} of d_in = {self.d_in}",
                expected=f"at least {normalisations[self.normalisation].least} coordinates",
            )
        wiring = wirings[self.wiring]
        if wiring.writes_what_it_reads and (self.d_in != self.d_out or self.reads != self.writes):
            raise InputError(
                f"an {self.wiring} that reads {self.reads} (d {self.d_in}) and writes {self.writes} (d {self.d_out})",
                expected="the same hook points and sizes on both sides",
                hint="use wiring 'transcoder' to write elsewhere",
            )

    def _check_blocks(self) -> None:
        sides = {"d_in": self.encoder, "d_out": self.decoder}
        divided = [name for name, kind in sides.items() if kind in (BLOCK_DIAGONAL, TRIANGULAR)]
        if self.blocks < 1 or (self.blocks > 1 and not divided):
            raise InputError(f"{self.blocks} blocks of a dense encoder and decoder", expected="1, or a map of blocks")
        for name in [*divided, *(["width"] if divided else [])]:
            if getattr(self, name) % self.blocks:
                raise InputError(
                    f"{self.blocks} blocks of {name} = {getattr(self, name)}", expected=f"a multiple of {self.blocks}"
                )

    def _check_sites(self) -> None:
        sides = (("read", self.reads, self.sizes_in, self.d_in), ("written", self.writes, self.sizes_out, self.d_out))
        for verb, points, sizes, d in sides:
            if sizes and (sum(sizes) != d or min(sizes) < 1 or (points and len(points) != len(sizes))):
                raise InputError(
                    f"sizes {sizes} of what is {verb} at {', '.join(points) or 'no hook point'}",
                    expected=f"one for each hook point, {d} in all",
                )
        if self.decoder == "sites" and len(self.sizes_out) < 2:
            raise InputError(f"decoder sites with sizes_out {self.sizes_out}", expected="several hook points' sizes")
        if TRIANGULAR in (self.encoder, self.decoder):
            self._check_triangular()

    def _check_triangular(self) -> None:
        kinds = (self.encoder, self.decoder)
        even = len(set(self.sizes_out)) == 1 and len(self.sizes_in) == len(self.sizes_out) == self.blocks
        if kinds != (BLOCK_DIAGONAL, TRIANGULAR) or not even or len(set(self.sizes_in)) > 1:
            raise InputError(
                f"encoder {self.encoder} and decoder {self.decoder}, {self.blocks} blocks, from sizes {self.sizes_in} "
                f"to {self.sizes_out}",
                expected=f"{BLOCK_DIAGONAL} and {TRIANGULAR}, with a block for each hook point, all of one size",
            )

    @classmethod
    def autoencoder(cls, point: str, d: int, width: int, *, blocks: int = 1) -> "Spec":
        """A dictionary of `width` features that reconstructs the activations, of size `d`, at one hook point.

        With `blocks`, encoder and decoder are cut into so many, such as one for each attention head at `attn_z.L`.
        """
        maps = BLOCK_DIAGONAL if blocks != 1 else "dense"
        return cls(d, d, width, (point,), (point,), encoder=maps, decoder=maps, blocks=blocks)

    @classmethod
    def transcoder(cls, reads: str, writes: str, d_in: int, d_out: int, width: int, *, skip: bool = False) -> "Spec":
        """A dictionary of `width` features that predicts one hook point's activations from another's."""
        return cls(d_in, d_out, width, (reads,), (writes,), wiring="transcoder", skip=skip)

    @property
    def writes_what_it_reads(self) -> bool:
        """Whether it reconstructs its input."""
        return wirings[self.wiring].writes_what_it_reads

    @property
    def cross_layer(self) -> bool:
        """Whether its features write to their own layer and to later ones, and read elsewhere than they write.

        Such a dictionary can be in a model that runs, layer by layer. A crosscoder cannot, not even a weakly causal
        one, whose features write to no earlier layer: what it writes to a layer holds what it has written before.
        """
        return self.decoder == TRIANGULAR and not self.writes_what_it_reads

    @property
    def blocks_in(self) -> int:
        """Blocks of what is read."""
        return self.blocks if self.encoder == BLOCK_DIAGONAL else 1

    @property
    def blocks_out(self) -> int:
        """Blocks of what is written."""
        return self.blocks if self.decoder == BLOCK_DIAGONAL else 1

    @property
    def input_bias(self) -> InputBias:
        """The bias that is subtracted from the input: `none`, the decoder's `b_dec`, or a separate `b_in`."""
        return wirings[self.wiring].input_bias if self.subtracts_input_bias else "none"
