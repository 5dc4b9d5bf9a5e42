"""Steer a model by features: text with and without, or the response to stronger and stronger steering."""

from dataclasses import asdict, dataclass
from typing import Literal

import tyro

from monosema.cli.arguments import parse, print_json
from monosema.errors import InputError
from monosema.runs.steer import dose_folder, dose_table, steer_folder
from monosema.runs.terminal import print_table


@dataclass(frozen=True)
class SteerCommand:
    """Go on from a prompt while features are added, clamped, scaled or ablated at every token, and as the model is; or,
    with --sweep, measure on held-out text what stronger and stronger steering does, beside random directions."""

    folder: tyro.conf.Positional[str]
    """A dictionary's folder or address, or a run's folder."""
    features: tuple[int, ...]
    """Which features."""
    prompt: str | None = None
    """Text to go on from."""
    strength: float = 10.0
    """How far, in units of the code (monosema features show says how large a feature gets); of scale, a factor."""
    mode: Literal["add", "clamp", "scale", "ablate"] = "add"
    """What is done to the features' codes."""
    sweep: tuple[float, ...] = ()
    """Strengths to measure, of one feature."""
    dictionary: str | None = None
    """Which of a run's dictionaries; by default the first."""
    tokens: int = 40
    """Tokens to write."""
    temperature: float = 0.0
    """Of sampling; at 0 the most probable token is taken."""
    seed: int = 0
    """Of sampling."""
    model: str | None = None
    """Steer this model instead of the one that the dictionary was trained on."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, …"""
    json: bool = False
    """Print JSON."""


def main(arguments: list[str]) -> None:
    """Steers, and prints."""
    options = parse(SteerCommand, arguments, "steer")
    prompt = options.prompt
    if bool(options.sweep) == (prompt is not None):
        raise InputError("a prompt and a sweep, or neither", expected="--prompt, or --sweep")
    where = {"name": options.dictionary, "model": options.model, "device": options.device}
    if prompt is None:
        if len(options.features) != 1:
            raise InputError(f"a sweep of {len(options.features)} features", expected="one")
        found = dose_folder(options.folder, options.features[0], options.sweep, **where)
        if options.json:
            print_json([asdict(response) for response in found])
        else:
            print_table(dose_table(options.features[0], found))
        return
    steered = steer_folder(
        options.folder,
        options.features,
        prompt,
        value=options.strength,
        mode=options.mode,
        tokens=options.tokens,
        temperature=options.temperature,
        seed=options.seed,
        **where,
    )
    if options.json:
        print_json(asdict(steered))
        return
    print(f"--- as it is\n{steered.prompt}{steered.plain}\n\n--- steered\n{steered.prompt}{steered.steered}")
