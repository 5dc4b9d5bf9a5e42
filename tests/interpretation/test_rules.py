"""Rules call firing what they say, and the search finds those that were planted."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monosema.interpretation import Activity, Condition, Describer, Rule, RuleOptions, Text
from monosema.interpretation.classes import CLASSES, NAMES
from monosema.interpretation.examples import Examples
from monosema.interpretation.families import FAMILIES, LINE, WINDOW
from monosema.interpretation.search import Search, SearchOptions
from tests.interpretation import planted
from tests.interpretation.planted import LENGTH, TOLD, WORDS


def numbers_of(family: str, context: list[int], place: int) -> set[int]:
    """The numbers of a token in a family, by hand."""
    words = [WORDS[i] for i in context]
    before, base = context[:place], len(WORDS)
    start = max([0, *(i + 1 for i in range(place) if "\n" in words[i])])

    def at(i: int) -> set[int]:
        return {context[i]} if 0 <= i < len(context) else set()

    def kinds(i: int) -> set[int]:
        return {n for n, name in enumerate(NAMES) if 0 <= i < len(words) and CLASSES[name].search(words[i])}

    def part(word: str) -> bool:
        return word.isalnum() or word == "_"

    places = {
        0: place == 0,
        1: place < 4,
        2: start == place,
        3: place > 0 and part(words[place - 1][-1]) and part(words[place][0]),
        4: context[place] in before[-WINDOW:],
    }
    return {
        "token": lambda: at(place),
        "previous": lambda: at(place - 1),
        "second_before": lambda: at(place - 2),
        "next": lambda: at(place + 1),
        "pair": lambda: {before[-1] * base + context[place]} if place else set(),
        "triple": lambda: {(before[-2] * base + before[-1]) * base + context[place]} if place > 1 else set(),
        "kind": lambda: kinds(place),
        "kind_before": lambda: kinds(place - 1),
        "kind_after": lambda: kinds(place + 1),
        "line": lambda: at(start),
        "recent": lambda: set(before[-WINDOW:]),
        "on_line": lambda: set(before[max(start, place - LINE) :]),
        "place": lambda: {n for n, there in places.items() if there},
    }[family]()


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "ending"])
def test_the_numbers_of_a_token_are_those_counted_by_hand(text: Text, name: str):
    tokens = np.random.default_rng(0).choice(len(text), 400)
    tokens[:6] = [0, 1, 2, LENGTH - 1, LENGTH, len(text) - 1]
    found = FAMILIES[name].keys(text, tokens)
    for token, row in zip(tokens.tolist(), found.tolist(), strict=True):
        context = text.ids[token // LENGTH * LENGTH :][:LENGTH].tolist()
        assert set(row) - {-1} == numbers_of(name, context, token % LENGTH)


def test_an_ending_is_of_words_that_have_more_letters(text: Text):
    tokens = np.arange(400)
    found = FAMILIES["ending"].keys(text, tokens)[:, 0]
    labels = [FAMILIES["ending"].label(text, key) if key >= 0 else None for key in found.tolist()]
    for token, label in zip(tokens.tolist(), labels, strict=True):
        word = WORDS[text.ids[token]].strip()
        assert label == (f"`{word[-2:]}`" if word.isalpha() and len(word) > 2 else None)


conditions = st.builds(
    Condition,
    st.sampled_from(
        [name for name in FAMILIES if name not in ("ending", "place", "kind", "kind_before", "kind_after")]
    ),
    st.lists(st.integers(0, len(WORDS) - 1), min_size=1, max_size=4).map(tuple),
    st.booleans(),
)


@given(st.lists(st.lists(conditions, min_size=1, max_size=3).map(tuple), max_size=3).map(tuple))
def test_a_rule_holds_where_all_conditions_of_a_clause_do(text: Text, clauses: tuple[tuple[Condition, ...], ...]):
    tokens = np.arange(300)
    expected = []
    for token in tokens.tolist():
        context = text.ids[token // LENGTH * LENGTH :][:LENGTH].tolist()
        expected.append(
            any(
                all(bool(numbers_of(c.family, context, token % LENGTH) & set(c.listed)) != c.without for c in clause)
                for clause in clauses
            )
        )
    assert Rule(clauses).holds(text, tokens).tolist() == expected


@pytest.mark.parametrize("name", TOLD)
def test_what_was_planted_is_found_and_said(activity: Activity, name: str):
    found = Describer(activity).describe(planted.NAMES.index(name))
    assert found is not None
    assert found.text == name
    assert found.score == 1
    assert found.figures["f1"] == found.figures["precision"] == found.figures["recall"] == 1
    assert found.figures["recall_by_quarter"] == [1, 1, 1, 1]
    assert found.interval is not None
    assert found.interval[0] > 0.95


def test_what_fires_by_chance_is_told_by_no_rule_better_than_chance(activity: Activity):
    found = Describer(activity).describe(planted.NAMES.index("by chance"))
    assert found is not None
    assert found.score == pytest.approx(0.5, abs=0.05)
    assert found.figures["train"] < 0.55


@pytest.mark.parametrize("name", ["never", "seldom"])
def test_what_fires_too_seldom_is_not_described(activity: Activity, name: str):
    assert Describer(activity).describe(planted.NAMES.index(name)) is None


def test_the_rule_of_another_feature_is_no_better_than_chance(activity: Activity):
    describer = Describer(activity)
    rule = describer.rule(planted.NAMES.index("on numbers"))
    judged = describer.judge(rule, planted.NAMES.index("on `self`"))
    assert judged.detection.balanced_accuracy == pytest.approx(0.48, abs=0.04)  # it calls a few others, and no hit
    assert judged.recall == judged.f1 == judged.precision == 0
    assert not Rule(()).holds(activity.text, np.arange(9)).any()
    assert Rule(()).words(activity.text) == ""


def test_the_same_seed_is_the_same_description(activity: Activity):
    once, again = (Describer(activity).describe(10) for _ in range(2))
    assert once == again
    drawn = [Describer(activity, RuleOptions(seed=seed)).examples(10, heldout=True).random for seed in (0, 1)]
    assert drawn[0].tolist() != drawn[1].tolist()


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=4, max_size=30), st.integers(1, 4))
def test_the_list_that_is_chosen_is_the_best_of_all(text: Text, drawn: list[tuple[int, bool]], most: int):
    """Against every list of so many ids, where nothing is held to be chance."""
    where = [np.flatnonzero(text.ids == i)[:30] for i, _ in drawn]
    firing = np.array([where[n][n] for n, (_, fires) in enumerate(drawn) if fires], dtype=np.int64)
    others = np.array([where[n][n] for n, (_, fires) in enumerate(drawn) if not fires], dtype=np.int64)
    if not len(firing) or not len(others):
        return
    examples = Examples(firing, np.ones(len(firing)), others, np.zeros(0, np.int64))
    search = Search(text, examples, SearchOptions(noise=0, seen=1))
    object.__setattr__(FAMILIES["token"], "listing", most)
    try:
        found = search._condition("token", examples.weights, without=False)
    finally:
        object.__setattr__(FAMILIES["token"], "listing", 8)
    ids, weights = text.ids[examples.tokens], examples.weights
    kinds = sorted(set(ids.tolist()))
    lists = [c for n in range(1, most + 1) for c in combinations(kinds, n)]
    best = max(float(weights[np.isin(ids, listed)].sum()) for listed in lists)
    own = float(weights[found[1]].sum()) if found else 0.0
    assert own == pytest.approx(max(best, 0.0), abs=1e-12)


def test_words_with_a_backtick_stay_readable(text: Text):
    assert Rule(((Condition("token", (WORDS.index("`"),)),),)).words(text) == "on `````"
    assert Rule(((Condition("token", (0, 1)),),)).words(text) == "on `⏎` or `⏎    `"
