from pathlib import Path

import numpy as np
import pytest

from monosema.runs import DictionaryConfig, run
from tests.runs.tiny_run import recipe, save_model, small_run, write_corpus


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus") / "corpus.jsonl")


@pytest.fixture(scope="session")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Activations in a file; the first number of each row is the row's own."""
    path = tmp_path_factory.mktemp("vectors") / "vectors.npy"
    rows = np.random.default_rng(0).normal(size=(400, 8)).astype("float32")
    rows[:, 0] = np.arange(400)
    np.save(path, rows)
    return path


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, model: Path, corpus: Path) -> Path:
    """The folder of one run: two autoencoders at different hook points, and a transcoder."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    dictionaries = (
        DictionaryConfig(recipe("topk", k=4), site="resid_post.0", expansion=2),
        DictionaryConfig(recipe("jumprelu", target_l0=6.0), site="resid_post.1", width=48, name="jump"),
        DictionaryConfig(recipe("batch_topk", k=4), site="mlp_in.1", target="mlp_out.1", width=32, name="transcoder"),
    )
    run(small_run(*dictionaries, model=str(model), text=str(corpus)), folder)
    return folder
