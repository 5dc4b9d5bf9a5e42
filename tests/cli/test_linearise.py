"""`monosema linearise` prints where a feature's pre-activation comes from, and refuses what makes no sense."""

import json
from pathlib import Path

from tests.cli.conftest import Command


def test_a_feature_is_pulled_back_through_an_mlp_of_the_stream(monosema: Command, finished: Path):
    where = ("linearise", finished, "--device", "cpu", "--feature", 1, "--prompt", "def f(x):", "--top", 3)
    found = json.loads(monosema(*where, "--through", "mlp_out.0", "--json").out)
    assert [place["point"] for place in found["way"]] == ["resid_post.0", "mlp_out.0", "mlp_in.0", "resid_mid.0"]
    assert len({round(place["linear"] + place["constant"], 4) for place in found["way"]}) == 1
    assert found["dictionary"] == "only"
    shown = monosema(*where).out
    assert "only, feature 1" in shown
    assert "Embeddings along resid_post.0" in shown


def test_what_is_not_there_is_refused_in_one_line(monosema: Command, finished: Path):
    where = ("linearise", finished, "--device", "cpu", "--prompt", "def f(x):", "--tokens", 0, "--feature")
    assert "feature 99999" in monosema(*where, 99999).refused()
    assert "position 77" in monosema(*where, 1, "--position", 77).refused()
    assert "a head and a position" in monosema(*where, 1, "--through", "attn_z.0.1").refused()
    assert "1000000 tokens at each end" in monosema(*where, 1, "--top", 10**6).refused()
