"""The command line finds its commands, and says in one line what goes wrong."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest

import monosema.cli
from monosema.cli.main import commands
from monosema.errors import InputError
from tests.cli.conftest import Command

HELPERS = {"__init__", "main", "arguments"}


def fake(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Lets the command `info` end in an error."""

    def fail(arguments: list[str]) -> None:
        raise error

    monkeypatch.setitem(sys.modules, "monosema.cli.info", SimpleNamespace(main=fail))


def test_every_file_but_the_helpers_is_a_command_with_a_line_of_help(monosema: Command):
    files = {file.stem for file in Path(monosema_folder()).glob("*.py")} - HELPERS
    assert set(commands()) == files >= {"demo", "train", "evaluate", "info"}
    shown = monosema("--help")
    assert shown.status == 0
    for name, about in commands().items():
        assert about
        assert f"{name} " in shown.out
        assert about in shown.out
    assert monosema().out == monosema("-h").out == shown.out


def monosema_folder() -> str:
    return monosema.cli.__path__[0]


def test_help_and_version_answer_without_loading_torch():
    code = (
        "import sys\n"
        "from monosema.cli.main import main\n"
        "for option in ('--help', '--version'):\n"
        "    try: main([option])\n"
        "    except SystemExit as ended: assert ended.code == 0\n"
        "assert 'torch' not in sys.modules and 'tyro' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_the_package_is_the_command_line_too():
    done = subprocess.run([sys.executable, "-m", "monosema", "--version"], check=True, capture_output=True, text=True)
    assert done.stdout == f"monosema {version('monosema')}\n"


@pytest.mark.parametrize(("typed", "offered"), [("trian", "train"), ("Evaluate", "evaluate"), ("zzz", "--help")])
def test_an_unknown_command_is_refused_with_the_nearest(monosema: Command, typed: str, offered: str):
    line = monosema(typed).refused()
    assert repr(typed) in line
    assert offered in line


@pytest.mark.parametrize("helper", ["main", "arguments", "__init__"])
def test_a_helper_is_no_command(monosema: Command, helper: str):
    assert "unknown command" in monosema(helper).refused()


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (InputError("two\nlines", expected="one"), 2, "two lines; expected one"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(28, "No space left on device", "x.json"), 1, "No space left on device: x.json"),
    ],
)
def test_what_goes_wrong_is_one_line_and_a_status(
    monosema: Command, monkeypatch: pytest.MonkeyPatch, error: BaseException, status: int, says: str
):
    fake(monkeypatch, error)
    ended = monosema("info")
    assert (ended.status, ended.err, ended.out) == (status, f"monosema: {says}\n", "")


def test_a_mistake_of_the_program_keeps_its_traceback(monosema: Command, monkeypatch: pytest.MonkeyPatch):
    fake(monkeypatch, ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        monosema("info")


def test_an_unknown_option_is_refused_with_the_nearest(monosema: Command):
    ended = monosema("train", "--wdth", "3")
    assert ended.status == 2
    assert "--width" in ended.err
    assert "Traceback" not in ended.err
