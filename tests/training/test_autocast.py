"""bfloat16 products change rounding and nothing else."""

import pytest
import torch

from monosema.recipes import recipes
from tests.recipes.reference import MOMENT, RECIPES, batch_for, dictionary_for, label, some_dead
from tests.training.setup import batches, learner, recipe


@pytest.mark.parametrize("recipe", RECIPES, ids=label)
def test_loss_and_gradients_are_those_of_float32_to_rounding(recipe):
    results = []
    for enabled in (False, True):
        dictionary = dictionary_for(recipe)
        x, y = batch_for(dictionary)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = recipe.loss(dictionary, x, y, MOMENT, some_dead())
        loss.total.backward()
        assert loss.total.dtype == torch.float32
        results.append(
            (loss.total.item(), {name: p.grad for name, p in dictionary.named_parameters() if p.requires_grad})
        )
    (exact, gradients), (rounded, rough) = results
    assert rounded == pytest.approx(exact, rel=0.02)
    for name, gradient in gradients.items():
        assert rough[name].dtype == torch.float32
        cosine = torch.cosine_similarity(gradient.flatten(), rough[name].flatten(), dim=0)
        assert cosine > 0.97, name


@pytest.mark.parametrize("name", recipes)
def test_weights_thresholds_and_moments_stay_float32(name: str):
    student = learner(recipe(name), autocast=True)
    exact = learner(recipe(name))
    for batch in batches(5):
        metrics, reference = student.step(batch), exact.step(batch)
        assert metrics["loss"] == pytest.approx(reference["loss"], rel=0.05)
    tensors = list(student.dictionary.state_dict().values())
    tensors += [m for part in student.optimisers.parts for state in part.state.values() for m in state.values()]
    assert {tensor.dtype for tensor in tensors} == {torch.float32}
