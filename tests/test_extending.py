"""Every example of docs/extending.md is one file that registers itself and does what the page says."""

import re
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

import monosema as ms
import monosema.cli
from monosema.activations import Source, load_tensors
from monosema.activations import tensor_files as files
from monosema.cli.arguments import recipe_parameters
from monosema.cli.main import commands, main
from monosema.config import from_dict, to_dict
from monosema.dictionaries import Dictionary, ReLU, Spec, activation_functions, initialise_, maps
from monosema.errors import InputError
from monosema.evaluation import evaluate_rows, measures
from monosema.formats import formats
from monosema.models import families
from monosema.recipes import Recipe, recipes
from monosema.runs.definitions import details
from tests.dictionaries.strategies import build

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
REGISTRIES = (recipes, activation_functions, maps, families, measures, formats, files.READERS)
D, WIDTH = 8, 24
SPEC = Spec.autoencoder("mixtures", D, WIDTH)

Example = Callable[..., ModuleType]


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Example:
    """Imports the n-th block of code of a section from a file of its own; afterwards the registries are as before."""
    for registry in REGISTRIES:
        monkeypatch.setattr(registry, "_things", dict(registry._things))

    def imported(section: str, n: int = 0) -> ModuleType:
        name = f"example_{section.replace(' ', '_')}_{n}"
        path = tmp_path / f"{name}.py"
        path.write_text(blocks(section)[n], encoding="utf-8")
        spec = spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return imported


def blocks(section: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", SECTIONS[section], re.DOTALL)


def trained(recipe: Recipe, source: Source, spec: Spec = SPEC, steps: int = 60) -> tuple[Dictionary, list[dict]]:
    """The dictionary, and what each of its steps said."""
    learner = ms.Learner(spec, recipe, source.sample(512), steps=steps, batch_size=source.batch_size)
    said: list[dict] = []

    class Listener:
        def on_step(self, step: int, metrics: object) -> None:
            said.append(metrics["it"])  # pyright: ignore[reportIndexIssue]

    ms.train(source, {"it": learner}, steps, [Listener()])
    return learner.finished(), said


def mixtures(example: Example) -> Source:
    return example("A source").Mixtures(D, 16, 64)


def plain() -> Dictionary:
    dictionary = Dictionary(Spec.autoencoder("x", D, WIDTH), ReLU(WIDTH)).eval()
    initialise_(dictionary, torch.Generator().manual_seed(0))
    return dictionary


def test_every_section_has_an_example_and_every_example_is_tested_here():
    assert {name: len(blocks(name)) for name in SECTIONS} == {
        "A recipe": 1,
        "An activation function": 1,
        "An encoder or decoder map": 1,
        "A source": 2,
        "A model family": 1,
        "A metric": 1,
        "A file format": 1,
        "A command": 1,
    }


def test_a_recipe_is_in_yaml_and_on_the_command_line_has_a_learning_rate_and_learns(example: Example):
    recipe = example("A recipe").LogPenaltyRecipe
    described = from_dict(Recipe, {"name": "log_penalty", "epsilon": 0.2, "sparsity": 0.01})  # pyright: ignore
    assert described == recipe(epsilon=0.2, sparsity=0.01)
    assert to_dict(described)["name"] == "log_penalty"
    assert "epsilon" in recipe_parameters()
    with pytest.raises(InputError, match="epsilon = 0"):
        recipe(epsilon=0.0)
    _, said = trained(described, mixtures(example))
    assert said[-1]["error"] < 0.7 * said[0]["error"]
    _, sparser = trained(replace(described, sparsity=0.1), mixtures(example))
    assert sparser[-1]["l0"] < said[-1]["l0"]


def test_an_activation_function_encodes_the_same_either_way_and_comes_back_from_disk(example: Example, tmp_path: Path):
    capped = example("An activation function").Capped
    dictionary = plain()
    dictionary.activation = capped(WIDTH, cap=0.5)
    x = 3 * torch.randn(16, D)
    codes = dictionary.encode(x)
    assert codes.max() == 0.5
    torch.testing.assert_close(codes, dictionary.preactivations(x).clamp(0, 0.5))
    above = dictionary.lazy_preactivations(x).above(dictionary.activation.bound())
    torch.testing.assert_close(dictionary.activation.at(above).to_dense(), codes)
    torch.testing.assert_close(dictionary.encode_sparse(x).to_dense(), codes)
    ms.save(dictionary, tmp_path / "saved")
    torch.testing.assert_close(ms.load(str(tmp_path / "saved")).encode(x), codes)
    pre = dictionary.preactivations(x)
    dictionary.activation.rescale_(3.0)
    torch.testing.assert_close(dictionary.activation(3 * pre), 3 * codes)
    with pytest.raises(InputError, match="cap = 0"):
        capped(WIDTH, cap=0.0)


def test_a_map_keeps_its_constraint_through_training_where_a_dense_one_does_not(example: Example):
    example("An encoder or decoder map")
    source = mixtures(example)
    recipe = recipes["topk"](k=4, basis="given")  # pyright: ignore[reportCallIssue]
    means = {}
    for kind in ("dense", "centred"):
        dictionary, _ = trained(recipe, source, replace(SPEC, decoder=kind))
        means[kind] = dictionary.W_dec.mean(1).abs().max().item()
        torch.testing.assert_close(dictionary.decoder_norms(), torch.ones(WIDTH))
    assert means["centred"] < 1e-6 < 0.1 < means["dense"]


def test_a_source_goes_on_where_its_state_was_taken(example: Example):
    source, again = mixtures(example), mixtures(example)
    assert isinstance(source, Source)
    batches = iter(source)
    for _ in range(3):
        next(batches)
    sample = source.sample(10)
    again.load_state_dict(source.state_dict())
    torch.testing.assert_close(next(batches), next(iter(again)))
    torch.testing.assert_close(source.sample(10), sample)
    _, said = trained(recipes["topk"](k=4), source)  # pyright: ignore[reportCallIssue]
    assert said[-1]["fve"] > 0.5


def test_a_file_ending_is_read(example: Example, tmp_path: Path):
    with pytest.raises(InputError, match=r"ends in '\.csv'"):
        load_tensors(tmp_path / "rows.csv")
    example("A source", 1)
    (tmp_path / "rows.csv").write_text("1,2\n3,4.5\n", encoding="utf-8")
    torch.testing.assert_close(load_tensors(tmp_path / "rows.csv"), {"activations": torch.tensor([[1, 2], [3, 4.5]])})
    (tmp_path / "rows.csv").write_text("1,2\n3\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"rows.csv cannot be read"):
        load_tensors(tmp_path / "rows.csv")


def test_the_places_of_a_model_family_add_up(example: Example):
    from transformers import GPTJConfig, GPTJForCausalLM

    example("A model family")
    config = GPTJConfig(n_embd=16, n_layer=2, n_head=2, rotary_dim=4, vocab_size=32, n_positions=16)
    model = ms.load_model(GPTJForCausalLM(config))
    ids = torch.randint(0, 32, (2, 8))
    kinds = [f"{kind}.1" for kind in families["gptj"].templates if kind != "embed"]
    found = ms.read(model, ids, ["embed", "resid_pre.0", *kinds])
    parts = (found[f"{kind}.1"] for kind in ("resid_pre", "attn_out", "mlp_out"))
    torch.testing.assert_close(sum(parts, torch.zeros(())), found["resid_post.1"])
    torch.testing.assert_close(found["embed"], found["resid_pre.0"])
    with pytest.raises(InputError, match=r"resid_mid.1.*does not exist"):
        model.point("resid_mid.1")


def test_a_metric_does_not_depend_on_batches_and_is_in_the_report(example: Example):
    dictionary, x = plain(), torch.randn(50, D)
    assert evaluate_rows(dictionary, [(x, x)]).metrics.more is None
    example("A metric")

    def measured(parts: tuple[Tensor, ...]) -> float:
        more = evaluate_rows(dictionary, [(part, part) for part in parts]).metrics.more
        assert more is not None
        return more["mae"] or 0.0

    assert measured((x,)) == pytest.approx((x - dictionary(x)).abs().mean().item(), rel=1e-5)
    assert measured(x.split(7)) == pytest.approx(measured((x,)), rel=1e-6)
    (definition,) = details()["More"]
    assert definition.label == "MAE"
    assert float(definition.show(evaluate_rows(dictionary, [(x, x)]).metrics)) == pytest.approx(measured((x,)), 1e-3)


def test_a_format_is_recognised_written_and_read_and_refuses_what_it_cannot_say(example: Example, tmp_path: Path):
    example("A file format")
    dictionary, x = plain(), torch.randn(5, D)
    ms.save_as(dictionary, tmp_path / "theirs", "layers")
    torch.testing.assert_close(ms.load(str(tmp_path / "theirs"))(x), dictionary(x))
    with pytest.raises(InputError, match="a dictionary with jumprelu"):
        ms.save_as(build(dictionary.spec, "jumprelu"), tmp_path / "other", "layers")
    assert not (tmp_path / "other").exists()
    (tmp_path / "theirs" / "layers.safetensors").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"layers\.safetensors"):
        ms.load(str(tmp_path / "theirs"))


def test_a_command_is_found_by_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    folder = tmp_path / "cli"
    folder.mkdir()
    (folder / "shapes.py").write_text(blocks("A command")[0], encoding="utf-8")
    monkeypatch.setattr(monosema.cli, "__path__", [*monosema.cli.__path__, str(folder)])
    monkeypatch.delitem(sys.modules, "monosema.cli.shapes", raising=False)
    assert commands()["shapes"].startswith("Print the shape")
    ms.save(plain(), tmp_path / "saved")
    with pytest.raises(SystemExit, match="0"):
        main(["shapes", str(tmp_path / "saved")])
    assert f"W_enc        [{D}, {WIDTH}]" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="2"):
        main(["shapes", str(tmp_path / "nowhere")])
    assert capsys.readouterr().err.startswith("monosema: ")
    sys.modules.pop("monosema.cli.shapes", None)
