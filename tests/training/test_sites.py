"""Training crosscoders and cross-layer transcoders: frames, constraints, every recipe, and what is folded."""

import pytest
import torch
from torch import Tensor

from monosema.dictionaries import Spec
from monosema.errors import InputError
from monosema.recipes import recipes
from monosema.recipes.penalised import Penalised
from monosema.training import Learner
from tests.training.setup import recipe

SIZES, WIDTH, STEPS, BATCH = {"a": 6, "b": 4, "c": 6}, 48, 30, 64
CROSS_LAYER = {"in.0": 5, "in.1": 5, "out.0": 4, "out.1": 4}
NAMES = sorted(recipes)


def rows(sizes: dict[str, int], n: int = 512, seed: int = 0) -> dict[str, Tensor]:
    """Sparse causes that all hook points share, at very different scales."""
    generator = torch.Generator().manual_seed(seed)
    causes = torch.rand(n, 20, generator=generator) * (torch.rand(n, 20, generator=generator) < 0.15)
    directions = torch.Generator().manual_seed(99)
    return {
        point: 10.0 ** (i - 1) * (causes @ torch.randn(20, d, generator=directions) + 0.3)
        for i, (point, d) in enumerate(sizes.items())
    }


def crosscoder() -> tuple[Spec, dict[str, int]]:
    sizes = tuple(SIZES.values())
    points = tuple(SIZES)
    d = sum(sizes)
    return Spec(d, d, WIDTH, points, points, decoder="sites", sizes_in=sizes, sizes_out=sizes), SIZES


def cross_layer() -> tuple[Spec, dict[str, int]]:
    maps = {"encoder": "block_diagonal", "decoder": "triangular", "blocks": 2}
    points = ("in.0", "in.1"), ("out.0", "out.1")
    spec = Spec(10, 8, WIDTH, *points, "transcoder", **maps, sizes_in=(5, 5), sizes_out=(4, 4))
    return spec, CROSS_LAYER


WIRINGS = {"crosscoder": crosscoder, "cross-layer": cross_layer}


def trained(wiring: str, name: str, **changes) -> tuple[Learner, list[dict[str, float]]]:
    spec, sizes = WIRINGS[wiring]()
    gentle = {"sparsity": 0.01, "target_l0": None} if issubclass(recipes[name], Penalised) else {}
    one = Learner(spec, recipe(name, lr=0.01, **gentle, **changes), rows(sizes), steps=STEPS, batch_size=BATCH)
    return one, [one.step(rows(sizes, BATCH, seed)) for seed in range(1, STEPS + 1)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wiring", WIRINGS)
def test_every_recipe_learns_or_says_why_not(wiring: str, name: str):
    if wiring == "cross-layer" and name in ("topk", "hierarchical_topk"):
        with pytest.raises(InputError, match="with cross-layer features; expected one that decides on each feature"):
            trained(wiring, name)
        return
    one, metrics = trained(wiring, name)
    assert metrics[-1]["error"] < metrics[0]["error"]
    finished = one.finished()
    batch = rows(WIRINGS[wiring]()[1], 256, 7)
    x, y = (torch.cat([batch[p] for p in points], 1) for points in (one.spec.reads, one.spec.writes))
    framed = one.written.into(y)
    predicted = one.written.into(finished(x))
    assert ((predicted - framed).square().sum() < framed.square().sum()).item()


@pytest.mark.parametrize("wiring", WIRINGS)
def test_each_hook_point_has_a_scale_of_its_own(wiring: str):
    spec, sizes = WIRINGS[wiring]()
    one = Learner(spec, recipe("batch_topk"), rows(sizes), steps=STEPS, batch_size=BATCH)
    sample = rows(sizes)
    for frame, points in ((one.read, spec.reads), (one.written, spec.writes)):
        framed = frame.into(torch.cat([sample[p] for p in points], 1)).split([sizes[p] for p in points], 1)
        for part in framed:
            torch.testing.assert_close(part.square().sum(1).mean(), torch.tensor(1.0), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("wiring", WIRINGS)
@pytest.mark.parametrize("name", ["batch_topk", "jumprelu", "l1", "april_l1", "gated"])
def test_what_is_finished_takes_raw_activations(wiring: str, name: str):
    one, _ = trained(wiring, name)
    batch = rows(WIRINGS[wiring]()[1], 32, 5)
    x, y = (torch.cat([batch[p] for p in points], 1) for points in (one.spec.reads, one.spec.writes))
    in_training = one.dictionary.eval()(one.read.into(x))
    torch.testing.assert_close(one.written.into(one.finished()(x)), in_training, rtol=1e-3, atol=1e-3)
    assert y.shape == in_training.shape


@pytest.mark.parametrize("wiring", WIRINGS)
def test_training_keeps_decoder_norms_on_their_constraint(wiring: str):
    one, _ = trained(wiring, "batch_topk")
    norm = len(SIZES) ** 0.5 if wiring == "crosscoder" else 1.0
    torch.testing.assert_close(one.dictionary.decoder_norms(), torch.full((WIDTH,), norm))


@pytest.mark.parametrize("wiring", WIRINGS)
def test_dead_features_start_again_from_what_they_can_see(wiring: str):
    from monosema.training.resample import resample_

    one, _ = trained(wiring, "l1", resample_at=())
    sizes = WIRINGS[wiring]()[1]
    x, y = one._framed(rows(sizes, BATCH, 3))
    dead = torch.zeros(WIDTH, dtype=torch.bool)
    dead[[0, 5, WIDTH - 1]] = True
    before = one.dictionary.W_enc.detach().clone()
    chosen = resample_(one.dictionary, one.optimisers, x, y, torch.zeros_like(y), dead, torch.Generator())
    assert set(chosen.tolist()) == {0, 5, WIDTH - 1}
    norms = one.dictionary.decoder_norms()
    torch.testing.assert_close(norms[chosen], norms[~dead].mean().expand(3), rtol=1e-3, atol=1e-3)
    changed = (one.dictionary.W_enc != before).any(-2).flatten()
    assert torch.equal(changed, dead)
    moments = next(part.state[one.dictionary.W_dec]["exp_avg"] for part in one.optimisers.parts)
    assert not one.dictionary.decoder.row_norms(moments)[dead].any()
    assert one.dictionary.decoder.row_norms(moments)[~dead].any()


@pytest.mark.parametrize("wiring", WIRINGS)
def test_a_state_goes_on_to_the_same_bits(wiring: str):
    spec, sizes = WIRINGS[wiring]()
    one, other = (
        Learner(spec, recipe("jumprelu"), rows(sizes), steps=STEPS, batch_size=BATCH, seed=seed) for seed in (0, 1)
    )
    for seed in range(5):
        one.step(rows(sizes, BATCH, seed))
    other.load_state_dict(one.state_dict())
    for seed in range(5, 8):
        assert one.step(rows(sizes, BATCH, seed)) == other.step(rows(sizes, BATCH, seed))
    assert torch.equal(one.finished().W_dec, other.finished().W_dec)
