"""What a language model is asked, and what counts as an answer.

The protocol is that of Paulo et al. 2024 (arXiv 2410.13928), whose explanations come from examples with marked tokens,
as in Bills et al. 2023: one question that asks for an explanation, then questions that ask, by the explanation alone,
which passages the feature fires in (detection), and in which of them the right tokens are marked (fuzzing).
"""

import json
import re
from collections.abc import Sequence

OPEN, CLOSE = "«", "»"
MOST_WORDS = 20

_FIELD = (
    "A language model has been taken apart into features, each of which is active on some tokens of a text "
    "and silent on all others. Passages are shown on one line each; ⏎ is a line break."
)
_EXPLAIN = (
    f"{_FIELD} You will see passages in which one feature is active. The tokens on which it is active stand "
    f"between {OPEN} and {CLOSE}, and are listed behind the passage with the strength of the activation, from "
    "1 to 10. Find out what the feature stands for. It may depend on the token itself, on what comes before "
    "it, or on what the model expects to come next; it cannot depend on text further on. Weak activations are "
    f"less reliable than strong ones. Say when it is active, in at most {MOST_WORDS} words, so that somebody "
    "else could tell in new text where it is: be specific, name tokens if it takes few, and leave out all "
    "that is true of any text. You may think first. End with one line: EXPLANATION: and then the explanation."
)
_DETECT = (
    f"{_FIELD} You will be given an explanation of one feature, and numbered passages, in some of which it is "
    "active. For each passage, decide whether the feature is active on any of its tokens. Answer with a JSON "
    "list of as many numbers as there are passages, in their order: 1 where it is active, 0 where it is not. "
    "Answer with nothing else."
)
_FUZZ = (
    f"{_FIELD} You will be given an explanation of one feature, and numbered passages in which it is active. "
    f"In each, some tokens stand between {OPEN} and {CLOSE}: in some passages those on which the feature is "
    "active, in others tokens on which it is not. Decide for each passage whether the right tokens are "
    "marked. Answer with a JSON list of as many numbers as there are passages, in their order: 1 where they "
    "are the right ones, 0 where they are not. Answer with nothing else."
)
_LIST = re.compile(r"\[[\s\d,]*\]")
_EXPLANATION = re.compile(r"^\W*EXPLANATION\W*?:[ \t*]*(\S.*)$", re.MULTILINE | re.IGNORECASE)

Messages = list[dict[str, str]]


def explain(passages: Sequence[str], promoted: Sequence[str]) -> Messages:
    """Asks for an explanation.

    Args:
        passages: with marked tokens, and the list of them.
        promoted: tokens that the feature makes likelier to come next, as far as that is known.
    """
    makes = "Tokens that it makes likelier to come next: " + ", ".join(
        json.dumps(p, ensure_ascii=False) for p in promoted
    )
    return _messages(_EXPLAIN, "\n\n".join([_numbered(passages), *([makes] if promoted else [])]))


def detect(explanation: str, passages: Sequence[str]) -> Messages:
    """Asks in which passages the feature fires."""
    return _messages(_DETECT, f"Explanation: {explanation}\n\n{_numbered(passages)}")


def fuzz(explanation: str, passages: Sequence[str]) -> Messages:
    """Asks in which passages the right tokens are marked."""
    return _messages(_FUZZ, f"Explanation: {explanation}\n\n{_numbered(passages)}")


def explanation_in(answer: str) -> str | None:
    """The explanation that an answer ends with, on one line; None where there is none."""
    found = _EXPLANATION.findall(answer)
    text = " ".join(found[-1].strip(" *").split()) if found else ""
    return text.encode(errors="replace").decode() or None  # half a character cannot be written


def verdicts_in(answer: str, count: int) -> list[bool] | None:
    """The verdicts in an answer: its last list, of so many zeros and ones; None where it has no such list."""
    lists = _LIST.findall(answer)
    try:
        found = json.loads(lists[-1]) if lists else None
    except ValueError:
        return None
    if not isinstance(found, list) or len(found) != count or not set(found) <= {0, 1}:
        return None
    return [bool(verdict) for verdict in found]


def _messages(system: str, user: str) -> Messages:
    return [{"role": "system", "content": system}, {"role": "user", "content": user}]


def _numbered(passages: Sequence[str]) -> str:
    return "\n".join(f"{number}. {passage}" for number, passage in enumerate(passages, 1))
