import pytest
from hypothesis import given
from hypothesis import strategies as st

from monosema.errors import InputError
from monosema.registry import Registry, nearest


def test_what_is_registered_is_found_under_each_of_its_names_and_comes_back_unchanged():
    registry: Registry[type] = Registry("thing")

    @registry.register("one", "uno")
    class One: ...

    assert registry["one"] is One
    assert registry["uno"] is One


@given(st.dictionaries(st.text(), st.integers()))
def test_a_registry_is_the_mapping_of_what_was_registered_in_its_order(things: dict[str, int]):
    registry: Registry[int] = Registry("number")
    for name, thing in things.items():
        registry.register(name)(thing)
    assert dict(registry) == things
    assert list(registry) == list(things)
    assert len(registry) == len(things)


def test_a_name_cannot_be_registered_twice_and_keeps_its_first_thing():
    registry: Registry[int] = Registry("number")
    registry.register("one")(1)
    with pytest.raises(ValueError, match="number 'one' is registered twice"):
        registry.register("one")(2)
    assert registry["one"] == 1


def test_an_unknown_name_is_refused_with_every_known_name_and_the_nearest():
    registry: Registry[int] = Registry("recipe")
    registry.register("batch_topk")(1)
    registry.register("jumprelu")(2)
    with pytest.raises(InputError) as refused:
        registry["batchtopk"]
    assert "unknown recipe 'batchtopk'" in str(refused.value)
    assert "batch_topk, jumprelu" in str(refused.value)
    assert refused.value.hint == "did you mean batch_topk?"
    assert "batchtopk" not in registry


def test_no_hint_is_offered_where_no_name_is_alike():
    assert nearest("zzz", ["relu", "topk"]) is None
