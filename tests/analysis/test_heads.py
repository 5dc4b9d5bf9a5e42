"""Topics of heads and features that repeat, on codes whose answer is known."""

import pytest
import torch
from torch import Tensor

from monosema.analysis.heads import (
    DENSE,
    PER_HEAD,
    WINDOW,
    FiringSums,
    check_heads,
    chosen_features,
    compare,
    topics,
    written,
)
from monosema.dictionaries import Dictionary, ReLU, Spec
from monosema.errors import InputError
from tests.evaluation.helpers import D, random_model, scaling

VOCABULARY, HEADS, OWN = 40, 2, 3


def text(contexts: int = 20, length: int = 50) -> Tensor:
    return torch.randint(VOCABULARY, (contexts, length), generator=torch.Generator().manual_seed(0))


def sums_of(fires: Tensor, ids: Tensor) -> FiringSums:
    sums = FiringSums(fires.shape[-1], VOCABULARY)
    counts = torch.ones_like(ids, dtype=torch.bool)
    for part in range(0, len(ids), 7):
        sums.add(fires[part : part + 7], ids[part : part + 7], counts[part : part + 7])
    return sums


def on_tokens(ids: Tensor, tokens: list[int]) -> Tensor:
    """Feature i fires exactly on the i-th token."""
    return torch.stack([ids == token for token in tokens], dim=-1)


def test_firing_together_is_the_jaccard_index():
    ids = text()
    fires = torch.rand(*ids.shape, 4, generator=torch.Generator().manual_seed(1)) < 0.3
    rows = fires.flatten(0, 1).double()
    both = rows.T @ rows
    either = len(rows) - (1 - rows).T @ (1 - rows)
    torch.testing.assert_close(sums_of(fires, ids).jaccard().double(), both / either)


def test_topics_count_what_is_different():
    same, apart = torch.eye(6)[:1].expand(5, 6), torch.eye(6)
    assert topics(same) == pytest.approx(1)
    assert topics(apart) == pytest.approx(6)
    assert topics(torch.cat([same, apart[1:2].expand(5, 6)])) == pytest.approx(2)


def test_features_of_one_token_have_one_topic_and_others_have_others():
    ids = text()
    one = sums_of(on_tokens(ids, [3, 3, 3]), ids).profiles()
    several = sums_of(on_tokens(ids, [3, 9, 27]), ids).profiles()
    assert topics(one) == pytest.approx(1, abs=1e-3)
    assert topics(several) > 2.5
    assert several.argmax(1).tolist() == [3, 9, 27]


def test_a_topic_is_of_the_tokens_before_too_and_of_none_behind():
    ids = torch.full((1, 30), 1)
    ids[0, 10], ids[0, 10 + WINDOW - 1], ids[0, 19] = 5, 6, 7
    fires = torch.zeros(1, 30, 1, dtype=torch.bool)
    fires[0, 10 + WINDOW - 1] = True
    counted = sums_of(fires, ids).topics[:, 0]
    assert (counted[5], counted[6], counted[7], counted.sum()) == (1, 1, 0, WINDOW)


def test_what_does_not_count_is_no_firing():
    ids, sums = text(), FiringSums(1, VOCABULARY)
    sums.add(torch.ones(*ids.shape, 1, dtype=torch.bool), ids, torch.zeros_like(ids, dtype=torch.bool))
    assert not sums.together.any()
    assert not sums.topics.any()


def test_what_fires_together_and_writes_the_same_repeats():
    """Of six features of two heads, 0 and 3 repeat each other, 1 and 4 fire together, 2 and 5 write the same."""
    ids = text()
    fires = on_tokens(ids, [1, 2, 3, 1, 2, 4])
    directions = torch.eye(8)[[0, 1, 2, 0, 3, 2]]
    chosen = [torch.tensor([4, 5, 6]), torch.tensor([14, 15, 16])]
    density = torch.zeros(20).double()
    density[torch.cat(chosen)] = fires.flatten(0, 1).double().mean(0)
    found = compare(sums_of(fires, ids), directions, chosen, density)
    assert [(repeat.features, repeat.together) for repeat in found.repeats] == [((4, 14), 1.0), ((5, 15), 1.0)]
    assert [repeat.cosine for repeat in found.repeats] == [1, 0]
    assert [(head.live, head.compared, head.together, head.repeated) for head in found.heads] == [(3, 3, 2, 1)] * 2
    assert found.pairs.tolist() == [[0, 2], [2, 0]]
    assert sum(head.l0 for head in found.heads) == pytest.approx(density.sum().item())


def test_those_that_fire_often_but_not_everywhere_are_compared():
    density = torch.cat([torch.linspace(0, 0.2, 200), torch.zeros(200)]).double()
    first, second = chosen_features(density, 2)
    assert len(first) == PER_HEAD
    assert density[first].max() <= DENSE
    assert density[first].min() >= density[density <= DENSE].sort().values[-PER_HEAD]
    assert len(second) == 0


def test_what_a_feature_writes_is_its_direction_through_its_heads_output_weights():
    model = random_model()
    kind = "block_diagonal"
    d = Dictionary(Spec(D, D, 8, ("attn_z.1",), ("attn_z.1",), encoder=kind, decoder=kind, blocks=2), ReLU(8)).double()
    d.W_dec.data.normal_(generator=torch.Generator().manual_seed(0))
    weight = model.module.get_submodule("gpt_neox.layers.1.attention.dense").weight.double()
    whole = torch.block_diag(*d.W_dec.detach()) @ weight.T
    features = torch.tensor([0, 3, 5])
    torch.testing.assert_close(written(d, model, features).double(), whole[features], rtol=1e-5, atol=1e-5)
    assert check_heads(d, model) == 2


def test_a_dictionary_without_a_block_for_each_head_is_refused():
    with pytest.raises(InputError, match=r"with a block for each head; .*train it with --site attn_z"):
        check_heads(scaling(1.0, point="attn_z.1"), random_model())
