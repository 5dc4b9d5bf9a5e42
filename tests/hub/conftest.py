"""A hub for a test, with a cache of its own; and dictionaries on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

from monosema.dictionaries import Dictionary, Spec, activation_functions, save
from tests.hub.fake_hub import FakeHub, serving

REPO = "org/some-dictionaries"


def a_dictionary(seed: int = 0, width: int = 40) -> Dictionary:
    torch.manual_seed(seed)
    made = Dictionary(Spec.autoencoder("resid_post.1", 8, width), activation_functions["topk"](width, k=4))
    with torch.no_grad():
        for weight in made.parameters():
            weight.normal_()
    made.metadata = {"name": "small", "model": "tiny"}
    return made.eval()


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A hub with one repository: a dictionary at its root, another one in a folder, and things beside them."""
    with serving(FakeHub()) as hub:
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        template = hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        # What has arrived of a piece when the connection is cut is lost; pieces are of 10 MB, more than these files.
        monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
        monkeypatch.setattr("time.sleep", lambda seconds: None)  # between attempts
        monkeypatch.setenv("HF_TOKEN", "not-a-real-token")
        save(a_dictionary(0), tmp_path / "made")
        save(a_dictionary(1, width=2000), tmp_path / "made" / "wide")
        hub.commit(REPO, {"README.md": b"# Some", "notes/data.json": b"{}", **files_of(tmp_path / "made")})
        yield hub


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Where downloads go."""
    return tmp_path / "cache" / f"models--{REPO.replace('/', '--')}"
