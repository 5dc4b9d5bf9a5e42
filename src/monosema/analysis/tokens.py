"""Tokens as text."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_LEAD = 4  # tokens decoded before the wanted ones: no character takes more than four bytes
_INCOMPLETE = "\ufffd"


def token_strings(tokenizer: "PreTrainedTokenizerBase | None", ids: Sequence[int], first: int = 0) -> list[str]:
    """The text of each of `ids[first:]`; joined, they are the text of these tokens.

    A byte-level tokeniser may cut a character into several tokens: the last of them gets the character, those before
    it get nothing. Without a tokeniser, tokens are shown by their numbers.
    """
    if tokenizer is None:
        return [f"[{i}]" for i in ids[first:]]
    start = max(first - _LEAD, 0)
    pieces, done = [], ""
    for end in range(start + 1, len(ids) + 1):
        text = _decode(tokenizer, ids[start:end])
        if text.endswith(_INCOMPLETE) and end < len(ids):
            pieces.append("")
        else:
            pieces.append(text[len(done) :])
            done = text
    return pieces[first - start :]


def _decode(tokenizer: "PreTrainedTokenizerBase", ids: Sequence[int]) -> str:
    text = tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return text if isinstance(text, str) else "".join(text)
