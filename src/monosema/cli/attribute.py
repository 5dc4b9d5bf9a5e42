"""List the features that cause a logit or a loss: gradient × code, beside what removing each one really does."""

from dataclasses import asdict, dataclass

import tyro

from monosema.cli.arguments import parse, print_json
from monosema.runs.attribute import attribute_folder, effects_table
from monosema.runs.terminal import print_table


@dataclass(frozen=True)
class AttributeCommand:
    """List the features with the largest effects on the next token's logit after a prompt, on the difference of two
    logits, or on the prompt's loss: by gradient × code, and by running the model without each of them."""

    folder: tyro.conf.Positional[str]
    """A dictionary's folder or address, or a run's folder."""
    prompt: str
    """The text."""
    token: str | None = None
    """The token whose logit is explained, with its space; by default the likeliest."""
    against: str | None = None
    """A token whose logit is taken off, in place of the mean of all."""
    loss: bool = False
    """Explain the cross-entropy of the prompt's own tokens."""
    held: bool = False
    """Keep attention patterns and norms as they are on the prompt: effects that pass no MLP are then exact."""
    dictionary: str | None = None
    """Which of a run's dictionaries; by default the first."""
    n: int = 20
    """How many features."""
    model: str | None = None
    """Use this model instead of the one that the dictionary was trained on."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, …"""
    json: bool = False
    """Print JSON."""


def main(arguments: list[str]) -> None:
    """Attributes, and prints."""
    options = vars(parse(AttributeCommand, arguments, "attribute"))
    json, name = options.pop("json"), options.pop("dictionary")
    found = attribute_folder(options.pop("folder"), options.pop("prompt"), name=name, **options)
    if json:
        print_json(asdict(found))
    else:
        print_table(effects_table(found))
