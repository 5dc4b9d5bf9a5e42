"""Probes: how well labels can be read off a few features, beside what is read off the activations themselves."""

from monosema.analysis.probing.probes import ProbeOptions, Score, Space, cross_validate, strongest
from monosema.analysis.probing.python_labels import KINDS, PythonLabels, characters_of_tokens, python_labels
from monosema.analysis.probing.reading import Pool, encoded, pooled, read_rows, token_places
from monosema.analysis.probing.tasks import Label, Task, label_of, tasks_of
from monosema.analysis.probing.untrained import untrained_like

__all__ = [
    "KINDS",
    "Label",
    "Pool",
    "ProbeOptions",
    "PythonLabels",
    "Score",
    "Space",
    "Task",
    "characters_of_tokens",
    "cross_validate",
    "encoded",
    "label_of",
    "pooled",
    "python_labels",
    "read_rows",
    "strongest",
    "tasks_of",
    "token_places",
    "untrained_like",
]
