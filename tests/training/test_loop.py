"""The loop: each batch is read once, every learner gets it, observers hear of it."""

import pytest
import torch

from monosema.errors import InputError
from monosema.recipes import recipes
from monosema.training import train
from tests.same import same
from tests.training.setup import learner, recipe, source, transcoder


class Listener:
    def __init__(self):
        self.heard = []

    def on_step(self, step, metrics):
        self.heard.append((step, metrics))


def test_the_source_is_read_once_for_each_step_and_no_further():
    read, expected = source(), source()
    train(read, {name: learner(recipe(name)) for name in recipes}, 5)
    for _ in range(5):
        next(iter(expected))
    assert read.state_dict() == expected.state_dict()


def test_learners_on_one_stream_end_as_if_each_were_alone():
    def students():
        together = {name: learner(recipe(name), seed=i) for i, name in enumerate(recipes)}
        return together | {"transcoder": learner(recipe("topk"), transcoder(recipe("topk")))}

    together, alone = students(), students()
    train(source(), together, 6)
    for name, student in alone.items():
        train(source(), {name: student}, 6)
        assert same(student.state_dict(), together[name].state_dict())


def test_a_run_is_as_long_as_its_learners_were_made_for():
    students = {name: learner(recipe(name)) for name in ("topk", "l1")}
    train(source(), students)
    assert all(student.step_count == student.steps for student in students.values())
    with pytest.raises(InputError, match="no learner; expected one length, or `steps`"):
        train(source(), {})
    students["l1"].steps += 1
    with pytest.raises(InputError, match="learners for runs of these lengths"):
        train(source(), students)


def test_observers_hear_every_step_s_metrics_and_change_nothing():
    watched, unwatched, listeners = learner(recipe("topk")), learner(recipe("topk")), [Listener(), Listener()]
    train(source(), {"a": watched}, 6, listeners)
    train(source(), {"a": unwatched}, 6)
    assert same(watched.state_dict(), unwatched.state_dict())
    assert [step for step, _ in listeners[0].heard] == [1, 2, 3, 4, 5, 6]
    assert listeners[0].heard == listeners[1].heard
    assert [metrics["a"]["tokens"] for _, metrics in listeners[0].heard] == [64 * i for i in range(1, 7)]


def test_a_source_that_ends_early_is_an_error_that_says_where():
    student = learner(recipe("topk"))
    short = source({"x": torch.randn(200, 16)}, epochs=1)
    with pytest.raises(InputError, match="ended after 3 batches of 64; expected 10 batches"):
        train(short, {"a": student}, 10)
    assert student.step_count == 3


def test_interrupted_and_continued_ends_bit_identical_with_the_source_s_state():
    whole = {"a": learner(recipe("batch_topk"))}
    train(source(), whole, 10)
    first, stream, listener = learner(recipe("batch_topk")), source(), Listener()
    train(stream, {"a": first}, 4)
    second, resumed = learner(recipe("batch_topk"), seed=5), source()
    second.load_state_dict(first.state_dict())
    resumed.load_state_dict(stream.state_dict())
    train(resumed, {"a": second}, 10, [listener], done=4)
    assert [step for step, _ in listener.heard] == [5, 6, 7, 8, 9, 10]
    assert same(second.state_dict(), whole["a"].state_dict())
