"""The main job: a configuration in, a folder out (model → source → training → evaluation → report)."""

from monosema.recipes import Recipe, recipes
from monosema.runs.config import DictionaryConfig, RunConfig
from monosema.runs.train import Interrupted, run
from monosema.training import NonFiniteLoss

__all__ = ["DictionaryConfig", "Interrupted", "NonFiniteLoss", "Recipe", "RunConfig", "recipes", "run"]
