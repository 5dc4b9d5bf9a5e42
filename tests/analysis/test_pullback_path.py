"""A way back keeps its value at each place, and lists the heads that bring most."""

import pytest
import torch

from monosema.analysis.attended import head_sources
from monosema.analysis.linearise import feature_direction
from monosema.analysis.pullback import Direction
from monosema.analysis.pullback_path import strongest_heads, way_back
from monosema.analysis.stream_parts import at_part
from monosema.errors import InputError
from monosema.models import LoadedModel
from tests.analysis.test_linearise import FEATURE, IDS, POSITION, double, made_for


def own(model: LoadedModel, point: str) -> Direction:
    return feature_direction(made_for(model, point), model, IDS, POSITION, FEATURE)[1]


@pytest.mark.parametrize(
    ("point", "through", "expected"),
    [
        ("resid_post.1", [], ["resid_post.1"]),
        ("embed", [], ["embed"]),
        ("mlp_in.1", [], ["mlp_in.1", "resid_mid.1"]),
        ("mlp_out.1", [], ["mlp_out.1", "mlp_in.1", "resid_mid.1"]),
        ("attn_out.1", [], ["attn_out.1"]),
        ("attn_z.1", ["attn_z.1.3@4"], ["attn_z.1", "resid_pre.1"]),
        ("attn_out.1", ["attn_z.1.3@4"], ["attn_out.1", "attn_z.1", "resid_pre.1"]),
        ("resid_pre.2", ["mlp_out.1"], ["resid_pre.2", "mlp_out.1", "mlp_in.1", "resid_mid.1"]),
        (
            "mlp_in.2",
            ["attn_z.1.0@6", "mlp_out.0"],
            [
                "mlp_in.2",
                "resid_mid.2",
                "attn_out.1",
                "attn_z.1",
                "resid_pre.1",
                "mlp_out.0",
                "mlp_in.0",
                "resid_mid.0",
            ],
        ),
    ],
)
def test_every_place_of_a_way_has_the_same_value(point: str, through: list[str], expected: list[str]):
    model = double("llama")
    way = way_back(model, IDS, own(model, point), through)
    assert [place.point for place in way] == expected
    assert [place.value for place in way] == pytest.approx([way[0].value] * len(way))
    exact = way_back(model, IDS, own(model, point), through, frozen=False)
    assert [place.value for place in exact] == pytest.approx([way[0].value] * len(way))


def test_a_head_leads_to_the_position_that_it_looked_at():
    model = double("llama")
    way = way_back(model, IDS, own(model, "resid_post.1"), ["attn_z.1.2@3", "mlp_out.0"])
    assert [place.position for place in way] == [POSITION] * 3 + [3] * 4


@pytest.mark.parametrize("point", ["resid_mid.1", "attn_out.1", "attn_z.1"])
def test_the_strongest_heads_are_the_largest_of_all(point: str):
    model = double("gpt_neox")
    direction = own(model, point)
    if point == "resid_mid.1":
        sources = torch.stack(
            [head_sources(model, IDS, at_part(model, IDS, direction, f"attn_out.{layer}")) for layer in (0, 1)]
        )
    else:
        sources = head_sources(model, IDS, direction)[None]
    found = strongest_heads(model, IDS, direction, 5)
    assert [abs(one.value) for one in found] == pytest.approx(sources.abs().flatten().topk(5).values.tolist())
    for one in found:
        layer = one.layer if len(sources) == 2 else one.layer - 1
        assert one.value == pytest.approx(sources[layer, one.head, one.source].item())
    everything = strongest_heads(model, IDS, direction, 10**6)
    assert len(everything) == sources.count_nonzero()
    assert sum(one.value for one in everything) == pytest.approx(sources.sum().item())


@pytest.mark.parametrize("point", ["embed", "mlp_in.1", "resid_pre.0"])
def test_where_no_attention_comes_before_there_are_no_heads(point: str):
    model = double("gpt_neox")
    assert strongest_heads(model, IDS, own(model, point)) == []


@pytest.mark.parametrize(
    ("point", "through", "message"),
    [
        ("resid_pre.1", "attn_out.0", "mlp_out.L, or attn_z.L.H@P"),
        ("resid_pre.1", "attn_z.0.1", "mlp_out.L, or attn_z.L.H@P"),
        ("resid_pre.1", "mlp_out.1", "as a part of resid_pre.1"),
        ("resid_pre.1", "attn_z.0.4@1", "one of 4 heads"),
        ("attn_out.1", "mlp_out.0", "parts of attn_out.1"),
    ],
)
def test_a_way_that_is_none_is_refused(point: str, through: str, message: str):
    model = double("llama")
    with pytest.raises(InputError) as refused:
        way_back(model, IDS, own(model, point), [through])
    assert message in str(refused.value)
