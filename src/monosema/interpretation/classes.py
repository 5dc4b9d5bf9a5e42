"""Kinds of tokens that their text alone tells: numbers, capitalised words, brackets."""

import keyword
import re
from collections.abc import Sequence

import numpy as np

CLASSES: dict[str, re.Pattern[str]] = {
    "line breaks": re.compile(r"\n"),
    "line breaks before an indented line": re.compile(r"\n[ \t]+$"),
    "empty lines": re.compile(r"\n[ \t]*\n"),
    "spaces alone": re.compile(r"^[ \t]+$"),
    "numbers": re.compile(r"^\s*\d+$"),
    "tokens with a digit": re.compile(r"\d"),
    "words in small letters": re.compile(r"^\s*[a-z]{2,}$"),
    "words after a space": re.compile(r"^ [A-Za-z]{2,}$"),
    "letters without a space before": re.compile(r"^[A-Za-z]+$"),
    "capitalised words": re.compile(r"^\s*[A-Z][a-z]+"),
    "words in capitals": re.compile(r"^\s*[A-Z]{2,}$"),
    "single letters": re.compile(r"^\s*[A-Za-z]$"),
    "capital letters": re.compile(r"^\s*[A-Z]$"),
    "punctuation": re.compile(r"^\s*[^\w\s]+\s*$"),
    "opening brackets": re.compile(r"[(\[{]$"),
    "closing brackets": re.compile(r"^\s*\W*[)\]}]"),
    "quotation marks": re.compile(r"[\"']"),
    "operators": re.compile(r"^\s*[-+*/%=<>!&|^~@]+$"),
    "tokens with an underscore": re.compile(r"_"),
    "Python's keywords": re.compile(rf"^\s*(?:{'|'.join(keyword.kwlist)})$"),
    "tokens with a character outside ASCII": re.compile(r"[^\x00-\x7f]"),
}
"""What a token's text has to match, by a name in the plural."""

NAMES = list(CLASSES)


def members(texts: Sequence[str]) -> np.ndarray:
    """The numbers of the classes that each text is in, `[texts, classes]`; −1 where it is in none."""
    found = [[place if CLASSES[name].search(text) else -1 for place, name in enumerate(NAMES)] for text in texts]
    return np.array(found, dtype=np.int64).reshape(len(texts), len(NAMES))


def endings(texts: Sequence[str], letters: int = 2) -> tuple[np.ndarray, list[str]]:
    """The number of each text's ending in a list, and the list; −1 for texts of fewer letters than one more."""
    own = [
        text[-letters:] if text.strip()[-letters - 1 :].isalpha() and len(text.strip()) > letters else ""
        for text in texts
    ]
    kinds = sorted(set(own) - {""})
    number = {ending: place for place, ending in enumerate(kinds)}
    return np.array([number.get(ending, -1) for ending in own], dtype=np.int64), kinds
