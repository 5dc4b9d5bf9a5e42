"""Features of dictionaries that lie on disk, in words: by rules, or by a language model that explains and judges."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from monosema.errors import InputError
from monosema.evaluation import Table
from monosema.features import FeatureStore
from monosema.features.descriptions import Description, write_descriptions
from monosema.interpretation import (
    Activity,
    Chat,
    ChatOptions,
    Describer,
    Interpreted,
    JudgeOptions,
    RuleOptions,
    Usage,
    cases,
    interpret_all,
    load_text,
)
from monosema.interpretation.answers import AnswerCache
from monosema.interpretation.judge import Case
from monosema.interpretation.text import Split
from monosema.progress import progress
from monosema.runs.feature_page import parse_features

ANSWERS = ".answers.jsonl"
"""What the name of the file of answers has more than that of the store, which it lies beside."""
GOOD = 0.8
"""Scores above this are counted."""
SAMPLED = 20
"""Features whose questions an estimate is made from."""
EXPLAINED, LISTED = 150, 15
"""Tokens of an answer, about: an explanation with some words before it, and a list of verdicts."""
CHARACTERS = 3.5
"""Of a token, about, in code and its prompts: for estimates before a model has counted."""

_RULES, _JUDGE = RuleOptions(), JudgeOptions()


@dataclass(frozen=True)
class Described:
    """What was written of some features."""

    descriptions: list[Description]
    asked: int
    """Features that were to be described; those that fire too seldom are left out."""
    file: Path
    usage: Usage | None = None
    """Of a language model."""
    malformed: int = 0
    """Its answers that were not in the form that was asked for."""


def describe_store(
    store: FeatureStore,
    features: str | None = None,
    *,
    split: Split = "documents",
    options: RuleOptions = _RULES,
) -> Described:
    """Writes the rule of each feature that fires often enough, with its scores, into the store's folder.

    Args:
        store: the features.
        features: which, such as `0-99,512`; by default all.
        split: what is dealt to the half that rules are found on, and the half that they are scored on.
        options: how they are found.

    Raises:
        InputError: there are no such features, or too little text to hold some out.
    """
    chosen = _chosen(store, features)
    describer = Describer(Activity(store, load_text(store, split=split, seed=options.seed)), options)
    found = []
    with progress("finding rules", len(chosen), "features") as bar:
        for feature in chosen:
            found += [one for one in [describer.describe(feature)] if one is not None]
            bar.advance()
    return Described(found, len(chosen), write_descriptions(store.folder, found))


def interpret_store(
    store: FeatureStore,
    features: str | None,
    chat: ChatOptions,
    *,
    split: Split = "documents",
    options: JudgeOptions = _JUDGE,
) -> Described:
    """Has a language model explain features, and writes what it says with its scores into the store's folder.

    What it answers is kept beside the store as it comes; what is done when something fails is written all the same.

    Args:
        store: the features.
        features: which, such as `0-99,512`.
        chat: where to ask.
        split: what is dealt to the half that explanations are made from, and the half that they are scored on.
        options: how much is asked.

    Raises:
        InputError: there are no such features, none were named, or the endpoint refuses.
        Unavailable: the endpoint does not answer.
    """
    chosen = _chosen(store, _named(features))
    client = Chat(chat, AnswerCache(store.folder.with_name(store.folder.name + ANSWERS)))
    activity = Activity(store, load_text(store, split=split, seed=options.seed))
    found: list[Interpreted] = []
    try:
        with progress("asking about", len(chosen), "features") as bar:

            def each(one: Interpreted) -> None:
                found.append(one)
                bar.advance()

            interpret_all(client, cases(activity, chosen, options), options.concurrency, each)
    finally:
        described = [one.description(chat.model) for one in sorted(found, key=lambda one: one.feature)]
        written = [description for description in described if description is not None]
        file = write_descriptions(store.folder, written)
    return Described(written, len(chosen), file, client.usage, sum(one.malformed for one in found))


def dry_run(
    store: FeatureStore,
    features: str | None,
    *,
    split: Split = "documents",
    options: JudgeOptions = _JUDGE,
) -> str:
    """The questions about the first feature, and how many tokens all of them would take, about; nothing is asked."""
    chosen = _chosen(store, _named(features))
    activity = Activity(store, load_text(store, split=split, seed=options.seed))
    some = list(islice(cases(activity, chosen, options), SAMPLED))
    if not some:
        raise InputError(f"features {features}", expected="some that fire often enough in both halves of the text")
    sizes = [_size(case) for case in some]
    questions, characters = (sum(column) * len(chosen) / len(some) for column in zip(*sizes, strict=True))
    answers = EXPLAINED * len(chosen) + LISTED * questions
    first = some[0]
    asked = first.asked("(the explanation)")
    shown = [first.explain, *asked[:1], *asked[len(first.detection) :][:1]]  # one question of each kind
    texts = [f"--- {turn['role']}\n{turn['content']}" for messages in shown for turn in messages]
    return "\n\n".join(
        [
            *texts,
            f"--- estimate\n{len(chosen):,} features: up to {questions:,.0f} questions, about "
            f"{characters / CHARACTERS:,.0f} tokens of prompts at {CHARACTERS} characters a token, and some "
            f"{answers:,.0f} of answers where the model does not think first. Features that fire seldom are left out.",
        ]
    )


def _size(case: Case) -> tuple[int, int]:
    """Questions about a feature, and their characters."""
    asked = [case.explain, *case.asked("x" * 120)]
    return len(asked), sum(len(turn["content"]) for messages in asked for turn in messages)


def chat_options(
    endpoint: str, model: str | None, key_variable: str | None, request: str, timeout: float
) -> ChatOptions:
    """Where to ask, from what was typed.

    Raises:
        InputError: no model, a variable that is not set, or further fields of the request that are no JSON object.
    """
    if not model:
        raise InputError("an endpoint without a model", expected="--model, as the endpoint calls it")
    key = None if key_variable is None else os.environ.get(key_variable)
    if key_variable is not None and not key:
        raise InputError(f"the variable {key_variable}, which is not set", expected="the endpoint's key in it")
    try:
        fields = json.loads(request)
    except ValueError as error:
        raise InputError(f"--request {request!r} is not JSON ({error})") from None
    if not isinstance(fields, dict):
        raise InputError(f"--request {request!r}", expected='an object, such as {"max_tokens": 2000}')
    options = ChatOptions(endpoint, model, key, timeout=timeout)
    sent = {name: value for name, value in {**options.request, **fields}.items() if value is not None}
    return replace(options, request=sent)


def described_table(described: Described) -> Table:
    """How the scores are spread, as text."""
    headers = ["Score", "Features", "Lower quartile", "Median", "Upper quartile", f"Above {GOOD}"]
    columns = {"detection": [d.score for d in described.descriptions]}
    for name, shown in (
        ("random", "… of random tokens"),
        ("hard", "… of the same tokens"),
        ("fuzzing", "fuzzing"),
        ("f1", "F1 of all tokens"),
        ("precision", "precision of all tokens"),
        ("recall", "recall of all tokens"),
    ):
        if any(name in d.figures for d in described.descriptions):
            columns[shown] = [d.figures.get(name) for d in described.descriptions]
    quarters = [d.figures["recall_by_quarter"] for d in described.descriptions if d.figures.get("recall_by_quarter")]
    if quarters:
        columns["recall of the strongest quarter"] = [quarter[-1] for quarter in quarters]
    rows = [[name, *_spread([v for v in values if v is not None])] for name, values in columns.items()]
    return Table(headers, rows, list(_notes(described)))


def _spread(values: Sequence[float]) -> list[str]:
    if not values:
        return ["0", "–", "–", "–", "–"]
    quartiles = [f"{q:.2f}" for q in np.percentile(values, [25, 50, 75])]
    return [f"{len(values):,}", *quartiles, f"{100 * float(np.mean(np.array(values) > GOOD)):.1f} %"]


def _notes(described: Described) -> Iterator[str]:
    yield "Detection is balanced accuracy on held-out text, weak activations counting as much as strong; 0.5 is chance."
    left = described.asked - len(described.descriptions)
    if left:
        yield f"{left:,} of {described.asked:,} features are without: they fire too seldom, or got no explanation."
    usage = described.usage
    if usage is not None:
        uncounted = f" ({usage.uncounted:,} answers without a count)" if usage.uncounted else ""
        yield (
            f"{usage.asked:,} questions asked, {usage.cached:,} answered from disk, {usage.again:,} attempts failed; "
            f"{usage.prompt_tokens:,} tokens of prompts, {usage.answer_tokens:,} of answers{uncounted}."
        )
        yield f"{described.malformed:,} answers were not in the form that was asked for, and count for nothing."
    yield f"Written to {described.file}"


def described_values(described: Described) -> dict[str, Any]:
    """The same with every description, as JSON values."""
    usage = None if described.usage is None else asdict(described.usage)
    return {
        "file": str(described.file),
        "features": described.asked,
        "usage": usage,
        "malformed": described.malformed,
        "descriptions": [asdict(description) for description in described.descriptions],
    }


def _named(features: str | None) -> str:
    if features is None:
        raise InputError("a language model, and all features", expected="--features, such as 0-99: each costs tokens")
    return features


def _chosen(store: FeatureStore, features: str | None) -> list[int]:
    return list(range(len(store))) if features is None else parse_features(features, len(store))
