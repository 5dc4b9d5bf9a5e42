"""What features mean: examples in context."""

from monosema.analysis.examples import Example, top_examples
from monosema.analysis.middling import middling_features
from monosema.analysis.render import render_example
from monosema.analysis.tokens import token_strings

__all__ = ["Example", "middling_features", "render_example", "token_strings", "top_examples"]
