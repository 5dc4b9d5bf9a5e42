"""How good a dictionary is: reconstruction, sparsity, and the loss of a model that it is spliced into."""

from monosema.evaluation.cross_entropy import CrossEntropy
from monosema.evaluation.evaluate import evaluate
from monosema.evaluation.metrics import Evaluation, Metrics, SiteMetrics
from monosema.evaluation.rows import evaluate_rows
from monosema.evaluation.splice import splice
from monosema.evaluation.table import Table, sites_table, table_rows, together_table
from monosema.evaluation.together import evaluate_together

__all__ = [
    "CrossEntropy",
    "Evaluation",
    "Metrics",
    "SiteMetrics",
    "Table",
    "evaluate",
    "evaluate_rows",
    "evaluate_together",
    "sites_table",
    "splice",
    "table_rows",
    "together_table",
]
