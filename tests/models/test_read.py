from collections import Counter
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from monosema.errors import InputError
from monosema.models import LoadedModel, load_model, read, width_of
from tests.models.tiny_families import LAYERS, build, hooks_of


def calls_during(module: nn.Module, act: Callable[[], object]) -> Counter[str]:
    """How often each module ran to its end while `act` ran."""
    counts: Counter[str] = Counter()
    handles = [
        part.register_forward_hook(lambda *_, path=path: counts.update([path])) for path, part in module.named_modules()
    ]
    act()
    for handle in handles:
        handle.remove()
    return counts


class Stack(nn.Module):
    """Layers that add to their input in place, return tuples, and are given their input by keyword."""

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, *, hidden_states: Tensor) -> tuple[None, Tensor, str]:
            hidden_states += self.linear(hidden_states)
            return None, hidden_states, "more"

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(Stack.Layer() for _ in range(3))
        self.unused = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = x.clone()
        for layer in self.layers:
            _, x, _ = layer(hidden_states=x)
        return {"last": x}


@pytest.fixture
def stack() -> LoadedModel:
    torch.manual_seed(0)
    return load_model(Stack())


def states(stack: LoadedModel, x: Tensor) -> list[Tensor]:
    """What each layer of a stack is given, and last what the last one returns, without adding in place."""
    result = [x]
    with torch.no_grad():
        for layer in range(3):
            result.append(result[-1] + stack.module.get_submodule(f"layers.{layer}.linear")(result[-1]))
    return result


@pytest.mark.parametrize("kind", ["resid_pre", "attn_z", "attn_out", "mlp_in", "mlp_out", "resid_post"])
def test_nothing_after_the_deepest_point_runs(kind: str, model: LoadedModel, ids: Tensor):
    layer = model.point("resid_post.1").path
    counts = calls_during(model.module, lambda: read(model, ids, ["embed", f"{kind}.1"]))
    assert counts[model.point("resid_post.0").path] == 1
    assert counts[layer] == (kind == "resid_post")
    later = layer.removesuffix("1") + "2"
    assert not any(path == "" or path.startswith((later, "lm_head", "cls", "embed_out")) for path in counts)
    first_of_mlp = model.point("mlp_in.1").path
    assert counts[first_of_mlp] == (kind in ("mlp_out", "resid_post"))


def test_a_whole_pass_runs_what_reading_leaves_out(model: LoadedModel, ids: Tensor):
    counts = calls_during(model.module, lambda: model.run(ids))
    assert counts[model.point(f"resid_post.{LAYERS - 1}").path] == 1
    assert counts[""] == 1


def test_several_points_in_one_pass_are_what_each_alone_is(model: LoadedModel, ids: Tensor):
    names = ["mlp_out.2", "embed", "resid_pre.1", "blocks.1.attn.hook_z", model.point("attn_out.0").path]
    together = read(model, ids, names)
    assert list(together) == names
    assert all(torch.equal(together[name], read(model, ids, [name])[name]) for name in names)


def test_two_names_of_one_place_give_the_same(ids: Tensor):
    at = read(build("llama"), ids, ["resid_post.1", "blocks.1.hook_resid_post", "model.layers.1"])
    assert len(at) == 3
    assert torch.equal(at["resid_post.1"], at["model.layers.1"])
    assert torch.equal(at["resid_post.1"], at["blocks.1.hook_resid_post"])


def test_tuples_keywords_and_mappings_are_seen_through(stack: LoadedModel):
    x = torch.randn(2, 3, 4)
    expected = states(stack, x)
    at = read(stack, x, ["layers.0:in", "layers.1:in", "layers.1", "layers.2.linear:in", ":out"])
    torch.testing.assert_close(at["layers.0:in"], expected[0])
    torch.testing.assert_close(at["layers.1:in"], expected[1])
    torch.testing.assert_close(at["layers.1"], expected[2])
    torch.testing.assert_close(at["layers.2.linear:in"], expected[2])
    torch.testing.assert_close(at[":out"], expected[3])


def test_what_is_read_takes_part_in_later_gradients(ids: Tensor):
    activation = read(build("llama"), ids, ["resid_post.1"])["resid_post.1"]
    assert not activation.requires_grad
    weight = torch.ones(32, requires_grad=True)
    (activation * weight).sum().backward()  # an inference tensor could not be saved for this
    torch.testing.assert_close(weight.grad, activation.sum((0, 1)))


def test_what_is_read_shares_no_memory_with_the_inputs():
    x = torch.randn(2, 4)
    at = read(load_model(nn.Sequential(nn.Identity(), nn.ReLU(inplace=True))), x, ["0"])
    assert at["0"].data_ptr() != x.data_ptr()


@pytest.mark.parametrize("points", [[], "resid_post.1"])
def test_points_that_are_no_list_of_names_are_refused(points, ids: Tensor):
    with pytest.raises(InputError, match="a list with at least one name"):
        read(build("llama"), ids, points)


def test_a_point_that_never_runs_is_refused(stack: LoadedModel):
    with pytest.raises(InputError, match="does not call the module 'unused'"):
        read(stack, torch.randn(1, 1, 4), ["layers.1", "unused"])
    assert hooks_of(stack.module) == 0


class Textual(nn.Module):
    def forward(self, text: str) -> str:
        return text


class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.textual = Textual()

    def forward(self, x: Tensor) -> Tensor:
        self.textual("a")
        return x


@pytest.mark.parametrize("point", ["textual", "textual:in"])
def test_a_place_without_a_tensor_is_refused(point: str):
    model = load_model(Odd())
    with pytest.raises(InputError, match="tensor"):
        read(model, torch.zeros(1), [point])
    assert hooks_of(model.module) == 0


def test_no_hook_is_left_after_reading_or_after_an_error(ids: Tensor):
    model = build("gpt2")
    read(model, ids, ["resid_post.0", "mlp_in.1"])
    assert hooks_of(model.module) == 0
    with pytest.raises(InputError):
        read(model, ids + 1000, ["resid_post.0"])
    with pytest.raises(InputError):
        read(model, ids, ["resid_post.0", "resid_post.9"])
    assert hooks_of(model.module) == 0


def test_the_width_is_that_of_the_activations(model: LoadedModel, ids: Tensor):
    for name in ("embed", "resid_post.1", "attn_z.1", "mlp_in.0"):
        assert width_of(model, name) == read(model, ids, [name])[name].shape[-1]


def test_the_width_of_heads_may_differ_from_the_streams():
    assert width_of(build("qwen3"), "attn_z.0") == 4 * 12


def test_the_width_in_a_module_without_vocabulary_needs_inputs():
    model = load_model(nn.Sequential(nn.Linear(3, 5), nn.ReLU()))
    assert width_of(model, "1:in", torch.zeros(1, 3)) == 5
    with pytest.raises(InputError, match="expected inputs that the model can run on"):
        width_of(model, "1:in")
