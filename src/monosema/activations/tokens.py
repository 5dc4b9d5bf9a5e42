"""From documents to token ids."""

from typing import TYPE_CHECKING

from monosema.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class TokeniseDocuments:
    """A function from documents to their token ids, each document preceded by the tokeniser's separator.

    Raises:
        InputError: there is no tokeniser; when called, a document that is no valid Unicode.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase | None"):
        if tokenizer is None:
            raise InputError(
                "a model without a tokeniser",
                expected="a tokeniser to read text with",
                hint="give one to load_model(..., tokenizer=)",
            )
        self._encode = _encoder(tokenizer)
        separator = separator_of(tokenizer)
        self._prefix = [] if separator is None else [separator]

    def __call__(self, documents: list[str], first: int = 0) -> list[list[int]]:
        """The ids of each document, the separator before them; `first` is the first one's number, for the error."""
        try:
            encoded = self._encode(documents)
        except (TypeError, UnicodeEncodeError):
            number = first + next(i for i, text in enumerate(documents) if not _is_unicode(text))
            raise InputError(
                f"document {number} is no valid Unicode (it holds half of a surrogate pair)",
                expected="text that can be written in UTF-8",
            ) from None
        return [self._prefix + ids if ids else [] for ids in encoded]


def separator_of(tokenizer: "PreTrainedTokenizerBase") -> int | None:
    """The token between documents: beginning of text, else end of text, else BERT's separator, else None."""
    for token in (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.sep_token_id):
        if isinstance(token, int):
            return token
    return None


def _encoder(tokenizer: "PreTrainedTokenizerBase"):
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return lambda texts: tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    if backend.truncation or backend.padding:  # some are saved with a cut at their model's length
        backend = type(backend).from_str(backend.to_str())
        backend.no_truncation()
        backend.no_padding()
    # The backend itself, because the tokeniser's own call spends as long again on offsets and masks.
    return lambda texts: [e.ids for e in backend.encode_batch_fast(texts, add_special_tokens=False)]


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
