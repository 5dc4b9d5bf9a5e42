"""The learner: determinism, exact resumption, scale, folding, and refusals that leave no trace."""

import copy
import dataclasses
import io

import pytest
import torch

from monosema.dictionaries import Bounded, Dictionary, Spec
from monosema.errors import InputError
from monosema.recipes import recipes
from monosema.training import Learner, NonFiniteLoss
from monosema.training.parts import gradient_norm
from tests.same import same
from tests.training.setup import BATCH, autoencoder, batches, blocks, data, learner, recipe, transcoder

each_recipe = pytest.mark.parametrize("name", recipes)
each_spec = pytest.mark.parametrize("spec_of", [autoencoder, transcoder, blocks], ids=lambda spec: spec.__name__)


@each_recipe
def test_same_seed_and_batches_end_bit_identical(name: str):
    pair = [learner(recipe(name), seed=3) for _ in range(2)]
    results = [[student.step(batch) for batch in batches(8)] for student in pair]
    assert results[0] == results[1]
    assert same(pair[0].state_dict(), pair[1].state_dict())
    assert not same(pair[0].state_dict(), learner(recipe(name), seed=4).state_dict())


@each_recipe
@each_spec
def test_a_resumed_run_is_bit_identical_to_an_uninterrupted_one(name: str, spec_of):
    stream = batches(10)
    whole = learner(recipe(name), spec_of(recipe(name)))
    for batch in stream[:5]:
        whole.step(batch)
    saved = io.BytesIO()
    torch.save(whole.state_dict(), saved)
    saved.seek(0)
    # Another seed and another sample: everything that matters comes from the state.
    resumed = learner(recipe(name), spec_of(recipe(name)), seed=9, factor=3.0)
    resumed.load_state_dict(torch.load(saved, weights_only=True))
    for batch in stream[5:]:
        assert whole.step(batch) == resumed.step(batch)
    assert same(whole.state_dict(), resumed.state_dict())


def test_batches_that_were_left_out_are_counted_on_behind_a_resume():
    one, other = learner(recipe("topk")), learner(recipe("topk"))
    one.skip()
    other.load_state_dict(one.state_dict())
    assert other.skip() == one.skip() == {"tokens": 2 * BATCH, "skipped": 2}


def test_loading_a_state_shares_no_memory_with_it():
    original, copied = learner(recipe("topk")), learner(recipe("topk"))
    stream = batches(3)
    original.step(stream[0])
    state = original.state_dict()
    before = copy.deepcopy(state)
    copied.load_state_dict(state)
    copied.step(stream[1])
    assert same(state, before)


@each_recipe
@each_spec
def test_finished_is_the_trained_dictionary_on_raw_activations(name: str, spec_of):
    student = learner(recipe(name), spec_of(recipe(name)), factor=17.0)
    tensors = data(factor=17.0)
    for batch in batches(5, tensors):
        student.step(batch)
    student.dictionary.double()  # so that no code is cut or kept by rounding
    finished, trained, x = student.finished(), copy.deepcopy(student.dictionary).eval(), tensors["x"].double()
    read, written = student.read, student.written
    assert read.axes is not None
    assert written.axes is not None
    back = (written.axes if written.axes.ndim == 2 else torch.block_diag(*written.axes)).double().T
    codes = trained.encode(read.into(x)).detach()
    assert (codes != 0).any()
    expected = trained(read.into(x)).detach() @ back / written.scales[0]
    # The axes are orthonormal to the rounding of float32.
    torch.testing.assert_close(finished.encode(x), codes / written.scales[0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(finished(x), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(finished.W_dec, trained.W_dec.detach() @ written.axes.double().mT)
    assert not finished.training
    assert not any(p.requires_grad or p.grad is not None for p in finished.parameters())


@each_recipe
def test_finished_leaves_training_untouched(name: str):
    asked, left_alone = learner(recipe(name)), learner(recipe(name))
    for batch in batches(4):
        with torch.no_grad():
            for parameter in asked.finished().parameters():
                parameter.zero_()
        assert asked.step(batch) == left_alone.step(batch)
    assert asked.dictionary.training
    assert same(asked.state_dict(), left_alone.state_dict())


@each_recipe
@each_spec
def test_the_loss_curve_does_not_depend_on_the_data_s_scale(name: str, spec_of):
    curves = {}
    for factor in (1.0, 64.0, 0.037):
        student = learner(recipe(name), spec_of(recipe(name)), factor=factor)
        curves[factor] = [student.step(batch)["loss"] for batch in batches(8, data(factor=factor))]
    assert curves[64.0] == curves[1.0]  # a power of two rounds nothing
    assert curves[0.037] == pytest.approx(curves[1.0], rel=2e-2)  # rounding moves some codes across their thresholds


def test_root_mean_squared_norm_is_one_or_root_d_by_recipe():
    for name, size in (("topk", 1.0), ("april_l1", 4.0)):
        student = learner(recipe(name), factor=5.0)
        scaled = student.read.into(data(512, factor=5.0)["x"])
        assert scaled.square().sum(1).mean().sqrt().item() == pytest.approx(size)


@pytest.mark.parametrize("start", ["mean", "geometric_median", "zero"])
@pytest.mark.parametrize("name", ["topk", "april_l1"])
def test_biases_start_where_the_recipe_says(name: str, start: str):
    student = learner(recipe(name, bias_init=start), transcoder(recipe(name)))
    sample = data(512)
    x, y = student.read.into(sample["x"]), student.written.into(sample["y"])
    dictionary = student.dictionary
    pre = dictionary.preactivations(x).detach()
    if start == "zero":
        assert (dictionary.b_dec == 0).all()
        torch.testing.assert_close(pre, x @ dictionary.W_enc.detach())
    if start == "mean":
        torch.testing.assert_close(dictionary.b_dec.detach(), y.mean(0))
        torch.testing.assert_close(pre, (x - x.mean(0)) @ dictionary.W_enc.detach(), rtol=1e-4, atol=1e-4)
    if start == "geometric_median":
        pull = torch.nn.functional.normalize(y - dictionary.b_dec.detach()).mean(0)
        assert pull.norm() < 1e-2  # no direction shortens the sum of distances


@each_recipe
@each_spec
def test_the_caller_s_tensors_are_never_modified(name: str, spec_of):
    batch = batches(1)[0]
    before = copy.deepcopy(batch)
    student = Learner(spec_of(recipe(name)), recipe(name), batch, steps=10, batch_size=BATCH)
    for _ in range(3):
        student.step(batch)
    assert same(batch, before)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e30])
@each_recipe
def test_a_loss_that_is_not_finite_raises_and_changes_nothing(name: str, bad: float):
    student = learner(recipe(name))
    stream = batches(3)
    student.step(stream[0])
    before = copy.deepcopy(student.state_dict())
    broken = {"x": stream[1]["x"].clone()}
    broken["x"][5, 3] = bad
    with pytest.raises(NonFiniteLoss, match="at step 1"):
        student.step(broken)
    assert same(student.state_dict(), before)
    assert all(parameter.grad is None for parameter in student.dictionary.parameters())


def test_the_error_tells_bad_activations_from_a_bad_learning_rate():
    student = learner(recipe("topk"))
    with pytest.raises(NonFiniteLoss, match="activations hold NaN or infinity"):
        student.step({"x": torch.full((BATCH, 16), torch.nan)})
    with pytest.raises(NonFiniteLoss, match="lower the learning rate"):
        student.step({"x": torch.full((BATCH, 16), 1e30)})


def test_a_finite_loss_with_an_infinite_gradient_changes_nothing():
    student = learner(recipe("april_l1"))
    with torch.no_grad():
        student.dictionary.W_dec.mul_(1e18)
    before = copy.deepcopy(student.state_dict())
    with pytest.raises(NonFiniteLoss):
        student.step({"x": batches(1)[0]["x"] * 1e-1})
    assert same(student.state_dict(), before)


def test_several_hook_points_are_joined_end_to_end():
    tensors = data()
    both = ("y", "x")
    spec = Spec(24, 24, 32, both, both, subtracts_input_bias=True)
    student = Learner(spec, recipe("topk"), tensors, steps=10, batch_size=BATCH)
    joined = Learner(
        dataclasses.replace(spec, reads=("j",), writes=("j",)),
        recipe("topk"),
        {"j": torch.cat([tensors["y"], tensors["x"]], 1)},
        steps=10,
        batch_size=BATCH,
    )
    for batch in batches(3):
        assert student.step(batch) == joined.step({"j": torch.cat([batch["y"], batch["x"]], 1)})


def test_metrics_say_what_happened():
    student = learner(recipe("topk", lr=0.01, lr_warmup=0.0, lr_decay=1.0), steps=10)
    batch = batches(1)[0]
    x = student.read.into(batch["x"])
    before: Dictionary = copy.deepcopy(student.dictionary)
    metrics = student.step(batch)
    error = x - before(x).detach()
    assert metrics["tokens"] == BATCH
    assert metrics["error"] == pytest.approx(error.square().sum(1).mean().item())
    assert metrics["fve"] == pytest.approx(1 - (error.square().sum() / (x - x.mean(0)).square().sum()).item(), rel=1e-4)
    assert metrics["l0"] == pytest.approx((before.encode(x) != 0).sum(1).float().mean().item())
    assert metrics["dead"] == 0
    assert metrics["lr"] == 0.01
    assert student.step(batch)["tokens"] == 2 * BATCH


@pytest.mark.parametrize("clip", [1e-3, 1e3])
def test_a_gradient_that_is_too_long_is_shortened_to_the_bound_and_no_other(clip: float, monkeypatch):
    student = learner(recipe("april_l1", grad_clip=clip))
    used, step = [], student.optimisers.step

    def watched(lr: float) -> None:
        used.append(gradient_norm(student.dictionary).item())
        step(lr)

    monkeypatch.setattr(student.optimisers, "step", watched)
    length = student.step(batches(1)[0])["grad_norm"]
    assert 1e-3 < length < 1e3
    assert used == [pytest.approx(min(clip, length))]


def test_features_count_as_dead_after_their_window_and_not_after_firing():
    student = learner(recipe("topk", dead_after=2 * BATCH))
    student.dictionary.b_enc.data[:5] = -100.0
    stream = batches(4)
    shares = [student.step(batch)["dead"] for batch in stream]
    assert shares[:2] == [0, 0]
    assert shares[2] >= 5 / 32
    student.dictionary.b_enc.data[:5] = 100.0
    student.step(stream[0])
    assert not student.dead.mask(1)[:4].any()


@pytest.mark.parametrize(
    ("spec", "sample", "message"),
    [
        (Spec(16, 16, 8, ("z",), ("z",)), data(64), "at z"),
        (Spec(12, 12, 8, ("x",), ("x",)), data(64), r"size 12 at x; expected .*16"),
        (Spec(16, 16, 8), data(64), "no hook point"),
        (Spec(16, 16, 8, ("x",), ("x",)), {"x": torch.zeros(8, 16)}, "only zeros"),
        (Spec(16, 16, 8, ("x",), ("x",)), {"x": torch.full((8, 16), torch.nan)}, "NaN"),
        (Spec(16, 16, 3, ("x",), ("x",)), data(64), "k = 4 with width 3"),
    ],
)
def test_what_does_not_fit_is_refused(spec: Spec, sample: dict, message: str):
    with pytest.raises(InputError, match=message):
        Learner(spec, recipe("topk"), sample, steps=10, batch_size=BATCH)


def test_a_normalisation_of_each_activation_is_not_trained_with():
    chosen = recipe("topk", k=4)
    spec = dataclasses.replace(autoencoder(chosen), normalisation="layer_norm")
    with pytest.raises(InputError, match="training with layer_norm; expected no normalisation"):
        learner(chosen, spec)


def test_no_steps_are_refused():
    with pytest.raises(InputError, match="0 steps"):
        learner(recipe("topk"), steps=0)


@pytest.mark.parametrize("name", ["l1", "gated", "jumprelu"])
def test_how_many_features_matter_is_known_before_the_first_step(name: str):
    one = learner(recipe(name))
    sample = data(512)["x"]
    activation = one.dictionary.activation
    assert isinstance(activation, Bounded)
    pre = one.dictionary.preactivations(one.read.into(sample[:256]))
    assert one.stored == (pre > activation.bound()).sum().item() / len(pre)
