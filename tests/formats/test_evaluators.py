"""A dictionary in the form of other libraries' evaluators is the same dictionary, with unit decoder rows."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from monosema.dictionaries import Spec
from monosema.errors import InputError
from monosema.formats import for_evaluators
from tests.dictionaries.strategies import ACTIVATIONS, build, quick, random

SPEC = Spec(4, 4, 12, ("resid_post.2",), ("resid_post.2",), subtracts_input_bias=True)
NORMALISATIONS = st.sampled_from(["none", "layer_norm", "length"])


@quick
@given(st.sampled_from(sorted(ACTIVATIONS)), NORMALISATIONS, st.booleans(), st.sampled_from([(3,), (2, 3)]))
def test_it_reconstructs_the_same_from_codes_that_belong_to_unit_rows(
    activation: str, normalisation: str, skip: bool, batch: tuple[int, ...]
):
    dictionary = build(replace(SPEC, normalisation=normalisation, skip=skip), activation).eval()
    sae, x = for_evaluators(dictionary, model_name="gpt2"), random(1, *batch, 4)
    codes = sae.encode(x)
    torch.testing.assert_close(codes, dictionary.encode(x) * dictionary.decoder_norms())
    torch.testing.assert_close(sae.W_dec.norm(dim=1), torch.ones(12, dtype=torch.float64))
    torch.testing.assert_close(sae.decode(codes), dictionary(x))
    torch.testing.assert_close(sae(x), dictionary(x))
    if normalisation == "none" and not skip:
        torch.testing.assert_close(codes @ sae.W_dec + sae.b_dec, dictionary(x))


def test_with_relu_the_codes_are_those_of_its_weights():
    dictionary, x = build(SPEC, "relu").eval(), random(1, 3, 4)
    sae = for_evaluators(dictionary, model_name="gpt2")
    torch.testing.assert_close(((x - sae.b_dec) @ sae.W_enc + sae.b_enc).relu(), sae.encode(x))


def test_its_configuration_says_where_it_belongs():
    dictionary = build(SPEC, "topk").float()
    dictionary.metadata = {"model": "gpt2", "context": 64}
    cfg = for_evaluators(dictionary).cfg
    assert (cfg.model_name, cfg.hook_name, cfg.hook_layer) == ("gpt2", "blocks.2.hook_resid_post", 2)
    assert (cfg.d_in, cfg.d_sae, cfg.context_size, cfg.dtype) == (4, 12, 64, "float32")
    assert cfg.metadata.hook_name == cfg.hook_name
    assert "metadata" not in cfg.to_dict()


def test_a_feature_without_a_direction_changes_nothing():
    dictionary, x = build(SPEC, "relu").eval(), random(1, 3, 4)
    dictionary.W_dec.data[3] = 0
    sae = for_evaluators(dictionary, model_name="gpt2")
    torch.testing.assert_close(sae(x), dictionary(x))


def test_what_evaluators_cannot_measure_is_refused():
    with pytest.raises(InputError, match="a transcoder"):
        for_evaluators(build(Spec(4, 4, 12, ("a",), ("b",), "transcoder"), "relu"), model_name="gpt2")
    with pytest.raises(InputError, match=r"model None and hook point .blocks\.2\.hook_resid_post.*model_name="):
        for_evaluators(build(SPEC, "relu"))
    with pytest.raises(InputError, match="hook_name="):
        for_evaluators(build(Spec(4, 4, 12), "relu"), model_name="gpt2")


def test_codes_of_another_input_are_not_decoded_with_the_last_one():
    sae = for_evaluators(build(replace(SPEC, normalisation="layer_norm"), "relu"), model_name="gpt2")
    codes = sae.encode(random(1, 3, 4))
    with pytest.raises(InputError, match="encode, then decode"):
        sae.decode(codes[:2])
