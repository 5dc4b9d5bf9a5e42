"""The report and the terminal's table say what was measured, whatever the names and the text hold."""

import io
import re
from collections.abc import Sequence
from dataclasses import fields, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch

from monosema.analysis import Example
from monosema.evaluation import Metrics, table_rows
from monosema.recipes import recipes
from monosema.runs.config import DictionaryConfig, RunConfig
from monosema.runs.definitions import DETAILS, number, percent
from monosema.runs.drawing import series_of
from monosema.runs.report import write_report
from monosema.runs.result import RunResult
from monosema.runs.terminal import print_result

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
    recipe = recipes["topk"]()
    dictionaries = tuple(DictionaryConfig(recipe, site="resid_post.2", width=8, name=name) for name in names)
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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of three dictionaries with odd names and hostile text."""
    folder = tmp_path_factory.mktemp("run")
    assert write_report(folder, result_of(NAMES)) == folder / "report.html"
    return folder


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page(folder / "report.html")


def test_hostile_text_is_shown_as_text(page: Page):
    shown = "".join(HOSTILE).replace("\n", "⏎").replace("\x1b", "·").replace("\u200d", "·")
    assert page.shown.count(shown) == 2 * len(NAMES)


def test_nothing_that_a_run_holds_becomes_markup(page: Page):
    assert "script" not in page.tags
    assert page.tags.count("b") == page.tags.count("figure"), "a name's <b> is no tag"
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert not page.open, "every tag is closed"


def test_the_page_loads_nothing(page: Page):
    assert not {"script", "link", "iframe", "object", "embed"} & set(page.tags)
    links = [value for name, value in page.attributes if name in ("src", "srcset", "href")]
    assert links
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in links)
    assert not re.search(r"@import|url\(", page.source)


def test_links_lead_somewhere(page: Page):
    targets = {value for name, value in page.attributes if name == "id"}
    assert {value[1:] for name, value in page.attributes if name == "href"} == targets
    assert len(targets) == len(NAMES)


def test_the_summary_holds_every_dictionary_and_its_figures(page: Page):
    for row in table_rows(result_of(NAMES).metrics).rows:
        assert row in page.rows


def test_every_metric_is_on_the_page(page: Page):
    metrics = result_of(NAMES).metrics.values()
    definitions = [d for group in DETAILS.values() for d in group]
    for definition in definitions:
        assert [definition.label, *(definition.show(m) for m in metrics)] in page.rows
    first_table = {"fve", "l1", "l0", "alive", "ce_diff", "ce_recovered"}
    described = {d.key for d in definitions} | first_table
    assert {f.name for f in fields(Metrics)} - described == {"density_histogram", "includes_special_tokens"}
    assert "12,345 held-out tokens; 67 special tokens" in page.text


def test_pictures_are_png_and_the_same_on_the_page(folder: Path, page: Page):
    from base64 import b64encode

    from PIL import Image

    files = sorted((folder / "pictures").iterdir())
    inlined = [value for name, value in page.attributes if name == "src"]
    assert len(files) == len(inlined) == 3 + 2 + len(NAMES)
    for file in files:
        with Image.open(io.BytesIO(file.read_bytes())) as image:
            assert image.format == "PNG"
            assert len(set(image.convert("L").resize((64, 64)).tobytes())) > 1, "something is drawn"
        assert "data:image/png;base64," + b64encode(file.read_bytes()).decode() in inlined


def test_rows_of_activations_give_a_report_without_predictions_and_examples(tmp_path: Path):
    page = Page(write_report(tmp_path, result_of(NAMES[:2], model=False)))
    for row in table_rows(result_of(NAMES[:2], model=False).metrics).rows:
        assert row[1:] in page.rows, "names link to no features, and stand outside the cells"
    assert "Next-token prediction" not in page.text
    assert "article" not in page.tags
    assert "<acts>.npy" in page.text
    assert not (tmp_path / "pictures" / "ce-recovered-against-l0.png").exists()


def test_a_run_that_logged_nothing_and_whose_features_are_all_dead_has_a_report(tmp_path: Path):
    result = result_of(model=False)
    result = replace(result, log=[], density={NAMES[0]: torch.zeros(8).double()})
    page = Page(write_report(tmp_path, result))
    assert [p.name for p in (tmp_path / "pictures").iterdir()] == ["density-1-topk.png"]
    assert "8 of 8 features never fire" in page.text


def test_many_dictionaries_look_different():
    many = series_of(map(str, range(21)))
    assert len({(series.hue, series.line) for series in many}) == len({(s.hue, s.marker) for s in many}) == 21


@pytest.mark.parametrize(
    ("share", "text"),
    [
        *((0, "0.0 %"), (1, "100.0 %"), (0.12345, "12.3 %"), (-2.5, "-250.0 %")),
        *((0.00831, "0.83 %"), (0.007, "0.70 %"), (1.5e-5, "0.0015 %")),
    ],
)
def test_percent_keeps_small_shares_legible(share: float, text: str):
    assert percent(share) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0.000"), (12.3456, "12.35"), (1234.5, "1,234"), (0.98765, "0.9877"), (3.21e-6, "3.21e-06")]
)
def test_numbers_have_four_significant_digits(value: float, text: str):
    assert number(value) == text


def test_the_terminal_shows_the_metrics(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    result = result_of()
    print_result(result, tmp_path)
    out = capsys.readouterr().out
    (figures,) = (line.split()[1:] for line in out.splitlines() if line.split()[:1] == ["topk"])
    m = result.metrics["topk"]
    assert m.ce_diff is not None
    assert m.ce_recovered is not None
    expected = [100 * m.fve, m.l1, m.l0, 100 * m.alive, m.ce_diff, 100 * m.ce_recovered]
    assert [float(figure) for figure in figures] == pytest.approx(expected, abs=0.051)
    assert str(tmp_path / "report.html") in out.splitlines()[-1]
    assert "feature 4  fires on 1.2 % of tokens" in out


def test_plain_output_has_no_control_characters_and_keeps_names_and_width(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    print_result(result_of(NAMES), Path("runs/x"))
    out = capsys.readouterr().out
    assert all(c.isprintable() for c in out.replace("\n", ""))
    assert max(map(len, out.splitlines())) <= 110
    for name in NAMES:
        assert name in out


def test_strongest_tokens_stand_in_one_column(capsys: pytest.CaptureFixture[str]):
    result = result_of()
    short = Example(0, 2, 1.0, ("no ", "peak", " here"), (0.0, 1.0, 0.0), 1)
    long = Example(0, 2, 0.5, ("word " * 60, "peak", " tail" * 60), (0.0, 0.5, 0.0), 1)
    print_result(replace(result, examples={"topk": {4: [short, long]}}), Path("runs/x"))
    lines = [line for line in capsys.readouterr().out.splitlines() if "«" in line]
    assert len({line.index("«peak»") for line in lines}) == 1
    assert len(lines) == 2


def test_rows_of_activations_give_a_table_alone(capsys: pytest.CaptureFixture[str]):
    print_result(result_of(model=False), Path("runs/x"))
    out = capsys.readouterr().out
    assert "topk" in out
    assert "feature" not in out.lower()


def test_a_terminal_that_lacks_a_sign_shows_another(monkeypatch: pytest.MonkeyPatch):
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding="ascii", write_through=True))
    print_result(result_of(), Path("runs/x"))
    assert b"topk" in written.getvalue()
