"""Sparse linear algebra, each operation beside the dense expression that it equals."""

from monosema.kernels.codes import SparseCodes, to_sparse
from monosema.kernels.decode import sparse_decode
from monosema.kernels.prefixes import prefix_decode
from monosema.kernels.topk import batch_topk, topk, where_true

__all__ = ["SparseCodes", "batch_topk", "prefix_decode", "sparse_decode", "to_sparse", "topk", "where_true"]
