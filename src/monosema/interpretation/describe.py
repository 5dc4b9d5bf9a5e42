"""Descriptions without a judge: the best rule for each feature, scored where it was not learnt."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from monosema.features.descriptions import Description
from monosema.interpretation.activity import Activity
from monosema.interpretation.examples import Examples, draw_examples
from monosema.interpretation.rules import Rule
from monosema.interpretation.scores import Detection, f1
from monosema.interpretation.search import Search, SearchOptions
from monosema.interpretation.text import Text

RULES = "rules"
"""The method of descriptions that are rules."""


@dataclass(frozen=True)
class RuleOptions:
    """How rules are found and scored."""

    examples: int = 512
    """Of each kind (activating, random, with the same token) and half, at most."""
    least: int = 5
    """Activations that a feature must have in either half."""
    population: int = 2**16
    """Held-out tokens that precision and recall are of, at most: whole contexts, spread over the half."""
    seed: int = 0
    search: SearchOptions = field(default_factory=SearchOptions)


@dataclass(frozen=True)
class Judged:
    """What became of a rule on the held-out half."""

    detection: Detection
    random: Detection
    """With random examples alone for those that do not fire."""
    hard: Detection
    """With those alone that have the same token."""
    recall_by_quarter: tuple[float, ...]
    """Of the activating examples from the weakest quarter to the strongest."""
    precision: float | None
    """Of all that are called firing among the held-out tokens; None where nothing is."""
    recall: float
    f1: float


class Describer:
    """Finds rules for the features of a store.

    Args:
        activity: of the features, on a text that is cut in two.
        options: how.
    """

    def __init__(self, activity: Activity, options: RuleOptions = RuleOptions()):
        self.activity, self.text, self.options = activity, activity.text, options
        self._population = _spread(self.text, options.population)

    def descriptions(self, features: Iterable[int]) -> Iterator[Description]:
        """The description of each feature that fires often enough in both halves."""
        for feature in features:
            found = self.describe(feature)
            if found is not None:
                yield found

    def describe(self, feature: int) -> Description | None:
        """One feature's rule in words, with its scores; None where it fires too seldom."""
        return self.description(self.rule(feature), feature) if self.often_enough(feature) else None

    def often_enough(self, feature: int) -> bool:
        """Whether a feature fires often enough in both halves to be described."""
        return self.activity.in_both_halves(feature, self.options.least)

    def description(self, rule: Rule, feature: int) -> Description:
        """A rule in words, with its scores on a feature."""
        learnt = self.examples(feature, heldout=False)
        judged, firing = self.judge(rule, feature), len(learnt.firing)
        called = rule.holds(self.text, learnt.tokens)
        figures = {
            "train": verdicts(called[:firing], called[firing:]).balanced_accuracy,
            "random": judged.random.balanced_accuracy,
            "hard": judged.hard.balanced_accuracy,
            "recall_by_quarter": list(judged.recall_by_quarter),
            "precision": judged.precision,
            "recall": judged.recall,
            "f1": judged.f1,
            "activating": judged.detection.activating,
            "others": judged.detection.others,
        }
        score, interval = judged.detection.balanced_accuracy, judged.detection.interval
        return Description(feature, RULES, rule.words(self.text) or "no rule tells", score, interval, figures)

    def rule(self, feature: int) -> Rule:
        """The best rule for a feature that was found on the half that is learnt from."""
        return Search(self.text, self.examples(feature, heldout=False), self.options.search).rule()

    def examples(self, feature: int, *, heldout: bool) -> Examples:
        """What its rule is learnt from, or scored on."""
        tokens, values = self.activity.of(feature)
        seed = self.options.seed * len(self.activity.store) + feature
        return draw_examples(self.text, tokens, values, heldout=heldout, most=self.options.examples, seed=seed)

    def judge(self, rule: Rule, feature: int) -> Judged:
        """How well a rule, its own or another, tells where a feature fires."""
        examples = self.examples(feature, heldout=True)
        called = rule.holds(self.text, examples.tokens)
        ends = np.cumsum([len(examples.firing), len(examples.random)])
        firing, random, hard = np.split(called, ends)
        return Judged(
            verdicts(firing, np.concatenate([random, hard])),
            verdicts(firing, random),
            verdicts(firing, hard),
            tuple(float(part.mean()) for part in np.array_split(firing, min(4, len(firing)) or 1)),
            *self._population_figures(rule, feature),
        )

    def _population_figures(self, rule: Rule, feature: int) -> tuple[float | None, float, float]:
        """Precision, recall and F1 on all held-out tokens."""
        fires = np.zeros(len(self.text), dtype=bool)
        fires[self.activity.of(feature).tokens] = True
        called, fires = rule.holds(self.text, self._population), fires[self._population]
        hits, of_called, of_firing = int((called & fires).sum()), int(called.sum()), int(fires.sum())
        precision = hits / of_called if of_called else None
        return precision, hits / of_firing if of_firing else 0.0, f1(hits, of_called, of_firing)


def verdicts(firing: np.ndarray, others: np.ndarray) -> Detection:
    """What was called firing of the examples that are, and of those that are not."""
    return Detection(int(firing.sum()), len(firing), int((~others).sum()), len(others))


def _spread(text: Text, most: int) -> np.ndarray:
    """Held-out tokens in contexts spread over the text, about as many as asked for at most."""
    contexts = np.unique(np.flatnonzero(text.heldout) // text.length)
    count = max(most // text.length, 1)
    chosen = contexts[np.linspace(0, len(contexts) - 1, min(count, len(contexts))).round().astype(np.int64)]
    tokens = (chosen[:, None] * text.length + np.arange(text.length)).ravel()
    return tokens[text.heldout[tokens]]
