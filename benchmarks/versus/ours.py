"""monosema: a Learner, step by step."""

import dataclasses
from typing import Any

from torch import Tensor

from monosema.dictionaries import Dictionary, Spec
from monosema.recipes import recipes
from monosema.training import Learner


class Run:
    """One recipe; the learner scales the activations itself."""

    version = "monosema"

    def __init__(self, job: dict[str, Any], d: int, width: int, sample: Tensor):
        recipe = recipes[job["architecture"]]
        fields = {field.name for field in dataclasses.fields(recipe)}
        knob = "k" if "k" in fields else "target_l0"
        self.settings: dict[str, Any] = {knob: job["target"], **job["settings"]}
        if job["lr"] is not None:
            self.settings["lr"] = job["lr"]
        self.point = job["point"]
        self.learner = Learner(
            Spec.autoencoder(self.point, d, width),
            recipe(**self.settings),
            {self.point: sample},
            steps=job["steps"],
            batch_size=job["batch"],
            seed=job["seed"],
            device=job["device"],
            autocast=job["autocast"],
        )
        self.lr, self.l0 = self.learner.recipe.lr, 0.0

    def step(self, number: int, x: Tensor) -> None:
        """One update on raw activations."""
        self.l0 = self.learner.step({self.point: x})["l0"]

    def finish(self) -> Dictionary:
        """The dictionary for raw activations."""
        return self.learner.finished()
