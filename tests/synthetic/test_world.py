"""Worlds are as they were configured: probabilities, hierarchy, correlations, magnitudes, sums."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from monosema.config import from_dict, to_dict
from monosema.errors import InputError
from monosema.synthetic import Correlation, Hierarchy, Magnitudes, SyntheticConfig, World, Zipf, presets
from monosema.synthetic.firing import Copula

ROWS = 40_000
TREES = Hierarchy(trees=3, branching=2, depth=2)
FEW = SyntheticConfig(30, 8, 0.1)
MIXED = (0.9, 0.5, 0.2) * 4 + (1.0, 0.001, 0.02) * 6
CORRELATED = Correlation(rank=4, scale=0.3)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def codes(config: SyntheticConfig, rows: int = ROWS, seed: int = 0) -> Tensor:
    return World(config).draw_codes(rows, generator(seed)).to_dense()


def assert_fires_as_often(fires: Tensor, probabilities: Tensor, spread: float = 1.0) -> None:
    """Within five standard errors; `spread` is by how much rows that depend on each other widen them."""
    error = (probabilities * (1 - probabilities) / len(fires)).sqrt()
    assert ((fires.double().mean(0) - probabilities).abs() <= 5 * spread * error + 1e-12).all()


@pytest.mark.parametrize("probabilities", [0.1, MIXED, Zipf(1.0, 0.9, 0.001)])
@pytest.mark.parametrize("correlation", [None, CORRELATED, Correlation(rank=2, scale=3.0)])
@pytest.mark.parametrize("hierarchy", [None, TREES, replace(TREES, exclusive=False)])
def test_every_feature_fires_as_often_as_the_world_says(probabilities: Any, correlation: Any, hierarchy: Any):
    world = World(SyntheticConfig(30, 8, probabilities, correlation=correlation, hierarchy=hierarchy))
    assert_fires_as_often(world.draw_codes(ROWS // 2, generator()).to_dense() > 0, world.probabilities)


def test_probabilities_are_those_that_were_asked_for_where_a_hierarchy_allows_it():
    assert World(FEW).probabilities.tolist() == [0.1] * 30
    assert World(replace(FEW, probabilities=MIXED)).probabilities.tolist() == list(MIXED)
    asked = (0.5, 0.5, 0.5, 0.2, 0.1, 0.2, 0.3, 0.0001, 0.2)
    roomy = SyntheticConfig(9, 4, asked, hierarchy=Hierarchy(3, 2, 1))
    assert World(roomy).probabilities.tolist() == list(asked)


def test_exclusive_children_share_what_their_parent_has():
    config = SyntheticConfig(3, 4, (0.2, 0.3, 0.1), hierarchy=Hierarchy(1, 2, 1))
    assert World(config).probabilities.tolist() == pytest.approx([0.2, 0.15, 0.05])
    config = replace(config, hierarchy=Hierarchy(1, 2, 1, exclusive=False))
    assert World(config).probabilities.tolist() == pytest.approx([0.2, 0.2, 0.1])


def test_zipf_falls_from_most_to_least():
    probabilities = World(SyntheticConfig(100, 4, Zipf(0.7, 0.3, 0.01))).probabilities
    assert probabilities[[0, -1]].tolist() == pytest.approx([0.3, 0.01])
    ranks = torch.arange(1, 101, dtype=torch.float64)
    slope = (probabilities[10] - probabilities[40]) / (ranks[10] ** -0.7 - ranks[40] ** -0.7)
    assert torch.allclose(probabilities, probabilities[10] + slope * (ranks**-0.7 - ranks[10] ** -0.7))
    assert World(SyntheticConfig(1, 4, Zipf())).probabilities.tolist() == [0.4]


@pytest.mark.parametrize("correlation", [None, CORRELATED])
@pytest.mark.parametrize("exclusive", [True, False])
def test_children_need_their_parents_and_exclusive_siblings_avoid_each_other(correlation: Any, exclusive: bool):
    config = SyntheticConfig(30, 8, 0.3, correlation=correlation, hierarchy=replace(TREES, exclusive=exclusive))
    fires = codes(config) > 0
    children = {0: (3, 4), 1: (5, 6), 2: (7, 8), 3: (9, 10), 5: (13, 14), 8: (19, 20)}
    for parent, (one, other) in children.items():
        assert not (fires[:, [one, other]] & ~fires[:, [parent]]).any()
        assert (fires[:, one] & fires[:, other]).any() == (not exclusive)


def test_independent_features_fire_together_as_often_as_by_chance():
    fires = (codes(FEW) > 0).double()
    assert torch.corrcoef(fires.mT).fill_diagonal_(0).abs().max() < 5 / ROWS**0.5


def test_a_copula_correlates_as_much_as_its_loadings_say():
    config = SyntheticConfig(40, 8, 0.3, correlation=Correlation(rank=2, scale=0.4), seed=5)
    world = World(config)
    fires = (world.draw_codes(ROWS, generator()).to_dense() > 0).double()
    found = torch.corrcoef(fires.mT)
    assert isinstance(world.firing, Copula)
    loadings = world.firing.loadings
    # Two normal variables of correlation r exceed their thresholds together as often as the same pair drawn at random.
    expected = torch.zeros(40, 40, dtype=torch.float64)
    sample = torch.randn(200_000, 2, dtype=torch.float64, generator=generator(1))
    threshold = torch.special.ndtri(torch.tensor(0.7, dtype=torch.float64))
    pairs = [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)]
    for i, j in pairs:
        r = loadings[i] @ loadings[j]
        x, y = sample[:, 0], r * sample[:, 0] + (1 - r * r).sqrt() * sample[:, 1]
        expected[i, j] = torch.corrcoef(torch.stack([x > threshold, y > threshold]).double())[0, 1]
        assert found[i, j] == pytest.approx(expected[i, j].item(), abs=0.03)
    assert max(expected[i, j].abs() for i, j in pairs) > 0.1


def test_rows_are_sums_of_the_directions_of_what_fires():
    config = SyntheticConfig(30, 8, 0.2, Magnitudes(1.0, spread=0.5), bias=2.0)
    world = World(config)
    x, found = world.draw(500, generator())
    assert torch.allclose(world.directions.norm(dim=1), torch.ones(30))
    assert world.bias.norm().item() == pytest.approx(2.0)
    assert torch.allclose(x, found.to_dense() @ world.directions + world.bias, atol=1e-5)
    assert (found.rows.diff() >= 0).all()


def test_rows_on_which_nothing_fires_are_the_bias():
    world = World(SyntheticConfig(5, 3, 0.01, bias=1.0))
    x, found = world.draw(50, generator())
    silent = (found.to_dense() == 0).all(1)
    assert silent.sum() > 30
    assert torch.equal(x[silent], world.bias.expand(int(silent.sum()), 3))


def test_noise_is_added_in_every_dimension():
    config = SyntheticConfig(5, 3, 0.3, noise=0.2)
    world = World(config)
    x, found = world.draw(ROWS, generator())
    rest = x - found.to_dense() @ world.directions
    assert torch.allclose(rest.T.cov(), 0.04 * torch.eye(3), atol=2e-3)


@pytest.mark.parametrize(
    ("magnitudes", "mean", "deviation", "low", "high"),
    [
        (Magnitudes(2.0), 2, 0, 2, 2),
        (Magnitudes(1.0, spread=0.5), 1, 12**-0.5, 0.5, 1.5),
        (Magnitudes(0.0, spread=1.0, noise="normal"), (2 / torch.pi) ** 0.5, (1 - 2 / torch.pi) ** 0.5, 0, 9),
        (Magnitudes(5.0, spread=0.1, noise="normal"), 5, 0.1, 4, 6),
    ],
)
def test_magnitudes_are_distributed_as_configured(magnitudes: Any, mean: Any, deviation: Any, low: Any, high: Any):
    values = World(replace(FEW, magnitudes=magnitudes)).draw_codes(ROWS, generator()).values.double()
    assert values.mean().item() == pytest.approx(mean, abs=0.01)
    assert values.std().item() == pytest.approx(deviation, abs=0.01)
    assert low <= values.min() <= values.max() <= high


def test_means_lie_on_a_line_and_spreads_differ():
    config = replace(FEW, probabilities=0.5, magnitudes=Magnitudes(5, 4, 0.5, 0.5, "normal"))
    found = codes(config)
    means = torch.stack([x[x > 0].mean() for x in found.T])
    spreads = torch.stack([x[x > 0].std() for x in found.T])
    assert torch.allclose(means, torch.linspace(5, 4, 30), atol=0.05)
    assert spreads.min() < 0.3
    assert spreads.max() > 0.8


def test_scaled_children_follow_their_parents():
    magnitudes = Magnitudes(2.0, 1.0, spread=0.4)
    config = SyntheticConfig(3, 4, (0.5, 0.2, 0.2), magnitudes, hierarchy=Hierarchy(1, 2, 1, scaled=True))
    found = codes(config)
    parent, child = found[found[:, 1] > 0][:, :2].T
    plain = child / (parent / 2.0)  # the child's own magnitude, whose mean is 1.5
    assert plain.min() >= 1.1 - 1e-5
    assert plain.max() <= 1.9 + 1e-5
    assert torch.corrcoef(torch.stack([parent, child]))[0, 1] > 0.4


def test_worlds_depend_on_their_configuration_alone():
    config = presets["synthsaebench_2k"]()
    one, other = (World(config).draw(100, generator(3))[0] for _ in range(2))
    assert torch.equal(one, other)
    assert not torch.equal(World(replace(config, seed=1)).directions, World(config).directions)


@pytest.mark.parametrize("name", presets)
def test_presets_survive_yaml(name: str):
    config = presets[name]()
    assert from_dict(SyntheticConfig, to_dict(config)) == config


def test_given_probabilities_survive_yaml():
    config = replace(FEW, probabilities=MIXED)
    assert from_dict(SyntheticConfig, to_dict(config)) == config


def test_the_benchmark_has_the_size_that_its_paper_gives():
    config = presets["synthsaebench_16k"]()
    assert config.hierarchy is not None
    assert config.hierarchy.features == 128 * 85
    assert 33 < World(replace(config, correlation=None)).l0 < 36


def test_the_small_benchmark_fires_as_often_as_it_says():
    world = World(presets["synthsaebench_2k"]())
    fires = torch.cat([world.draw_codes(5000, generator(seed)).to_dense() > 0 for seed in range(4)])
    assert_fires_as_often(fires, world.probabilities)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SyntheticConfig(0, 4, 0.1), "features = 0"),
        (lambda: SyntheticConfig(3, 4, 0.0), "probability 0.0"),
        (lambda: SyntheticConfig(3, 4, (0.1, 1.2, 0.3)), "probability 1.2"),
        (lambda: SyntheticConfig(3, 4, (0.1, 0.2)), "2 probabilities"),
        (lambda: SyntheticConfig(3, 4, 0.1, noise=-1), "noise = -1"),
        (lambda: SyntheticConfig(3, 4, 0.1, hierarchy=Hierarchy(2, 2, 2)), "trees of 14 features"),
        (
            lambda: SyntheticConfig(9, 4, 0.1, Magnitudes(0, spread=1), hierarchy=Hierarchy(1, 2, 1, scaled=True)),
            "mean",
        ),
        (lambda: Magnitudes(0.0), "all 0"),
        (lambda: replace(Magnitudes(), **{"noise": "cauchy"}), "cauchy"),
        (lambda: Zipf(most=0.1, least=0.2), "least = 0.2"),
        (lambda: Correlation(rank=0), "rank = 0"),
        (lambda: Hierarchy(branching=0), "branching = 0"),
        (lambda: presets["hard"], "hard"),
    ],
)
def test_impossible_worlds_are_refused(make: Any, message: str):
    with pytest.raises(InputError, match=message):
        make()
