"""Labels for free: what Python itself says of every character of a Python source."""

import ast
import io
import keyword
import tokenize
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

KINDS = ("name", "keyword", "number", "operator", "string", "comment")
"""Kinds of token."""
_OF_TYPE = {"NAME": "name", "NUMBER": "number", "OP": "operator", "STRING": "string", "COMMENT": "comment"}


@dataclass(frozen=True)
class PythonLabels:
    """What is said of some characters."""

    kind: Int[np.ndarray, " n"]
    """Number of the kind of token, as in `KINDS`; −1 between tokens."""
    docstring: Bool[np.ndarray, " n"]
    """Whether it is in the docstring of a module, a class or a function."""
    depth: Int[np.ndarray, " n"]
    """How many blocks the statement is in; of a comment by itself, those of the statement before."""

    def at(self, places: Int[np.ndarray, " some"]) -> "PythonLabels":
        """Of some characters only."""
        return PythonLabels(self.kind[places], self.docstring[places], self.depth[places])


def python_labels(text: str) -> PythonLabels | None:
    """What Python's tokeniser and parser say of each character; None where the text is not Python for them.

    A name that is a keyword in some places alone (`match`) is a name.
    """
    if "\r" in text.replace("\r\n", "\n"):  # which the parser, but not the tokeniser, takes for the end of a line
        return None
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the text's own sins, such as invalid escapes
            tree = ast.parse(text)
    except (SyntaxError, tokenize.TokenError, ValueError, RecursionError):
        return None
    lines = text.split("\n")
    starts = np.concatenate([[0], np.cumsum([len(line) + 1 for line in lines])])
    kind, depth = np.full(len(text), -1), np.zeros(len(text), np.int64)
    level = filled = 0
    for token in tokens:
        level += {tokenize.INDENT: 1, tokenize.DEDENT: -1}.get(token.type, 0)
        if token.type in (tokenize.INDENT, tokenize.DEDENT):
            continue
        begin, end = (int(starts[row - 1]) + column for row, column in (token.start, token.end))
        kind[begin:end] = _kind(token)
        depth[filled:end] = level
        filled = max(filled, end)
    docstring = np.zeros(len(text), bool)
    for node in _docstrings(tree):
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        begin = starts[node.lineno - 1] + _characters(lines, node.lineno, node.col_offset)
        docstring[begin : starts[node.end_lineno - 1] + _characters(lines, node.end_lineno, node.end_col_offset)] = True
    return PythonLabels(kind, docstring, depth)


def characters_of_tokens(text: str, places: Int[np.ndarray, "tokens 2"]) -> Int[np.ndarray, " tokens"]:
    """The character that stands for each token: its first one that is not space, else its first."""
    solid = np.array([not character.isspace() for character in text], bool)
    behind = len(text)
    after = np.minimum.accumulate(np.where(solid, np.arange(len(text)), behind)[::-1])[::-1]
    first = after[places[:, 0]]
    return np.where(first < places[:, 1], first, places[:, 0])


def _kind(token: tokenize.TokenInfo) -> int:
    name = tokenize.tok_name[token.type]
    if name.startswith(("FSTRING", "TSTRING")):  # the parts of an f-string, since Python 3.12
        name = "STRING"
    if name not in _OF_TYPE:
        return -1
    return KINDS.index("keyword" if name == "NAME" and keyword.iskeyword(token.string) else _OF_TYPE[name])


def _docstrings(tree: ast.Module) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        has_one = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        if has_one and ast.get_docstring(node, clean=False) is not None:
            first = node.body[0]
            assert isinstance(first, ast.Expr)
            yield first.value


def _characters(lines: Sequence[str], line: int, column: int) -> int:
    """The parser counts bytes."""
    return len(lines[line - 1].encode()[:column].decode())
