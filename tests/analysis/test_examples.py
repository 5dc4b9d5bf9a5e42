import pytest
import torch
from torch import Tensor

from monosema.analysis import Example, examples, top_examples
from monosema.dictionaries import BatchTopK, Dictionary, Spec, TopK, initialise_
from monosema.errors import InputError
from monosema.models import load_model, read

WIDTH, POINT, LENGTH = 64, "resid_post.0", 24
MODEL = load_model("tiny", device="cpu")


def random_contexts(n: int = 20) -> Tensor:
    ids = torch.randint(1, 4096, (n, LENGTH), generator=torch.Generator().manual_seed(0))
    ids[:, 0] = min(MODEL.special_ids)
    return ids


CONTEXTS = random_contexts()


def dictionary() -> Dictionary:
    d = read(MODEL, CONTEXTS[:1], [POINT])[POINT].shape[-1]
    made = Dictionary(Spec(d, d, WIDTH, (POINT,), (POINT,)), TopK(WIDTH, 8)).eval()
    initialise_(made, torch.Generator().manual_seed(0))
    return made


@torch.no_grad()
def all_values() -> Tensor:
    values = dictionary().encode(read(MODEL, CONTEXTS, [POINT])[POINT].float())
    values[torch.isin(CONTEXTS, torch.tensor(sorted(MODEL.special_ids)))] = 0
    return values


def live_features(n: int) -> list[int]:
    """Features that fire in at least five contexts."""
    return ((all_values() > 0).any(1).sum(0) >= 5).nonzero().flatten()[:n].tolist()


def places(found: list[Example]) -> list[tuple[int, int]]:
    return [(example.context, example.position) for example in found]


def test_examples_are_the_strongest_places_of_distinct_contexts():
    values, features = all_values(), live_features(6)
    for feature, found in top_examples(dictionary(), MODEL, CONTEXTS, features, n=4).items():
        strongest = values[:, :, feature].amax(1)
        contexts = strongest.argsort(descending=True, stable=True)[:4]
        assert [example.context for example in found] == contexts.tolist()
        assert [example.value for example in found] == pytest.approx(strongest[contexts].tolist(), rel=1e-4)


def test_each_token_of_the_window_has_its_text_and_its_value():
    values = all_values()
    found = top_examples(dictionary(), MODEL, CONTEXTS, live_features(6), window=(6, 3))
    cut_short = set()
    for feature, of_feature in found.items():
        for example in of_feature:
            start, end = max(example.position - 6, 0), min(example.position + 4, LENGTH)
            cut_short.add(end - start < 10)
            assert start + example.strongest == example.position
            assert len(example.tokens) == len(example.values) == end - start
            expected = values[example.context, start:end, feature].tolist()
            assert list(example.values) == pytest.approx(expected, rel=1e-4, abs=1e-5)
            assert example.values[example.strongest] == example.value == max(example.values)
    assert cut_short == {True, False}  # or the edges of contexts are not tested


def test_the_choice_does_not_depend_on_how_many_contexts_run_at_once(monkeypatch: pytest.MonkeyPatch):
    features = live_features(6)
    chosen = []
    for at_once in (1, 7, 100):
        monkeypatch.setattr(examples, "_CONTEXTS", at_once)
        found = top_examples(dictionary(), MODEL, CONTEXTS, features)
        chosen.append({feature: places(found[feature]) for feature in features})
    assert chosen[0] == chosen[1] == chosen[2]


def test_of_equally_strong_contexts_the_earlier_come_first():
    repeated = CONTEXTS[:1].repeat(20, 1)
    feature = all_values()[0].amax(0).argmax().item()
    found = top_examples(dictionary(), MODEL, repeated, [int(feature)], n=3)[int(feature)]
    assert [example.context for example in found] == [0, 1, 2]


def test_a_feature_that_never_fires_has_no_examples():
    silent = dictionary()
    with torch.no_grad():
        silent.b_enc[5] = -1e6
    assert top_examples(silent, MODEL, CONTEXTS, [5]) == {5: []}


def test_special_tokens_are_no_examples():
    always = dictionary()
    with torch.no_grad():
        always.b_enc[5] = 1e6
    found = top_examples(always, MODEL, CONTEXTS, [5], n=20)[5]
    assert len(found) == 20
    assert all(int(CONTEXTS[e.context, e.position]) not in MODEL.special_ids for e in found)


def test_the_mode_of_the_dictionary_is_left_as_it_was():
    made = Dictionary(dictionary().spec, BatchTopK(WIDTH, 8)).train()
    made.load_state_dict({**dictionary().state_dict(), "activation.threshold": torch.tensor(0.1)})
    in_training = top_examples(made, MODEL, CONTEXTS, [1, 2])
    assert made.training
    assert made.activation.training
    assert in_training == top_examples(made.eval(), MODEL, CONTEXTS, [1, 2])


@pytest.mark.parametrize(
    ("features", "options", "message"),
    [
        ([WIDTH], {}, f"feature {WIDTH}"),
        ([-1], {}, "feature -1"),
        ([0], {"n": 0}, "0 examples"),
        ([0], {"window": (-1, 2)}, "window"),
        ([0], {"contexts": CONTEXTS[:0]}, "contexts"),
    ],
)
def test_what_cannot_be_looked_for_is_refused(features: list[int], options: dict, message: str):
    contexts = options.pop("contexts", CONTEXTS)
    with pytest.raises(InputError, match=message):
        top_examples(dictionary(), MODEL, contexts, features, **options)
