"""Models: load one, name places in it, read the activations there and replace them in flight."""

from monosema.models.blueprint import PassCost, blueprint, pass_cost
from monosema.models.expressions import Expression, names_in, parsed
from monosema.models.families import Family, families
from monosema.models.gradients import read_from
from monosema.models.hook_points import HookPoint
from monosema.models.load import load_model
from monosema.models.loaded import LoadedModel
from monosema.models.pair import ModelPair, Readable, of_second
from monosema.models.preprocessing import METADATA as PREPROCESSING
from monosema.models.preprocessing import check_preprocessing
from monosema.models.read import read, width_of
from monosema.models.replace import Replacement, replacing, written_at

__all__ = [
    "PREPROCESSING",
    "Expression",
    "Family",
    "HookPoint",
    "LoadedModel",
    "ModelPair",
    "PassCost",
    "Readable",
    "Replacement",
    "blueprint",
    "check_preprocessing",
    "families",
    "load_model",
    "names_in",
    "of_second",
    "parsed",
    "pass_cost",
    "read",
    "read_from",
    "replacing",
    "width_of",
    "written_at",
]
