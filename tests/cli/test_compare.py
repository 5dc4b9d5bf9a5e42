"""`monosema compare` matches the dictionaries of folders, and refuses those that have nothing in common."""

import json
import shutil
from pathlib import Path

from tests.cli.conftest import Command


def test_a_run_and_its_copy_share_everything(monosema: Command, finished: Path, tmp_path: Path):
    copy = shutil.copytree(finished, tmp_path / "copy")
    where = ("compare", finished, copy, "--device", "cpu", "--resamples", 10)
    found = json.loads(monosema(*where, "--json", "--by", "both", "--at", 0.5).out)
    assert [pair["second"] for pair in found["pairs"]] == [str(copy), str(finished)]
    assert {pair["partner"]["0.5"]["low"] for pair in found["pairs"]} == {1.0}
    assert "100.0 [100.0, 100.0]" in monosema(*where).out


def test_one_dictionary_alone_is_refused(monosema: Command, finished: Path):
    assert "at least two" in monosema("compare", finished, "--device", "cpu", "--dead").refused()
