"""Every character is called what Python calls it."""

import numpy as np

from monosema.analysis.probing import KINDS, characters_of_tokens, python_labels, token_places
from monosema.models import load_model
from monosema.tiny import documents

SOURCE = '''"""Of the module, é."""
class A:
    "of the class"
    def f(self, x=12):  # why
        """Two
        lines."""
        if x:
            return "plain" + 'é' if x is None else x
b = 3.5
'''


def characters(text: str, wanted: str) -> slice:
    first = text.index(wanted)
    return slice(first, first + len(wanted))


def kinds(text: str, wanted: str) -> set[str]:
    labels = python_labels(text)
    assert labels is not None
    return {KINDS[i] if i >= 0 else "" for i in labels.kind[characters(text, wanted)]}


def test_kinds_are_those_of_the_tokeniser():
    for wanted, kind in {
        "class": "keyword",
        "None": "keyword",
        "self": "name",
        "12": "number",
        "3.5": "number",
        "+": "operator",
        "# why": "comment",
        '"plain"': "string",
        '"of the class"': "string",
        '"""Two\n        lines."""': "string",
        "\n    ": "",
    }.items():
        assert kinds(SOURCE, wanted) == {kind}, wanted


def test_docstrings_are_those_of_the_parser():
    labels = python_labels(SOURCE)
    assert labels is not None
    wanted = np.zeros(len(SOURCE), bool)
    for text in ('"""Of the module, é."""', '"of the class"', '"""Two\n        lines."""'):
        wanted[characters(SOURCE, text)] = True
    assert (labels.docstring == wanted).all()


def test_depth_is_the_number_of_blocks():
    labels = python_labels(SOURCE)
    assert labels is not None
    for wanted, depth in {"class A": 0, "def f": 1, "if x": 2, "return": 3, "b = 3.5": 0, "lines.": 2}.items():
        assert set(labels.depth[characters(SOURCE, wanted)]) == {depth}, wanted


def test_what_is_not_python_has_no_labels():
    for text in ("print 'old'", "def f(:", "x = (", "\x00", "a\rb"):
        assert python_labels(text) is None


def test_tokens_of_the_model_are_labelled_by_their_first_solid_character():
    text = "  a\t\n\n bc"
    places = np.array([[0, 3], [3, 6], [6, 8], [5, 6]])
    assert characters_of_tokens(text, places).tolist() == [2, 3, 7, 5]


def test_the_places_of_tokens_are_those_of_their_text():
    tokenizer = load_model("tiny", device="cpu").tokenizer
    assert tokenizer is not None
    text = next(iter(documents("heldout"))).text[:3000]
    ids, places = token_places(tokenizer, text)
    assert ids[0] == tokenizer.bos_token_id
    assert places[0].tolist() == [-1, -1]
    for token, (begin, end) in zip(ids[1:], places[1:], strict=True):
        decoded = str(tokenizer.decode([token]))
        assert "\ufffd" in decoded or decoded.strip() == text[begin:end].strip()
