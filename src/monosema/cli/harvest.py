"""Write a model's activations on a text into a store, to train on again and again."""

from dataclasses import dataclass

from monosema.cli.arguments import changed, command, given, options_of, parse
from monosema.errors import InputError
from monosema.runs.harvest import harvest
from monosema.runs.harvest_config import HarvestConfig, config_of
from monosema.runs.processes import speaks


@dataclass(frozen=True)
class Harvest:
    """Write a model's activations on a text into a store: a folder of shards that monosema train reads as a source.

    Killed or interrupted, it goes on with --resume, behind the last whole shard, and ends with the same bytes.
    """

    out: str = "stores/harvest"
    """Folder to write, or any address that fsspec knows: s3://bucket/folder."""
    resume: bool = False
    """Go on with the store that is there."""
    repair: bool = False
    """Check every shard of the store that is there, and make those again that are missing or damaged."""
    device: str = "auto"
    """Where the model computes: auto, cpu, cuda, cuda:1, mps."""


def main(arguments: list[str]) -> None:
    """Harvests, and prints what there is."""
    options = vars(parse(command(Harvest, options_of(Harvest) | options_of(HarvestConfig)), arguments, "harvest"))
    names, out, again = given(arguments), options["out"], options["resume"] or options["repair"]
    if options["resume"] and options["repair"]:
        raise InputError("--resume and --repair", expected="one of the two")
    if "site" not in names and not again:
        raise InputError("no hook point to harvest", expected="--site, such as resid_post.2")
    config = changed(config_of(out) if again else HarvestConfig(site=options["site"]), options, names)
    try:
        index, repaired = harvest(
            config, out, device=options["device"], resume=options["resume"], repair=options["repair"]
        )
    except OSError as error:
        raise OSError(f"{error}; the store is whole as far as it goes, and --resume goes on with it") from None
    if not speaks():
        return
    if options["repair"]:
        print(f"{len(index.shards)} shards, {len(repaired)} made again{': ' if repaired else ''}{', '.join(repaired)}")
    points = ", ".join(f"{point} ({d})" for point, d in index.points.items())
    print(f"{index.rows:,} rows of {points} in {index.dtype}, {index.bytes / 2**20:,.1f} MiB: {out}")
    if (read := sum(shard.contexts for shard in index.shards)) < index.contexts:
        print(f"the text ended after {read * index.context:,} tokens")
