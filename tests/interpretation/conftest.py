from pathlib import Path

import pytest

from monosema.features import FeatureStore
from monosema.interpretation import Activity, Text, load_text
from tests.interpretation.planted import planted_store


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return planted_store(tmp_path_factory.mktemp("planted") / "features")


@pytest.fixture(scope="session")
def text(store: FeatureStore) -> Text:
    return load_text(store)


@pytest.fixture(scope="session")
def activity(store: FeatureStore, text: Text) -> Activity:
    return Activity(store, text)


@pytest.fixture
def fresh(tmp_path: Path) -> FeatureStore:
    """A store that a test may write into."""
    return planted_store(tmp_path / "features")
