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
    return _pieces(tokenizer, list(ids[start:]))[first - start :]


def _pieces(tokenizer: "PreTrainedTokenizerBase", ids: list[int]) -> list[str]:
    """The text of each token: of the last few tokens, less that of the ones before it; so time is linear."""
    pieces: list[str] = []
    begin = whole = done = 0  # the tokens decoded, those of whole characters, and those whose text is told
    told = ""  # of ids[begin:done]
    for end in range(1, len(ids) + 1):
        text = _decode(tokenizer, ids[begin:end])
        partial = text.endswith(_INCOMPLETE) and end < len(ids)
        if partial and end - done < _LEAD:  # it may be a part of a character
            pieces.append("")
            continue
        if partial:  # that is none, all but the last part
            text = text[: -len(_INCOMPLETE)]
        pieces.append(text[len(told) :])
        if partial:
            begin, done = max(end - _LEAD, begin), end - 1
            told = _decode(tokenizer, ids[begin:end])[: -len(_INCOMPLETE)]
        else:
            begin, whole, done = whole, end, end
            told = _decode(tokenizer, ids[begin:end])
    return pieces


def _decode(tokenizer: "PreTrainedTokenizerBase", ids: Sequence[int]) -> str:
    text = tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)
    return text if isinstance(text, str) else "".join(text)


class TokenTexts:
    """The text of the tokens of many contexts, as `token_strings` gives it; what is a text by itself is decoded once.

    Args:
        tokenizer: the model's own; without one, tokens are shown by their numbers.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase | None"):
        self._tokenizer = tokenizer
        self._known: dict[int, str] = {}
        self._incomplete: set[int] = set()  # of the known: those that may be a text with their neighbours alone
        self._lead: list[int] = []
        if tokenizer is not None:  # before which others are decoded, as some tokenizers drop the space of a first word
            self._lead = list(tokenizer.encode("a", add_special_tokens=False))[-1:]

    def __call__(self, ids: Sequence[int]) -> list[str]:
        """The text of each token; joined, they are the text of all."""
        if self._tokenizer is None:
            return token_strings(None, ids)
        known = self._known
        texts = [known[i] if i in known else self._decoded(i) for i in ids]
        return texts if self._incomplete.isdisjoint(ids) else self._joined(ids, texts)

    def _joined(self, ids: Sequence[int], texts: list[str]) -> list[str]:
        """The texts, with those of neighbours that are a text together."""
        assert self._tokenizer is not None
        first = 0
        while first < len(ids):
            last = first
            while last < len(ids) and _INCOMPLETE in texts[last]:
                last += 1
            if last - first > 1:
                texts[first:last] = token_strings(self._tokenizer, [*self._lead, *ids[first:last]], len(self._lead))
            first = max(last, first + 1)
        return texts

    def _decoded(self, token: int) -> str:
        text = token_strings(self._tokenizer, [*self._lead, token], len(self._lead))[0]
        self._known[token] = text
        if _INCOMPLETE in text:
            self._incomplete.add(token)
        return text
