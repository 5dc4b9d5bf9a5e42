"""Explanations are asked for with the evidence, scored by the truth, and never guessed where an answer is malformed."""

import json
import random
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monosema.errors import InputError
from monosema.interpretation import Activity, Chat, ChatOptions, Interpreted, JudgeOptions, Unavailable, cases
from monosema.interpretation import interpret_all as interpret_them
from monosema.interpretation.answers import AnswerCache
from monosema.interpretation.judge import Case
from monosema.interpretation.passages import Passage, Passages
from monosema.interpretation.prompts import CLOSE, OPEN, explanation_in, verdicts_in
from tests.interpretation import planted
from tests.interpretation.fake_server import Raw, Reply, serving
from tests.interpretation.planted import LENGTH, WORDS

SOME = JudgeOptions(shown=6, scored=10, per_question=4, concurrency=3)
TOKEN, PAIR, CHANCE = planted.NAMES.index("on `self`"), planted.NAMES.index("on `self` after `(`"), 10


def asked_of(request: dict[str, Any]) -> tuple[str, list[str]]:
    """Which question it is, and its passages."""
    system, user = (message["content"] for message in request["messages"])
    kind = "explain" if "EXPLANATION:" in system else "fuzz" if "right tokens are marked" in system else "detect"
    return kind, re.findall(r"^\d+\. (.*)$", user, re.MULTILINE)


def judge(verdict: Callable[[str, str], bool], explanation: str = "EXPLANATION: on self") -> Reply:
    """A model that judges each passage by itself."""

    def reply(request: dict[str, Any], number: int) -> str:
        kind, passages = asked_of(request)
        if kind == "explain":
            return f"It seems to be about names.\n{explanation}"
        return json.dumps([int(verdict(kind, passage)) for passage in passages])

    return reply


def oracle(asked: list[Case]) -> Callable[[str, str], bool]:
    """Knows the truth about each passage."""
    truth = {
        (kind, shown): true
        for case in asked
        for kind, questions in (("detect", case.detection), ("fuzz", case.fuzzing))
        for question in questions
        for shown, true in zip(question.shown, question.true, strict=True)
    }
    return lambda kind, passage: truth[kind, passage]


def interpreted(
    reply: Reply, asked: list[Case], folder: Path, concurrency: int = 3, **options: Any
) -> tuple[dict[int, Interpreted], Chat]:
    """What comes of some features, by their numbers."""
    found: list[Interpreted] = []
    with serving(reply) as (address, served):
        settings = {"wait": 0.001, "timeout": 10.0, **options}
        client = Chat(ChatOptions(address, "judge", **settings), AnswerCache(folder / "answers.jsonl"))
        interpret_them(client, asked, concurrency, found.append)
        assert served.at_once <= concurrency
    return {one.feature: one for one in found}, client


@pytest.fixture(scope="module")
def asked(activity: Activity) -> list[Case]:
    return list(cases(activity, range(len(planted.FEATURES)), SOME))


def test_only_what_fires_in_both_halves_is_asked_about(asked: list[Case]):
    assert [planted.NAMES[case.feature] for case in asked] == [*planted.TOLD, "by chance"]


def test_a_judge_that_knows_is_right_each_time(asked: list[Case], tmp_path: Path):
    found, client = interpreted(judge(oracle(asked)), asked, tmp_path)
    assert found.keys() == {case.feature for case in asked}
    for case in asked:
        one = found[case.feature]
        assert one.explanation == "on self"
        assert one.detection.activating == sum(sum(question.true) for question in case.detection)
        scores = [d.balanced_accuracy for d in (one.detection, one.random, one.fuzzing) if d.others]
        assert scores == [1.0] * len(scores)
        assert one.malformed == 0
        assert one.questions == 1 + len(case.detection) + len(case.fuzzing)
    assert client.usage.asked == sum(one.questions for one in found.values())


def test_a_judge_that_does_not_know_is_right_by_chance(activity: Activity, tmp_path: Path):
    many = list(cases(activity, [TOKEN, PAIR], JudgeOptions(scored=60, per_question=8)))
    coin = random.Random(0)
    found, _ = interpreted(judge(lambda *_: coin.random() < 0.7), many, tmp_path, concurrency=1)
    total = sum((one.detection + one.fuzzing for one in found.values()), start=found[TOKEN].random)
    assert total.balanced_accuracy == pytest.approx(0.5, abs=0.1)
    assert total.interval is not None
    assert total.interval[0] < 0.5 < total.interval[1]


def test_a_judge_that_is_always_wrong_scores_nothing(asked: list[Case], tmp_path: Path):
    knows = oracle(asked)
    found, _ = interpreted(judge(lambda kind, passage: not knows(kind, passage)), asked[:1], tmp_path)
    assert found[TOKEN].detection.balanced_accuracy == 0


def test_an_explanation_that_says_where_it_fires_can_be_judged_by_reading(activity: Activity, tmp_path: Path):
    """The judge looks for the token itself in the passage, and between the marks."""
    some = list(cases(activity, [TOKEN], SOME))
    word = WORDS[planted.A]

    def reads(kind: str, passage: str) -> bool:
        return f"{OPEN}{word}{CLOSE}" in passage if kind == "fuzz" else bool(re.search(rf"(?<! ){word}", passage))

    found, _ = interpreted(judge(reads), some, tmp_path)
    assert found[TOKEN].fuzzing.balanced_accuracy == 1
    assert (found[TOKEN].detection.balanced_accuracy or 0) > 0.9


@pytest.mark.parametrize("garbage", ["", "I think so", "[1]", "[1, 0, 2, 1]", "[1, 0", '["yes"]', "[1,,0,1]", "[0011]"])
def test_what_is_not_in_the_form_is_counted_and_not_guessed(asked: list[Case], tmp_path: Path, garbage: str):
    right, spoilt = judge(oracle(asked)), [0]

    def reply(request: dict[str, Any], number: int) -> "str | Raw":
        if asked_of(request)[0] == "detect" and len(asked_of(request)[1]) == SOME.per_question and not spoilt[0]:
            spoilt[0] = 1
            return garbage
        return right(request, number)

    found, client = interpreted(reply, asked[:1], tmp_path, concurrency=1)
    one = found[TOKEN]
    assert one.malformed == 1
    assert (
        one.detection.activating + one.detection.others
        == sum(len(question.shown) for question in asked[0].detection) - SOME.per_question
    )
    assert one.detection.balanced_accuracy == 1
    assert client.usage.again == 0


def test_without_an_explanation_nothing_is_scored(asked: list[Case], tmp_path: Path):
    found, client = interpreted(judge(oracle(asked), "No idea."), asked[:1], tmp_path)
    assert found[TOKEN].explanation is None
    assert found[TOKEN].malformed == client.usage.asked == 1
    assert found[TOKEN].description("judge") is None


def test_a_run_that_failed_goes_on_where_it_was(asked: list[Case], tmp_path: Path):
    right = judge(oracle(asked))

    def breaks(request: dict[str, Any], number: int) -> "str | Raw":
        return right(request, number) if number < 30 else Raw(500)

    with pytest.raises(Unavailable, match="what was answered is kept"):
        interpreted(breaks, asked, tmp_path, attempts=2)
    kept = len(AnswerCache(tmp_path / "answers.jsonl"))
    assert kept == 30
    found, client = interpreted(right, asked, tmp_path)
    assert client.usage.cached == kept
    assert client.usage.asked == sum(one.questions for one in found.values()) - kept
    whole, _ = interpreted(right, asked, tmp_path / "another")
    assert found == whole


def test_a_refusal_ends_the_run_at_once(asked: list[Case], tmp_path: Path):
    with pytest.raises(InputError, match="answered 401"):
        interpreted(lambda *_: Raw(401), asked, tmp_path)


def test_features_are_asked_about_together_but_no_more_than_wanted(asked: list[Case], tmp_path: Path):
    right, together = judge(oracle(asked)), threading.Barrier(3)

    def reply(request: dict[str, Any], number: int) -> "str | Raw":
        if number < 3:
            together.wait(timeout=20)  # passes only once three are under way
        return right(request, number)

    found, _ = interpreted(reply, asked, tmp_path, concurrency=3)
    assert len(found) == len(asked)


def test_the_evidence_is_of_one_half_and_the_test_of_the_other(activity: Activity):
    passages, fires = Passages(activity), planted.FEATURES[planted.NAMES[TOKEN]](planted.made_up_ids()).ravel()
    heldout = activity.text.heldout
    for passage in passages.to_explain(TOKEN, 8):
        assert passage.fires
    own, silent = passages.to_score(PAIR, 8)
    assert len(own) == len(silent) == 8
    assert all(passage.fires for passage in own)
    assert not any(passage.fires for passage in silent)
    assert sum(passage.hard for passage in silent) == 4
    texts = {half: set() for half in (False, True)}
    for token in np.flatnonzero(fires).tolist():
        place = activity.store.place(token, 24, 7)
        texts[bool(heldout[token])].add("".join(place.texts))
    assert {"".join(passage.texts) for passage in passages.to_explain(TOKEN, 8)} <= texts[False]
    assert {"".join(passage.texts) for passage in passages.to_score(TOKEN, 8)[0]} <= texts[True]
    assert LENGTH > 32


def test_marks_and_strengths_are_those_of_the_activations():
    passage = Passage(["a", "\n", "«b»", " c"], np.array([0.0, 2.0, 10.0, 4.0]))
    assert passage.plain() == "a⏎‹b› c"
    assert passage.active == [2, 3]  # the line break is too weak
    assert passage.evidence(20.0) == "a⏎«‹b›»« c»   [«‹b›» 5, « c» 2]"
    assert passage.misplaced(np.random.default_rng(0)) is None
    longer = Passage(["a", " ", "b", "c"], np.array([0.0, 0.0, 0.0, 4.0]))
    assert {longer.marked(longer.misplaced(np.random.default_rng(seed)) or ()) for seed in range(9)} == {
        "«a» bc",
        "a «b»c",
    }


@given(st.text(max_size=40), st.lists(st.booleans(), min_size=1, max_size=8), st.sampled_from([", ", ",", " ,\n"]))
def test_verdicts_are_read_wherever_the_list_stands(words: str, verdicts: list[bool], comma: str):
    listed = f"[{comma.join(str(int(verdict)) for verdict in verdicts)}]"
    assert verdicts_in(f"{words}\n```json\n{listed}\n```", len(verdicts)) == verdicts
    assert verdicts_in(f"[0, 1] at first, but {listed}", len(verdicts)) == verdicts
    assert verdicts_in(f"{words} {listed}", len(verdicts) + 1) is None


@pytest.mark.parametrize(
    ("answer", "explanation"),
    [
        ("thinking\nEXPLANATION: on `self`", "on `self`"),
        ("**EXPLANATION:** after imports.", "after imports."),
        ("Explanation: one\nEXPLANATION:  two  words ", "two words"),
        ("EXPLANATION:", None),
        ("EXPLANATION: \nmore", None),
        ("EXPLANATION: **", None),
        ("EXPLANATION: half \ud800", "half ?"),
        ("an explanation of it: none", None),
        ("", None),
    ],
)
def test_an_explanation_is_the_last_line_that_is_called_so(answer: str, explanation: str | None):
    assert explanation_in(answer) == explanation


@pytest.mark.parametrize("name", ["shown", "scored", "per_question", "concurrency"])
def test_none_of_something_is_refused(name: str):
    with pytest.raises(InputError, match=f"{name} = 0"):
        JudgeOptions(**{name: 0})
