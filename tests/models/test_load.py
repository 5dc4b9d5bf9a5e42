import json
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from monosema.errors import InputError
from monosema.models import load, load_model, read
from tests.models.tiny_families import BUILDERS, SHAPE, build, of_class


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def save(name: str, folder: Path, dtype: torch.dtype = torch.float32) -> Path:
    build(name).module.to(dtype).save_pretrained(folder)  # pyright: ignore[reportCallIssue]
    return folder


def add_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"<end>": 0, "<pad>": 1, "a": 2, "b": 3}, unk_token="<end>"))
    PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<end>", pad_token="<pad>").save_pretrained(folder)


def edit_config(folder: Path, **changes: Any) -> None:
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


@pytest.mark.parametrize("name", BUILDERS)
def test_a_saved_model_is_loaded_as_it_was(name: str, tmp_path: Path, ids: Tensor):
    original = build(name)
    loaded = load_model(save(name, tmp_path), device="cpu", dtype="float32")
    assert type(loaded.module) is type(original.module)
    assert loaded.family is original.family
    assert loaded.name == str(tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(loaded.run(ids).logits, original.run(ids).logits)


def test_a_loaded_model_is_frozen_and_in_evaluation_mode(tmp_path: Path):
    module = load_model(str(save("gpt2", tmp_path)), device="cpu").module
    assert not module.training
    assert not any(weight.requires_grad for weight in module.parameters())


def test_the_embedded_model_is_called_tiny():
    model = load_model("tiny", device="cpu", dtype="float32")
    assert (model.name, model.max_context, model.vocabulary) == ("tiny", 512, 4096)
    assert model.family is not None
    assert model.family.name == "gpt_neox"
    assert model.tokenizer is not None
    assert model.special_ids == frozenset(model.tokenizer.all_special_ids)
    ids = torch.tensor([model.tokenizer("def f(x):\n    return x\n")["input_ids"]])
    assert model.logits(ids).shape == (1, ids.shape[1], 4096)


@pytest.mark.parametrize(
    ("architectures", "expected"),
    [
        (["GPT2LMHeadModel"], "GPT2LMHeadModel"),
        (["GPT2Model"], "GPT2Model"),
        (["GPT2ForSequenceClassification"], "GPT2Model"),
        (None, "GPT2LMHeadModel"),
    ],
)
def test_the_architecture_decides_whether_there_is_a_head(architectures: Any, expected: str, tmp_path: Path):
    folder = save("gpt2", tmp_path)
    edit_config(folder, architectures=architectures)
    model = load_model(folder, device="cpu")
    assert type(model.module).__name__ == expected
    assert model.predicts_next == (expected == "GPT2LMHeadModel")


def test_an_encoder_without_an_architecture_is_loaded_without_a_head(tmp_path: Path):
    folder = save("bert", tmp_path)
    edit_config(folder, architectures=None)
    assert type(load_model(folder, device="cpu").module).__name__ == "BertModel"


@pytest.mark.parametrize(("name", "attention"), [("llama", "sdpa"), ("gpt_neo", "eager"), ("gemma2", "eager")])
def test_attention_is_sdpa_where_it_computes_the_same(name: str, attention: str, tmp_path: Path):
    module = load_model(save(name, tmp_path), device="cpu").module
    assert module.config._attn_implementation == attention  # pyright: ignore


@pytest.mark.parametrize(
    ("saved", "fast", "expected"),
    [
        (torch.bfloat16, True, torch.bfloat16),
        (torch.bfloat16, False, torch.float32),
        (torch.float16, True, torch.float32),
        (torch.float32, True, torch.float32),
    ],
)
def test_auto_is_the_checkpoints_own_dtype_where_the_cpu_is_fast_with_it(
    saved: torch.dtype, fast: bool, expected: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(load, "has_fast_bf16", lambda device: fast)
    assert load_model(save("llama", tmp_path, saved), device="cpu").dtype == expected


def test_the_dtype_may_be_chosen(tmp_path: Path):
    folder = save("llama", tmp_path)
    for dtype in (torch.bfloat16, torch.float16):
        assert load_model(folder, device="cpu", dtype=dtype).dtype == dtype
        assert load_model(folder, device="cpu", dtype=str(dtype).removeprefix("torch.")).dtype == dtype


def test_the_tokenizer_beside_the_model_is_loaded_and_none_is_made_up(tmp_path: Path):
    folder = save("gpt2", tmp_path / "model")
    bare = load_model(folder, device="cpu")
    assert bare.tokenizer is None
    assert bare.special_ids == frozenset()
    add_tokenizer(folder)
    model = load_model(folder, device="cpu")
    assert model.tokenizer is not None
    assert model.tokenizer.convert_tokens_to_ids(["a", "b"]) == [2, 3]
    assert model.special_ids == {0, 1}


def test_a_tokenizer_may_be_given_as_one_or_by_its_folder(tmp_path: Path):
    add_tokenizer(tmp_path)
    by_folder = load_model(nn.Linear(2, 2), tokenizer=tmp_path)
    assert by_folder.tokenizer is not None
    assert load_model(nn.Linear(2, 2), tokenizer=by_folder.tokenizer).tokenizer is by_folder.tokenizer


def test_any_module_may_be_handed_over_and_stays_itself():
    module = nn.Sequential(nn.Linear(3, 4, dtype=torch.float64), nn.Dropout(0.5))
    model = load_model(module)
    assert model.module is module
    assert (model.name, model.family, model.tokenizer) == ("Sequential", None, None)
    assert (model.dtype, model.device.type, model.max_context, model.vocabulary) == (torch.float64, "cpu", None, None)
    assert not module.training
    assert module[0].weight.requires_grad
    assert read(model, torch.zeros(2, 3, dtype=torch.float64), ["0"])["0"].shape == (2, 4)


def test_a_module_without_weights_is_on_the_cpu():
    model = load_model(nn.Identity())
    assert (model.dtype, model.device.type) == (torch.float32, "cpu")


def test_only_a_causal_model_with_a_head_predicts_the_next_token(ids: Tensor):
    decoder = of_class("BertLMHeadModel", "BertConfig", **SHAPE, is_decoder=True)
    assert load_model(decoder).logits(ids).shape == (2, 7, 64)
    assert build("gemma3").logits(ids).shape == (2, 7, 64)
    for headless in (
        build("bert"),
        load_model(of_class("BertLMHeadModel", "BertConfig", **SHAPE)),
        load_model(build("gpt2").module.get_submodule("transformer")),
        load_model(nn.Embedding(64, 4)),
    ):
        assert not headless.predicts_next
        with pytest.raises(InputError, match="does not predict the next token"):
            headless.logits(ids)


def test_a_pass_keeps_no_keys_and_values(ids: Tensor):
    assert build("llama").run(ids).past_key_values is None


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (torch.zeros(1, 33, dtype=torch.long), "at most 32 tokens"),
        (torch.full((1, 3), 64), "expected ids from 0 to 63"),
        (torch.full((1, 3), -1), "expected ids from 0 to 63"),
        (torch.zeros(3, dtype=torch.long), r"shape \[batch, position\]"),
        (torch.zeros(1, 3), r"shape \[batch, position\]"),
        (torch.zeros(1, 0, dtype=torch.long), r"shape \[batch, position\]"),
    ],
)
def test_ids_that_the_model_cannot_take_are_refused(bad: Tensor, message: str):
    with pytest.raises(InputError, match=message):
        build("gpt2").run(bad)


@pytest.mark.parametrize("name", ["nobody/nothing", "nothing"])
def test_a_model_that_is_not_there_asks_for_a_local_folder(name: str):
    with pytest.raises(InputError, match=r"hub cannot be reached.*path of a local folder"):
        load_model(name)


@pytest.mark.parametrize("what", [Path("nowhere"), "./nowhere", "/no/where/at/all", "~/nowhere-at-all", __file__])
def test_a_folder_that_is_not_there_is_refused(what: str | Path):
    with pytest.raises(InputError, match=r"no folder .*expected a folder with a model in Hugging Face format"):
        load_model(what)


def test_a_folder_without_a_model_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match=f"cannot load {tmp_path}"):
        load_model(tmp_path)


def test_a_truncated_weights_file_is_refused(tmp_path: Path):
    weights = save("gpt2", tmp_path) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(InputError, match="cannot load"):
        load_model(tmp_path, device="cpu")


def test_weights_that_are_not_all_there_are_refused_and_not_made_up(tmp_path: Path):
    file = save("gpt2", tmp_path) / "model.safetensors"
    weights = load_file(file)
    del weights["transformer.h.1.mlp.c_fc.weight"]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"lack 1 tensors .*transformer\.h\.1\.mlp\.c_fc\.weight"):
        load_model(tmp_path, device="cpu")


def test_weights_of_another_shape_are_refused(tmp_path: Path):
    edit_config(save("gpt2", tmp_path), n_embd=64)
    with pytest.raises(InputError, match="cannot load"):
        load_model(tmp_path, device="cpu")


def test_pickled_weights_are_refused(tmp_path: Path):
    folder = save("gpt2", tmp_path)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"model\.safetensors"):
        load_model(folder, device="cpu")


def test_a_model_that_needs_its_own_code_is_refused(tmp_path: Path):
    (tmp_path / "evil.py").write_text("raise SystemExit('ran')")
    classes = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "evil", "auto_map": classes}))
    with pytest.raises(InputError, match="cannot load"):
        load_model(tmp_path)


def test_unknown_dtypes_devices_and_tokenizers_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="unknown dtype 'int7'; expected auto, float32"):
        load_model("tiny", dtype="int7")
    with pytest.raises(InputError, match="unknown device 'abacus'"):
        load_model("tiny", device="abacus")
    with pytest.raises(InputError, match="no tokenizer in"):
        load_model(nn.Identity(), tokenizer=tmp_path)
