"""Every token of a context is said to be of the document that it came from."""

from collections.abc import Iterable

import pytest
import torch

from monosema.activations import Contexts, MixedContexts

TEXT = ["", *(f"document {i} " * (1 + i % 5) for i in range(30)), "", "", "a much longer one " * 40, ""]


def tagged(tokenizer, documents: list[str]) -> list[tuple[int, int]]:
    """Each token of the text with its document's number, one document tokenised after the other."""
    found = []
    for number, text in enumerate(documents):
        ids = tokenizer.encode(text, add_special_tokens=False)
        found += [(token, number) for token in ([tokenizer.bos_token_id, *ids] if ids else [])]
    return found


def with_documents(stream: "Contexts | MixedContexts") -> Iterable[list[tuple[int, int]]]:
    for context in stream:
        assert stream.parts[0][0] == 0
        starts = [start for start, _ in stream.parts]
        assert starts == sorted(set(starts))
        numbers = torch.zeros(len(context), dtype=torch.long)
        for start, number in stream.parts:
            numbers[start:] = number
        yield list(zip(context.tolist(), numbers.tolist(), strict=True))


def cut(tokens: list[tuple[int, int]], length: int) -> list[list[tuple[int, int]]]:
    return [tokens[i : i + length] for i in range(0, len(tokens) - length + 1, length)]


@pytest.fixture(params=[1, 2**17])
def _documents_at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monosema.activations.contexts.CHARACTERS_AT_ONCE", request.param)


@pytest.mark.usefixtures("_documents_at_once")
@pytest.mark.parametrize("length", [1, 7, 64, 500])
def test_in_the_order_of_the_text(tokenizer, length: int):
    assert list(with_documents(Contexts(tokenizer, TEXT, length))) == cut(tagged(tokenizer, TEXT), length)


@pytest.mark.usefixtures("_documents_at_once")
@pytest.mark.parametrize("length", [7, 64])
def test_of_a_text_that_is_repeated_documents_are_counted_anew(tokenizer, length: int):
    once = tagged(tokenizer, TEXT)
    contexts = Contexts(tokenizer, TEXT, length, repeat=True)
    expected = cut(once * 3, length)
    found = with_documents(contexts)
    assert [next(iter(found)) for _ in expected] == expected


@pytest.mark.usefixtures("_documents_at_once")
@pytest.mark.parametrize("taken", [0, 1, 5, 11])
def test_after_going_on_at_a_saved_position(tokenizer, taken: int):
    length = 9
    first, again = Contexts(tokenizer, TEXT, length), Contexts(tokenizer, TEXT, length)
    for _ in range(taken):
        next(first)
    again.load_state_dict(first.state_dict())
    assert list(with_documents(again)) == cut(tagged(tokenizer, TEXT), length)[taken:]


@pytest.mark.parametrize("window", [16, 200, 100_000])
@pytest.mark.parametrize("taken", [0, 3, 12, 13])
def test_of_mixed_contexts_also_after_going_on(tokenizer, window: int, taken: int):
    length = 16
    plain = sorted(cut(tagged(tokenizer, TEXT), length))
    assert sorted(with_documents(MixedContexts(Contexts(tokenizer, TEXT, length), window))) == plain
    mixed = MixedContexts(Contexts(tokenizer, TEXT, length), window)
    gone = [next(iter(with_documents(mixed))) for _ in range(taken)]
    again = MixedContexts(Contexts(tokenizer, TEXT, length), window)
    again.load_state_dict(mixed.state_dict())
    if taken:
        assert again.parts == mixed.parts
    assert sorted([*gone, *with_documents(again)]) == plain
