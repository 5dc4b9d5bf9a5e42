"""Explanations by a language model, and how well it can tell by them where features fire."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

import numpy as np

from monosema.errors import InputError
from monosema.features.descriptions import Description
from monosema.interpretation import prompts
from monosema.interpretation.activity import Activity
from monosema.interpretation.chat import Chat
from monosema.interpretation.passages import Passage, Passages
from monosema.interpretation.scores import Detection

NOTHING = Detection(0, 0, 0, 0)


@dataclass(frozen=True)
class JudgeOptions:
    """How much a language model is shown, and asked."""

    shown: int = 20
    """Passages that an explanation is made from."""
    scored: int = 20
    """Passages in which the feature fires, and as many in which it does not, that the explanation is scored on."""
    per_question: int = 5
    """Passages that one question is about."""
    concurrency: int = 8
    """Features that are asked about at a time."""
    promoted: int = 10
    """Tokens that are shown as promoted."""
    least: int = 5
    """Activations that a feature must have in either half."""
    seed: int = 0

    def __post_init__(self):
        for name in ("shown", "scored", "per_question", "concurrency"):
            if (given := getattr(self, name)) < 1:
                raise InputError(f"{name} = {given} for questions about features", expected="at least 1")


@dataclass(frozen=True)
class Question:
    """Some passages as they are shown, and the truth about each."""

    shown: list[str]
    true: list[bool]
    hard: list[bool]


@dataclass(frozen=True)
class Case:
    """All that there is to ask about one feature."""

    feature: int
    explain: prompts.Messages
    detection: list[Question]
    fuzzing: list[Question]

    def asked(self, explanation: str) -> list[prompts.Messages]:
        """What is asked to score an explanation."""
        return [
            *(prompts.detect(explanation, question.shown) for question in self.detection),
            *(prompts.fuzz(explanation, question.shown) for question in self.fuzzing),
        ]


@dataclass
class Interpreted:
    """What came of one feature."""

    feature: int
    explanation: str | None = None
    """None where the answer held none."""
    detection: Detection = NOTHING
    random: Detection = NOTHING
    """The part of it in which passages that do not fire were drawn at random."""
    hard: Detection = NOTHING
    """The part in which they were drawn by a token on which the feature fires elsewhere."""
    fuzzing: Detection = NOTHING
    questions: int = 0
    malformed: int = field(default=0)
    """Answers that were not in the form that was asked for; nothing is made of them."""

    def description(self, method: str) -> Description | None:
        """As the store keeps it; None without an explanation."""
        if self.explanation is None:
            return None
        figures = {
            "random": self.random.balanced_accuracy,
            "hard": self.hard.balanced_accuracy,
            "fuzzing": self.fuzzing.balanced_accuracy,
            "fuzzing_interval": self.fuzzing.interval and list(self.fuzzing.interval),
            "activating": self.detection.activating,
            "others": self.detection.others,
            "questions": self.questions,
            "malformed": self.malformed,
        }
        score, interval = self.detection.balanced_accuracy, self.detection.interval
        return Description(self.feature, method, self.explanation, score, interval, figures)


def cases(activity: Activity, features: Iterable[int], options: JudgeOptions = JudgeOptions()) -> Iterator[Case]:
    """What is asked about each feature that fires often enough in both halves of the text."""
    passages = Passages(activity, options.seed)
    for feature in features:
        if activity.in_both_halves(feature, options.least):
            yield _case(activity, passages, feature, options)


def _case(activity: Activity, passages: Passages, feature: int, options: JudgeOptions) -> Case:
    evidence = passages.to_explain(feature, options.shown)
    most = max(passage.values.max() for passage in evidence)
    promoted = [pair["text"] for pair in activity.store.feature(feature).promotes or []][: options.promoted]
    rng = np.random.default_rng(options.seed * len(activity.store) + feature)
    fires, silent = passages.to_score(feature, options.scored)
    of_both = [(passage.plain(), passage.fires, passage.hard) for passage in (*fires, *silent)]
    return Case(
        feature,
        prompts.explain([passage.evidence(most) for passage in evidence], promoted),
        _questions(of_both, rng, options.per_question),
        _questions(_markings(fires, rng), rng, options.per_question),
    )


def _markings(fires: Sequence[Passage], rng: np.random.Generator) -> list[tuple[str, bool, bool]]:
    """Each passage with its active tokens marked, and with as many others."""
    right = [(passage.marked(passage.active), True, False) for passage in fires]
    others = [(passage, passage.misplaced(rng)) for passage in fires]
    return right + [(passage.marked(places), False, False) for passage, places in others if places is not None]


def _questions(items: Sequence[tuple[str, bool, bool]], rng: np.random.Generator, size: int) -> list[Question]:
    """The passages in any order, some at a time."""
    order = rng.permutation(len(items)).tolist()
    parts = [[items[i] for i in order[first : first + size]] for first in range(0, len(order), size)]
    return [Question(*map(list, zip(*part, strict=True))) for part in parts]  # pyright: ignore[reportArgumentType]


def interpret(chat: Chat, case: Case) -> Interpreted:
    """Asks for an explanation of one feature, and has it scored.

    Raises:
        InputError: the endpoint refuses.
        Unavailable: it does not answer.
    """
    found = Interpreted(case.feature, questions=1)
    found.explanation = prompts.explanation_in(chat.ask(case.explain))
    if found.explanation is None:
        found.malformed += 1
        return found
    for asked, questions in ((prompts.detect, case.detection), (prompts.fuzz, case.fuzzing)):
        for question in questions:
            answer = chat.ask(asked(found.explanation, question.shown))
            verdicts = prompts.verdicts_in(answer, len(question.shown))
            found.questions += 1
            if verdicts is None:
                found.malformed += 1
            elif asked is prompts.fuzz:
                found.fuzzing += _counted(verdicts, question.true)
            else:
                _add_detection(found, verdicts, question)
    return found


def _add_detection(found: Interpreted, verdicts: list[bool], question: Question) -> None:
    found.detection += _counted(verdicts, question.true)
    for kind in ("random", "hard"):
        own = [i for i, true in enumerate(question.true) if true or question.hard[i] == (kind == "hard")]
        part = _counted([verdicts[i] for i in own], [question.true[i] for i in own])
        setattr(found, kind, getattr(found, kind) + part)


def _counted(verdicts: Sequence[bool], true: Sequence[bool]) -> Detection:
    pairs = list(zip(verdicts, true, strict=True))
    return Detection(pairs.count((True, True)), sum(true), pairs.count((False, False)), len(true) - sum(true))


def interpret_all(chat: Chat, asked: Iterable[Case], concurrency: int, each: Callable[[Interpreted], object]) -> None:
    """Interprets features, some at a time, and hands each to `each` when it is done, in whatever order.

    Raises:
        InputError: the endpoint refuses; what is under way is finished or given up first.
        Unavailable: it does not answer; likewise.
    """
    running: set[Future[Interpreted]] = set()
    with ThreadPoolExecutor(concurrency) as pool:
        try:
            for case in asked:
                running.add(pool.submit(interpret, chat, case))
                while len(running) >= concurrency:
                    running = _collect(running, each)
            while running:
                running = _collect(running, each)
        except BaseException:
            chat.stop()
            for future in running:
                future.cancel()
            raise


def _collect(running: set[Future[Interpreted]], each: Callable[[Interpreted], object]) -> set[Future[Interpreted]]:
    done, left = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        each(future.result())
    return left
