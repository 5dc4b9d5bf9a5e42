"""Results of runs that never ran, and the pages that are made of them."""

from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import torch

from monosema.analysis import Example
from monosema.evaluation import Metrics
from monosema.runs.config import DictionaryConfig, RunConfig
from monosema.runs.result import RunResult
from tests.runs.tiny_run import recipe

HOSTILE = (
    *("<script>alert(1)</script>", "</td>", "&amp;", '" onload="x', "שלום", "👩\u200d🚀"),
    *("a\nb", "\x1b[31m", "{{ 7 * 7 }}", "$x"),
)
NAMES = ("topk", "<b>&'\" $x^2$ _👾", "_under [red]score[dim]")


def metrics_of(number: int, model: bool) -> Metrics:
    predictions = {
        "predicted_tokens": 8000 + number,
        "ce_clean": 2.5,
        "ce_spliced": 2.75,
        "ce_zero": 11.5,
        "ce_mean": 7.5,
        "ce_diff": 0.25 + number,
        "ce_recovered": 0.9721 - number / 50,
        "ce_recovered_from_mean": 0.9512,
        "kl": 0.1234,
    }
    return Metrics(
        mse=41.25,
        fve=0.9123 - number / 100,
        fve_legacy=0.8934,
        cosine=0.95678,
        l2_ratio=0.94321,
        reconstruction_bias=0.98765,
        l0=32.12 * (number + 1),
        l0_per_block=(20.0, 12.12) if number == 0 else None,
        l1=88.43,
        alive=0.875,
        alive_8192=0.75,
        denser_than_1_percent=0.125,
        denser_than_10_percent=0.0021,
        density_histogram=(0,) * 32,
        tokens=12345,
        left_out_tokens=67,
        includes_special_tokens=False if model else None,
        **(predictions if model else {}),
    )


def example_of(tokens: Sequence[str], value: float = 2.5) -> Example:
    values = tuple(value * (i % 2) for i in range(len(tokens)))
    return Example(3, 17, value, tuple(tokens), values, 1)


def result_of(names: Sequence[str] = NAMES[:1], model: bool = True, tokens: Sequence[str] = HOSTILE) -> RunResult:
    dictionaries = tuple(DictionaryConfig(recipe("topk"), site="resid_post.2", width=8, name=name) for name in names)
    log: list[dict[str, object]] = [
        {"step": step, "dictionary": name, "l0": 300.0 / step, "fve": None if step == 2 else 0.5, "dead": 0.1}
        for step in (1, 2, 3)
        for name in names
    ]
    log.append({"step": 3, "dictionary": names[0], "heldout_fve": 0.5})
    return RunResult(
        config=RunConfig(dictionaries=dictionaries, activations=None if model else "<acts>.npy"),
        metrics={name: metrics_of(i, model) for i, name in enumerate(names)},
        density={name: torch.tensor([0, 1e-4, 0.001, 0.01, 0.0123, 0.1, 0.5, 1]).double() for name in names},
        examples={name: {4: [example_of(tokens), example_of(tokens, 1.5)]} if model else {} for name in names},
        log=log,
        seconds={"training": 125.0},
        facts={"tokens": 999424, "text_passes": None, "peak_memory_bytes": 3 * 2**29},
    )


class Page(HTMLParser):
    """The tags, attributes and text of a page."""

    def __init__(self, path: Path):
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.shown: list[str] = []
        self.rows: list[list[str]] = []
        self.open: list[str] = []
        self.feed(self.source)
        self.text = "".join(self.texts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in ("meta", "img", "source"):
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag == "code":
            self.shown.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if "code" in self.open:
            self.shown[-1] += data
        if self.open[-1:] in (["td"], ["a"]) or self.open[-2:] == ["th", "span"]:
            self.rows[-1].append(data)
