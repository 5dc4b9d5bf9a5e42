"""Dictionaries on disk are compared in both directions, by features that fire."""

from pathlib import Path

import pytest
import torch

from monosema.dictionaries import load, save
from monosema.errors import InputError
from monosema.runs import DictionaryConfig, run
from monosema.runs.compare import alive_features, compare_folders
from monosema.runs.compare_text import compare_json, compare_tables
from monosema.runs.evaluate import open_folder
from tests.runs.tiny_run import recipe, small_run


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory, vectors: Path) -> list[Path]:
    """Runs that differ by seed; the last one is of another width, too."""
    folders = [tmp_path_factory.mktemp("runs") / str(seed) for seed in range(3)]
    for seed, folder in enumerate(folders):
        own = DictionaryConfig(recipe("topk", k=4), site="activations", width=16 if seed < 2 else 24, name="only")
        run(small_run(own, activations=str(vectors), seed=seed), folder)
    return folders


def test_every_two_are_compared_both_ways(seeds: list[Path]):
    found = compare_folders(seeds, device="cpu", resamples=50)
    a, b, c = map(str, seeds)
    assert [(row.first, row.second) for row in found.pairs] == [(a, b), (b, a), (a, c), (c, a), (b, c), (c, b)]
    for row in found.pairs:
        assert row.partner[0.7].value >= row.partner[0.9].value
        assert 0 < row.nearest.value <= 1
        assert row.random["sphere"][1] > 0
    ahead, back = found.pairs[:2]
    assert ahead.partner[0.7].value * ahead.features == pytest.approx(back.partner[0.7].value * back.features)
    least = min(row.partner[0.7].value for row in found.pairs if row.first == a)
    assert found.by_all[0.7].value <= least
    (table,) = compare_tables(found)
    assert all(len(row) == len(table.headers) for row in table.rows)
    assert compare_json(found)["pairs"][0]["matching"] == "best"


def test_a_dictionary_shares_all_with_its_copy_without_what_is_dead(seeds: list[Path], tmp_path: Path):
    made = load(seeds[0] / "dictionaries" / "only")
    with torch.no_grad():
        made.b_enc[5] = -1e6
    save(made, tmp_path / "a")
    save(made, tmp_path / "b")
    dictionaries, heldout = open_folder(tmp_path / "a", device="cpu")
    kept, rows = alive_features(next(iter(dictionaries.values())), heldout)
    assert heldout.rows is not None
    x = heldout.rows["activations"]
    assert rows == len(x)
    assert (kept == (made.encode(x) != 0).any(0)).all()
    for dead in (False, True):
        ahead, _ = compare_folders([tmp_path / "a", tmp_path / "b"], dead=dead, side="both", device="cpu").pairs
        assert ahead.features == ahead.others == (16 if dead else int(kept.sum()))
        assert ahead.partner[0.9].value == 1
        assert ahead.nearest.value == pytest.approx(1, abs=1e-5)


def test_dictionaries_of_a_run_are_compared_by_name(finished: Path):
    names = sorted(path.name for path in (finished / "dictionaries").iterdir())
    with pytest.raises(InputError, match=r"3 dictionaries of mlp_out.1; resid_post.0; resid_post.1"):
        compare_folders([finished], device="cpu")
    with pytest.raises(InputError, match="1 dictionaries"):
        compare_folders([finished, finished], name=names[0], device="cpu", dead=True)
    with pytest.raises(InputError, match="dictionary 'none'"):
        compare_folders([finished], name="none", device="cpu")
    with pytest.raises(InputError, match="cosines"):
        compare_folders([finished, finished], name=names[0], thresholds=(2.0,), device="cpu")
