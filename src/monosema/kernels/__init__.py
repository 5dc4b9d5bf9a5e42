"""Sparse linear algebra, each operation beside the dense expression that it equals."""

from monosema.kernels.blocks import block_decode, block_decode_parts, block_prefix_decode
from monosema.kernels.codes import RaggedCodes, SparseCodes, nonzero, to_sparse
from monosema.kernels.columns import column_counts, column_sums
from monosema.kernels.decode import decode_parts, is_dense, sparse_decode
from monosema.kernels.encode import encode_above, encode_batch_topk, encode_topk
from monosema.kernels.matching import matching_pursuit
from monosema.kernels.parts import pieces
from monosema.kernels.prefixes import prefix_decode, prefix_errors
from monosema.kernels.pursuit import pursue, refit
from monosema.kernels.search import where_true
from monosema.kernels.topk import abs_topk, batch_topk, group_max, topk

__all__ = [
    "RaggedCodes",
    "SparseCodes",
    "abs_topk",
    "batch_topk",
    "block_decode",
    "block_decode_parts",
    "block_prefix_decode",
    "column_counts",
    "column_sums",
    "decode_parts",
    "encode_above",
    "encode_batch_topk",
    "encode_topk",
    "group_max",
    "is_dense",
    "matching_pursuit",
    "nonzero",
    "pieces",
    "prefix_decode",
    "prefix_errors",
    "pursue",
    "refit",
    "sparse_decode",
    "to_sparse",
    "topk",
    "where_true",
]
