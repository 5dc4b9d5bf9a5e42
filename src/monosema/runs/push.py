"""Publishing dictionaries on the Hugging Face hub: as monosema has them, as SAELens reads them, and a model card."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monosema.dictionaries import Dictionary, save
from monosema.errors import InputError
from monosema.evaluation import Metrics
from monosema.files import read_json, write_json, write_text
from monosema.formats import save_as
from monosema.hub import upload
from monosema.hub.address import check_repo
from monosema.runs.card import Entry, model_card
from monosema.runs.evaluate import dictionaries_in
from monosema.runs.folder import CONFIG, DICTIONARIES, METRICS, check_free

CARD, SAELENS = "README.md", "saelens"


def push(
    folder: str | Path,
    repo: str,
    *,
    dry_run: str | Path | None = None,
    private: bool = False,
    license: str | None = None,
    message: str = "Dictionaries from monosema",
) -> str:
    """Publishes a saved dictionary, or every dictionary of a run, in one commit.

    One dictionary lies at the root of the repository, several in folders of their names, each with SAELens' form in a
    folder `saelens` below. A run's configuration and metrics come along; weights are safetensors, nothing else is.

    Args:
        folder: a dictionary's folder, or a run's.
        repo: `org/repo`; it is made if it is not there.
        dry_run: a new folder, which gets what would be published; the hub is not asked.
        private: make a new repository private.
        license: what the card says, an identifier of the hub such as mit.
        message: what the commit says.

    Returns:
        The commit, or the folder of a dry run.

    Raises:
        InputError: no dictionary in the folder, a name that is no repository's, a dry run's folder that is not empty,
            a repository that may not be written to, or the hub cannot be reached.
    """
    folder = Path(folder)
    check_repo(repo)
    if dry_run is not None:
        prepare(folder, repo, check_free(Path(dry_run)), license)
        return str(dry_run)
    with tempfile.TemporaryDirectory() as made:
        prepare(folder, repo, Path(made), license)
        return upload(Path(made), repo, message=message, private=private)


def prepare(folder: Path, repo: str, into: Path, license: str | None) -> None:
    """Writes into a folder what the repository will hold."""
    dictionaries = dictionaries_in(folder)
    alone = len(dictionaries) == 1
    run = folder if (folder / DICTIONARIES).is_dir() else _run_of(folder)
    entries = [
        _written(name, dictionary, repo, into, "" if alone else name) for name, dictionary in dictionaries.items()
    ]
    configuration = (run / CONFIG).read_text(encoding="utf-8") if run and (run / CONFIG).is_file() else None
    metrics = _metrics(run, dictionaries)
    if configuration is not None:
        write_text(into / CONFIG, configuration)
    if metrics:
        write_json(into / METRICS, {"dictionaries": metrics})
    measured = {name: Metrics.from_json(found) for name, found in metrics.items()}
    write_text(into / CARD, model_card(repo, entries, measured, configuration, license))


def _written(name: str, dictionary: Dictionary, repo: str, into: Path, path: str) -> Entry:
    save(dictionary, into / path)
    saelens = "/".join(part for part in (path, SAELENS) if part)
    try:
        save_as(dictionary, into / saelens, SAELENS)
        refused = None
    except InputError as error:
        refused = str(error)
    address = f"hf://{repo}" + (f"/{path}" if path else "")
    return Entry(name, dictionary, address, None if refused else saelens, refused)


def _run_of(folder: Path) -> Path | None:
    """The run that a dictionary's folder lies in, if it lies in one."""
    above = folder.absolute().parent
    return above.parent if above.name == DICTIONARIES else None


def _metrics(run: Path | None, dictionaries: Mapping[str, Dictionary]) -> dict[str, dict[str, Any]]:
    """What a run measured of some of its dictionaries."""
    if run is None or not (run / METRICS).is_file():
        return {}
    found = read_json(run / METRICS)["dictionaries"]
    return {name: found[name] for name in dictionaries if name in found}
