"""What the README shows works as it stands there."""

import re
from pathlib import Path

import pytest

from monosema import config
from monosema.runs import RunConfig

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return found


@pytest.mark.slow
def test_the_python_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    code = block("python")
    for whole, part in {"1500": "3", "16_384": "1024", "65_536": "1024", "2**24": "2**13"}.items():
        assert whole in code
        code = code.replace(whole, part)
    exec(compile(code, "README.md", "exec"), {})
    assert "fve=" in capsys.readouterr().out
    assert (tmp_path / "my-dictionary" / "dictionary.safetensors").is_file()


def test_the_yaml_example_is_a_run(tmp_path: Path):
    path = tmp_path / "run.yaml"
    path.write_text(block("yaml"), encoding="utf-8")
    run = config.load_yaml(RunConfig, path)
    assert [d.recipe.name for d in run.dictionaries] == [*["topk"] * 6, "jumprelu", "april_l1", "batch_topk"]


def test_every_file_that_the_readme_links_to_is_there():
    prose = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)]+)\)", prose) if "://" not in link]
    assert links
    assert [link for link in links if not (Path(__file__).parents[1] / link.split("#")[0]).exists()] == []
