"""A model without weights costs what the model with them does."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from monosema.errors import InputError
from monosema.models import LoadedModel, blueprint, pass_cost, read
from monosema.models.blueprint import Held
from tests.models.tiny_families import LAYERS, build

CONTEXTS, LENGTH = 3, 8


@pytest.fixture
def described(model: LoadedModel, tmp_path: Path) -> LoadedModel:
    """The same model from its configuration alone."""
    config: Any = copy.deepcopy(model.module.config)
    config.architectures = [type(model.module).__name__]  # as a saved model's configuration has it
    config.save_pretrained(tmp_path)
    return blueprint(tmp_path)


def test_it_has_the_weights_of_the_model_and_none_of_their_memory(model: LoadedModel, described: LoadedModel):
    def shapes(module: nn.Module) -> dict[str, torch.Size]:
        return {name: p.shape for name, p in module.named_parameters()}

    assert shapes(described.module) == shapes(model.module)
    assert {p.device.type for p in described.module.parameters()} == {"meta"}


@pytest.mark.parametrize("layer", [0, LAYERS - 1])
def test_a_pass_costs_the_products_that_the_model_makes(model: LoadedModel, described: LoadedModel, layer: int):
    points = [f"mlp_out.{layer}", f"resid_pre.{layer}"]
    ids = torch.zeros(CONTEXTS, LENGTH, dtype=torch.long)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counted:
        found = read(model, ids, points)
    cost = pass_cost(described, points, CONTEXTS, LENGTH)
    assert cost.flops == counted.get_total_flops()
    assert cost.widths == {point: x.shape[-1] for point, x in found.items()}


def test_a_llama_costs_what_its_shape_says(tmp_path: Path):
    """Two FLOPs for each weight of a product and token, and 4 d for each pair of positions and layer."""
    config: Any = build("llama").module.config
    config.save_pretrained(tmp_path)
    d, inner, layers = config.hidden_size, config.intermediate_size, 2
    kept = d * config.num_key_value_heads // config.num_attention_heads
    weights = 2 * d * d + 2 * d * kept + 3 * d * inner
    tokens = CONTEXTS * LENGTH
    cost = pass_cost(blueprint(tmp_path), ["resid_post.1"], CONTEXTS, LENGTH)
    assert cost.flops == layers * tokens * (2 * weights + 4 * LENGTH * d)
    assert cost.parameters == config.vocab_size * d + layers * (weights + 2 * d)


def test_a_pass_holds_memory_for_its_tokens_and_for_what_is_read(tmp_path: Path):
    config: Any = build("llama").module.config
    config.save_pretrained(tmp_path)
    model = blueprint(tmp_path, dtype="float32")
    row = CONTEXTS * LENGTH * config.hidden_size * 4
    one, two = (pass_cost(model, points, CONTEXTS, LENGTH).bytes for points in (["embed"], ["embed", "resid_post.2"]))
    doubled = pass_cost(model, ["embed"], 2 * CONTEXTS, LENGTH).bytes
    assert 2 * row <= one <= 4 * row  # what the embedding returned, the copy of it, and a few ids
    assert one < two
    assert doubled == pytest.approx(2 * one, rel=0.1)


def test_what_is_let_go_of_is_not_counted_twice(tmp_path: Path):
    """A model of many layers holds no more than one of few."""
    config: Any = build("llama").module.config
    most = []
    for layers in (4, 16):
        config.num_hidden_layers = layers
        config.layer_types = None
        config.save_pretrained(tmp_path / str(layers))
        most.append(pass_cost(blueprint(tmp_path / str(layers)), [f"resid_post.{layers - 1}"], 2, 16).bytes)
    assert most[0] == most[1]


@pytest.mark.parametrize(("fast16", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_is_the_models_own_16_bits_where_they_are_fast(tmp_path: Path, fast16: bool, expected: torch.dtype):
    config: Any = build("llama").module.config
    config.dtype = torch.bfloat16
    config.save_pretrained(tmp_path)
    assert blueprint(tmp_path, fast16=fast16).dtype == expected
    assert blueprint(tmp_path, dtype="float16", fast16=fast16).dtype == torch.float16


def test_a_folder_without_a_configuration_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="cannot load"):
        blueprint(tmp_path)
    with pytest.raises(InputError, match="unknown dtype 'int3'"):
        blueprint("tiny", dtype="int3")


def test_operations_read_what_they_are_given_and_write_what_they_make():
    """Views move nothing, and what picks rows reads those alone."""
    x, y, table = torch.ones(4, 8), torch.ones(8, 2), torch.ones(1000, 8)
    for act, moved in [
        (lambda: x @ y, x.nbytes + y.nbytes + 4 * 2 * 4),
        (lambda: x.T, 0),
        (lambda: x + 1, 2 * x.nbytes),
        (lambda: nn.functional.embedding(torch.zeros(3, dtype=torch.long), table), 2 * 3 * 8 * 4 + 3 * 8),
    ]:
        with Held(nn.Linear(1, 1)) as held:
            act()
        assert held.traffic == moved
