"""`monosema steer` prints text with and without steering, or a dose's response, and refuses what makes no sense."""

import json
from pathlib import Path

from tests.cli.conftest import Command


def test_a_prompt_is_gone_on_from_with_and_without(monosema: Command, finished: Path):
    where = ("steer", finished, "--device", "cpu", "--prompt", "def f(", "--tokens", 3, "--json")
    found = json.loads(monosema(*where, "--features", 1, 2, "--strength", 1e4).out)
    assert found["prompt"] == "def f("
    assert found["plain"] != found["steered"]
    same = json.loads(monosema(*where, "--features", 1, "--mode", "scale", "--strength", 1).out)
    assert same["plain"] == same["steered"] == found["plain"]


def test_a_sweep_measures_each_strength(monosema: Command, finished: Path):
    where = ("steer", finished, "--device", "cpu", "--features", 1, "--sweep", 0, 5)
    zero, five = json.loads(monosema(*where, "--json").out)
    assert (zero["strength"], zero["cross_entropy"], five["strength"]) == (0, 0, 5)
    assert "feature 1" in monosema(*where).out


def test_a_prompt_or_a_sweep_is_needed_and_features_that_exist(monosema: Command, finished: Path):
    assert "--prompt, or --sweep" in monosema("steer", finished, "--features", 1).refused()
    both = ("--prompt", "a", "--sweep", 1)
    assert "--prompt, or --sweep" in monosema("steer", finished, "--features", 1, *both).refused()
    assert "a sweep of 2" in monosema("steer", finished, "--features", 1, 2, "--sweep", 1).refused()
    assert "feature 99999" in monosema("steer", finished, "--features", 99999, "--prompt", "a").refused()
    assert (
        "dictionary 'none'"
        in monosema("steer", finished, "--features", 1, "--prompt", "a", "--dictionary", "none").refused()
    )
