"""`monosema evaluate` prints the figures of a run again, as JSON and as a table."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Command


@pytest.mark.parametrize("part", [".", "dictionaries/only"])
def test_a_run_and_its_dictionary_measure_as_they_did_in_the_run(monosema: Command, finished: Path, part: str):
    ended = monosema("evaluate", finished / part, "--json", "--device", "cpu")
    assert (ended.status, ended.err) == (0, "")
    found = json.loads(ended.out)
    figures = json.loads((finished / "metrics.json").read_text())["dictionaries"]
    assert found.keys() == figures.keys() == {"only"}
    assert found["only"].keys() == figures["only"].keys()
    for key, value in figures["only"].items():
        assert found["only"][key] == (pytest.approx(value, rel=1e-6, abs=1e-6) if isinstance(value, float) else value)


def test_the_table_holds_the_same_figures(monosema: Command, finished: Path):
    shown = monosema("evaluate", finished, "--device", "cpu").out
    figures = json.loads((finished / "metrics.json").read_text())["dictionaries"]["only"]
    assert "% CE Recovered" in shown
    (row,) = (line.split() for line in shown.splitlines() if line.strip().startswith("only "))
    assert row[1:] == [
        f"{100 * figures['fve']:.1f}",
        f"{figures['l1']:.1f}",
        f"{figures['l0']:.1f}",
        f"{100 * figures['alive']:.1f}",
        f"{figures['ce_diff']:.3f}",
        f"{100 * figures['ce_recovered']:.1f}",
    ]


def test_tokens_and_context_can_be_chosen(monosema: Command, finished: Path):
    ended = monosema("evaluate", finished, "--json", "--tokens", "48", "--context", "16", "--device", "cpu")
    found = json.loads(ended.out)["only"]
    assert found["predicted_tokens"] == 3 * 15
    assert found["tokens"] + found["left_out_tokens"] == 48
