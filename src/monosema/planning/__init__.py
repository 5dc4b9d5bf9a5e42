"""What a run costs, before it starts: time, memory and disk as functions of sizes; pure arithmetic."""

from monosema.planning.dictionary import DictionaryShape
from monosema.planning.hardware import Hardware, hardware, presets
from monosema.planning.mesh import Mesh, meshes
from monosema.planning.planner import Plan, best, plan
from monosema.planning.workload import ModelShape, Workload

__all__ = [
    "DictionaryShape",
    "Hardware",
    "Mesh",
    "ModelShape",
    "Plan",
    "Workload",
    "best",
    "hardware",
    "meshes",
    "plan",
    "presets",
]
