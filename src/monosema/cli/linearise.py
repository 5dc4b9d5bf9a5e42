"""Say what makes a feature fire in a prompt: pulled back through MLP, norm and heads to the tokens that it reads."""

from dataclasses import dataclass

import tyro

from monosema.cli.arguments import parse, print_json
from monosema.runs.linearise import TOKENS, linearise_folder
from monosema.runs.linearise_text import linearise_json, linearise_tables
from monosema.runs.terminal import print_table


@dataclass(frozen=True)
class Linearise:
    """Pull a feature's pre-activation at one token back through its MLP, by its gradient there, and its norm to the
    residual stream: to the layers, heads, positions and tokens that it comes from; and test that on held-out text."""

    folder: tyro.conf.Positional[str]
    """A dictionary's folder or address, or a run's folder."""
    feature: int
    """Which feature."""
    prompt: str
    """Text in which it is looked at."""
    position: int | None = None
    """Which token, counted from the separator before the text; by default where the pre-activation is largest."""
    dictionary: str | None = None
    """Which of a run's dictionaries; by default the first."""
    through: tuple[str, ...] = ()
    """What to go back through from the stream on, one after the other: mlp_out.1, or attn_z.1.3@4 (layer 1, head 3,
    what it found at position 4)."""
    earlier: str | None = None
    """Another of the run's dictionaries, such as an earlier layer's transcoder: which of its features feed this one."""
    exact_norm: bool = False
    """Take exact gradients of norms before MLPs, in place of holding their scale fixed."""
    effective: bool = False
    """Name directions by tokens' embeddings and what the first MLP adds to them, in place of embeddings alone."""
    top: int = 10
    """Heads, tokens and features to list."""
    tokens: int = TOKENS
    """Held-out text on which to test the way back, where the feature fires; 0 leaves the test out."""
    text: str | None = None
    """Test on this text instead of the held-out part of the training text."""
    model: str | None = None
    """Read this model instead of the one that the dictionary was trained on."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, …"""
    json: bool = False
    """Print JSON."""


def main(arguments: list[str]) -> None:
    """Pulls back, and prints."""
    options = vars(parse(Linearise, arguments, "linearise"))
    json, top, name = options.pop("json"), options.pop("top"), options.pop("dictionary")
    found = linearise_folder(**options, name=name, n=top)
    if json:
        print_json(linearise_json(found, top))
        return
    for table in linearise_tables(found, top):
        print_table(table)
