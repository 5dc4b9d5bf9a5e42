"""What commands that look at one prompt have in common: one model, and the prompt's tokens."""

from monosema.activations.tokens import TokeniseDocuments
from monosema.errors import InputError
from monosema.models import LoadedModel, Readable


def one_model(model: Readable, what: str) -> LoadedModel:
    """The model, if it is one and no pair.

    Raises:
        InputError: it is a pair, with which `what` cannot be done.
    """
    if not isinstance(model, LoadedModel):
        raise InputError(f"{what} of {model.name}", expected="one model")
    return model


def prompt_ids(model: LoadedModel, prompt: str) -> list[int]:
    """The tokens of a prompt, as those of a document.

    Raises:
        InputError: the model has no tokenizer, or the prompt no tokens.
    """
    (ids,) = TokeniseDocuments(model.tokenizer)([prompt])
    return ids
