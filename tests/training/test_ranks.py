"""Dictionaries that several ranks train together are those that one process trains."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh

from monosema.errors import InputError
from monosema.ranks import ALONE, Group, Ranks
from monosema.recipes import Recipe
from monosema.training import Learner
from monosema.training.parts import check_divides
from monosema.training.state_file import Own, Snapshot, read_state
from monosema.training.state_folder import SharedSnapshot, read_shared_state
from tests.ranks import on_ranks
from tests.training.setup import SMALL, autoencoder, batches, learner, recipe, transcoder

STEPS = 12
GRIDS = [(2, 1), (1, 2), (2, 2)]
CASES: dict[str, Recipe] = {
    **{name: recipe(name) for name in SMALL},
    "topk, AuxK": recipe("topk", aux=0.5, dead_after=64),
    "topk, AuxK, few": recipe("topk", aux=0.5, dead_after=64, aux_k=2),
    "topk, Multi-TopK": recipe("topk", multi_topk=0.125),
    "batch_topk, AuxK": recipe("batch_topk", aux=0.5, dead_after=64),
    "matryoshka, three": recipe("matryoshka", prefixes=(0.25, 0.625, 1.0)),
    "jumprelu, target": recipe("jumprelu", penalty="target"),
    "jumprelu, adaptive": recipe("jumprelu", adaptive_bandwidth=0.5),
    "l1, ghost": recipe("l1", ghost=1.0, dead_after=64, resample_at=()),
    "l1, resampled": recipe("l1", resample_at=(0.5,)),
    "topk, aligned": recipe("topk", aligned=True),
    "topk, signum": recipe("topk", optimiser="signum"),
}


def on_grid(data: int, feature: int) -> Ranks:
    return Ranks.of(init_device_mesh("cpu", (data, feature), mesh_dim_names=("data", "feature")))


def begun(case: str, wiring: str, **options: Any) -> Learner:
    made = CASES[case]
    spec = autoencoder(made) if wiring == "autoencoder" else transcoder(made, skip=True)
    return learner(made, spec, steps=STEPS, **options)


def trained(case: str, wiring: str, ranks: Ranks | None = None) -> tuple[dict[str, Tensor], list[dict[str, float]]]:
    one = begun(case, wiring) if ranks is None else begun(case, wiring, ranks=ranks)
    metrics = [
        one.step(batch if ranks is None else {point: ranks.rows.part(x) for point, x in batch.items()})
        for batch in batches(STEPS)
    ]
    return dict(one.finished().state_dict()), metrics


def together(cases: list[str], wiring: str, data: int, feature: int) -> dict[str, Any]:
    ranks = on_grid(data, feature)
    return {case: trained(case, wiring, ranks) for case in cases}


@pytest.mark.slow
@pytest.mark.parametrize("wiring", ["autoencoder", "transcoder"])
@pytest.mark.parametrize(("data", "feature"), GRIDS)
def test_weights_and_metrics_are_those_of_one_process(data: int, feature: int, wiring: str):
    cases = [case for case, made in CASES.items() if (made.divides or feature == 1)]
    cases = [case for case in cases if not (CASES[case].aligned and wiring == "transcoder")]
    results = on_ranks(data * feature, together, cases, wiring, data, feature)
    for case in cases:
        weights, metrics = trained(case, wiring)
        for result in results:
            for name, expected in weights.items():
                torch.testing.assert_close(result[case][0][name], expected, rtol=1e-3, atol=2e-5, msg=f"{case}: {name}")
            for mine, theirs in zip(result[case][1], metrics, strict=True):
                assert mine == pytest.approx(theirs, rel=1e-4, abs=1e-5), case


SAVED = ["topk, AuxK", "batch_topk", "jumprelu", "gated", "l1, resampled", "topk, signum"]


def state_of(learners: dict[str, Learner]) -> dict[str, Any]:
    own = Own({"rank": torch.tensor([float(dist.get_rank())])})
    return {"learners": {name: one.marked_state() for name, one in learners.items()}, "source": own}


def halfway(path: Path, data: int, feature: int) -> dict[str, dict[str, Tensor]]:
    """Trains to the half, saves, and trains on."""
    ranks = on_grid(data, feature)
    learners = {case: begun(case, "autoencoder", ranks=ranks) for case in SAVED}
    for batch in batches(STEPS // 2):
        for one in learners.values():
            one.step({point: ranks.rows.part(x) for point, x in batch.items()})
    world = Group.of()
    writers = dist.new_group(backend="gloo")
    assert isinstance(writers, dist.ProcessGroup)
    SharedSnapshot(state_of(learners), world, ranks, writers).write(path)
    return rest_of(learners, ranks)


def gone_on(path: Path, data: int, feature: int) -> dict[str, dict[str, Tensor]]:
    """Reads what was saved, and trains on."""
    ranks = on_grid(data, feature)
    world = Group.of()
    state = read_state(path, ranks) if path.is_file() else read_shared_state(path, world, ranks)
    if path.is_dir():
        assert state["source"] == (None if world.size != 4 else {"rank": torch.tensor([float(dist.get_rank())])})
    return rest_of(restored(state, ranks), ranks)


def restored(state: Any, ranks: Ranks) -> dict[str, Learner]:
    learners = {case: begun(case, "autoencoder", ranks=ranks) for case in SAVED}
    for name, one in learners.items():
        one.load_state_dict(state["learners"][name])
    return learners


def rest_of(learners: dict[str, Learner], ranks: Ranks) -> dict[str, dict[str, Tensor]]:
    for batch in batches(STEPS)[STEPS // 2 :]:
        for one in learners.values():
            one.step({point: ranks.rows.part(x) for point, x in batch.items()})
    return {name: dict(one.finished().state_dict()) for name, one in learners.items()}


@pytest.mark.slow
def test_what_four_ranks_saved_any_number_goes_on_with(tmp_path: Path):
    whole = on_ranks(4, halfway, tmp_path / "state", 2, 2)[0]
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
    again = on_ranks(4, gone_on, tmp_path / "state", 2, 2)[0]
    state = read_shared_state(tmp_path / "state", Group())
    alone = rest_of(restored(state, ALONE), ALONE)
    for case in SAVED:
        for name, expected in whole[case].items():
            assert torch.equal(again[case][name], expected), f"{case}: {name}"  # with as many, to the last bit
            torch.testing.assert_close(alone[case][name], expected, rtol=1e-3, atol=2e-5, msg=f"{case}: {name}")
    for grid in [(1, 2), (2, 1)]:
        for case, found in on_ranks(2, gone_on, tmp_path / "state", *grid)[0].items():
            for name, expected in whole[case].items():
                torch.testing.assert_close(found[name], expected, rtol=1e-3, atol=2e-5, msg=f"{case}: {name}")


@pytest.mark.slow
def test_what_one_process_saved_several_ranks_go_on_with(tmp_path: Path):
    learners = {case: begun(case, "autoencoder") for case in SAVED}
    for batch in batches(STEPS // 2):
        for one in learners.values():
            one.step(batch)
    saved = {"learners": {name: one.marked_state() for name, one in learners.items()}}
    Snapshot(saved).write(tmp_path / "state.safetensors")
    whole = rest_of(learners, ALONE)
    for case, found in on_ranks(2, gone_on, tmp_path / "state.safetensors", 1, 2)[0].items():
        for name, expected in whole[case].items():
            torch.testing.assert_close(found[name], expected, rtol=1e-3, atol=2e-5, msg=f"{case}: {name}")


@pytest.mark.parametrize(
    ("changes", "width", "said"),
    [({}, 33, "a multiple of 2"), ({"optimiser": "muon"}, 32, "as a whole"), ({"k": 4}, 32, "a sum over features")],
)
def test_what_cannot_be_divided_by_features_is_refused_with_the_reason(changes: dict[str, Any], width: int, said: str):
    made = recipe("hierarchical_topk") if changes == {"k": 4} else recipe("topk", **changes)
    with pytest.raises(InputError, match=said):
        check_divides(autoencoder(made, width), made, Ranks(features=Group(None, 0, 2)))
