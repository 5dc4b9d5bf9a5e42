from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from monosema.cli.main import main
from tests.runs.conftest import corpus, model, vectors  # fixtures
from tests.runs.tiny_run import options

__all__ = ["corpus", "model", "vectors"]


class Ended(NamedTuple):
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str

    def refused(self) -> str:
        """The one line that a refusal of bad input prints."""
        assert self.status == 2
        (line,) = self.err.splitlines()
        assert line.startswith("monosema: ")
        return line


Command = Callable[..., Ended]


@pytest.fixture
def monosema(capsys: pytest.CaptureFixture[str]) -> Command:
    """Calls the command line in this process."""

    def call(*arguments: object) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Ended(ended.value.code, out, err)

    return call


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, model: Path, corpus: Path) -> Path:
    """The folder of a run from the command line."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    small = options(model=model, text=corpus, site="resid_post.0", recipe="topk", k=4, name="only", out=folder)
    with pytest.raises(SystemExit) as ended:
        main(["train", *small])
    assert ended.value.code == 0
    return folder
