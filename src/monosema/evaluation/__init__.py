"""How good a dictionary is: reconstruction, sparsity, and the loss of a model that it is spliced into.

A new metric is one new file here: it registers itself.
"""

import importlib
import pkgutil

from monosema.evaluation.cross_entropy import CrossEntropy
from monosema.evaluation.evaluate import evaluate
from monosema.evaluation.measures import Measure, Measured, measures
from monosema.evaluation.metrics import Evaluation, Metrics, SiteMetrics
from monosema.evaluation.rows import evaluate_rows
from monosema.evaluation.splice import splice
from monosema.evaluation.table import Table, sites_table, table_rows, together_table
from monosema.evaluation.together import evaluate_together

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = [
    "CrossEntropy",
    "Evaluation",
    "Measure",
    "Measured",
    "Metrics",
    "SiteMetrics",
    "Table",
    "evaluate",
    "evaluate_rows",
    "evaluate_together",
    "measures",
    "sites_table",
    "splice",
    "table_rows",
    "together_table",
]
