"""How good a dictionary is: reconstruction, sparsity, and the loss of a model that it is spliced into."""

from monosema.evaluation.evaluate import evaluate
from monosema.evaluation.metrics import Evaluation, Metrics
from monosema.evaluation.rows import evaluate_rows
from monosema.evaluation.splice import splice
from monosema.evaluation.table import Table, table_rows

__all__ = ["Evaluation", "Metrics", "Table", "evaluate", "evaluate_rows", "splice", "table_rows"]
