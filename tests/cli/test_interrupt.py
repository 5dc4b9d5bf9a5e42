"""Ctrl-C ends a run cleanly."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from monosema.formats import load
from tests.runs.tiny_run import options

# A shell may start its children deaf to Ctrl-C; a terminal does not.
START = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from monosema.cli.main import main
main()
"""


@pytest.mark.slow
def test_ctrl_c_while_training_saves_what_was_trained(model: Path, corpus: Path, tmp_path: Path):
    out = tmp_path / "out"
    endless = options(model=model, text=corpus, site="resid_post.0", name="only", k=4, out=out, tokens=10**9)
    command = [sys.executable, "-c", START, "train", *endless]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not (out / "metrics.jsonl").exists():
            time.sleep(0.05)
        while process.poll() is None and (out / "metrics.jsonl").read_text().count("\n") < 3:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in err
    assert f"what was trained is in {out}" in err.splitlines()[-1]
    dictionary = load(out / "dictionaries" / "only")
    last = json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])
    assert dictionary.metadata["tokens"] >= last["tokens"] > 0
