"""The report and the terminal's table say what was measured, whatever the names and the text hold."""

import io
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from monosema.analysis import Example
from monosema.evaluation import Metrics, table_rows
from monosema.runs.definitions import DETAILS, number, percent
from monosema.runs.report import write_report
from monosema.runs.terminal import print_result
from tests.runs.results import HOSTILE, NAMES, Page, result_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of three dictionaries with odd names and hostile text."""
    folder = tmp_path_factory.mktemp("run")
    assert write_report(folder, result_of(NAMES)) == folder / "report.html"
    return folder


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page(folder / "report.html")


def test_a_result_that_is_shown_says_what_was_measured_and_fills_no_pages():
    shown = repr(result_of())
    assert f"fve={result_of().metrics[NAMES[0]].fve}" in shown
    assert len(shown) < 2500


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
    assert {f.name for f in fields(Metrics)} - described == {
        "density_histogram",
        "includes_special_tokens",
        "sites",
        "more",
    }
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
