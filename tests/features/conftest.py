from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from monosema.dictionaries import Dictionary
from monosema.features import FeatureStore
from monosema.models import LoadedModel
from tests.features.stores import all_codes, autoencoder, built, random_model


@pytest.fixture(scope="session")
def model() -> LoadedModel:
    return random_model()


@pytest.fixture(scope="session")
def dictionary() -> Dictionary:
    return autoencoder()


@pytest.fixture(scope="session")
def store(dictionary: Dictionary, model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return built(dictionary, model, tmp_path_factory.mktemp("stores") / "store")


@pytest.fixture(scope="session")
def expected(dictionary: Dictionary, model: LoadedModel) -> tuple[Tensor, np.ndarray]:
    """Contexts `[contexts, length]` and codes `[tokens, width]`, dense and in float64."""
    return all_codes(dictionary, model)


@pytest.fixture(scope="session")
def folder(store: FeatureStore) -> Path:
    return store.folder
