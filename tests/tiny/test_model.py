"""The embedded model is what its card says."""

import json
import math

import pytest
import torch

from monosema import tiny
from monosema.activations import Contexts
from monosema.evaluation.cross_entropy import next_token_loss
from monosema.models import load_model


def test_model_and_tokenizer_stay_below_twelve_megabytes():
    assert sum(file.stat().st_size for file in tiny.PATH.iterdir()) < 12e6


def test_it_is_a_gpt_neox_of_four_layers_in_bfloat16():
    config = json.loads((tiny.PATH / "config.json").read_text())
    sizes = [config[key] for key in ("num_hidden_layers", "hidden_size", "num_attention_heads", "vocab_size")]
    assert (config["model_type"], config["dtype"], sizes) == ("gpt_neox", "bfloat16", [4, 256, 8, 4096])


def test_its_tokenizer_loses_nothing_of_any_text():
    tokenizer = load_model("tiny").tokenizer
    assert tokenizer is not None
    for text in ("def f(x):\n\treturn x  # ok\r\n", "naïve 文字 🙂 \x00", "    " * 9):
        assert tokenizer.decode(tokenizer.encode(text), clean_up_tokenization_spaces=False) == text


@pytest.mark.slow
def test_it_needs_at_most_1_10_bits_for_a_byte_of_the_held_out_files():
    model = load_model("tiny", dtype="float32")
    assert model.tokenizer is not None
    sizes = torch.zeros(4096, dtype=torch.long)
    for token, index in model.tokenizer.get_vocab().items():
        sizes[index] = 0 if index in model.special_ids else len(token)
    nats, size = 0.0, 0
    with torch.no_grad():
        for i, context in enumerate(Contexts(model.tokenizer, "tiny:heldout", 512)):
            if i % 5 == 0:  # a fifth of the text
                nats += next_token_loss(model.logits(context[None]), context[None])
                size += int(sizes[context[1:]].sum())
    assert nats / math.log(2) / size < 1.10
