from abc import ABC
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monosema.config import dump_yaml, from_dict, load_yaml, register_grid, register_tagged, to_dict
from monosema.errors import InputError
from monosema.registry import Registry
from monosema.yaml_text import parse, render

shapes: Registry[type] = Registry("shape")


class Shape(ABC):
    """A tagged union: what stands in a field annotated with it is any class of `shapes`."""

    name: ClassVar[str]


@shapes.register("circle", "disc")
@dataclass(frozen=True)
class Circle(Shape):
    name = "circle"
    radius: float = 1.0

    def __post_init__(self) -> None:
        if self.radius <= 0:
            raise InputError(f"a circle of radius {self.radius}", expected="a positive radius", hint="turn it around")


@shapes.register("point")
@dataclass(frozen=True)
class Point(Shape):
    name = "point"


register_tagged(Shape, shapes)


@dataclass(frozen=True)
class Pen:
    colour: Literal["red", "blue", 3] = "red"
    width: int = 1


@dataclass(frozen=True)
class Picture:
    title: str
    shape: Shape
    pen: Pen = Pen()
    only: Circle = Circle()
    scale: float = 1.0
    framed: bool = False
    folder: Path | None = None
    size: tuple[int, float] = (1, 1.0)
    tags: tuple[str, ...] = ()
    layers: list[Pen] = field(default_factory=list)
    hole: Circle | None = None
    areas: dict[str, float] = field(default_factory=dict)
    depth: int | Literal["auto"] = "auto"
    inner: "tuple[Picture, ...]" = ()


_numbers = st.floats(allow_nan=False)
_pens = st.builds(Pen, colour=st.sampled_from(["red", "blue", 3]), width=st.integers())
_circles = st.builds(Circle, radius=st.floats(min_value=0, exclude_min=True, allow_nan=False))
_paths = st.text("ab/.~: ", min_size=1).map(Path)
_pictures = st.recursive(
    st.builds(Picture, title=st.text(), shape=_circles | st.just(Point())),
    lambda inner: st.builds(
        Picture,
        title=st.text(),
        shape=_circles | st.just(Point()),
        pen=_pens,
        only=_circles,
        scale=_numbers,
        framed=st.booleans(),
        folder=st.none() | _paths,
        size=st.tuples(st.integers(), _numbers),
        tags=st.lists(st.text()).map(tuple),
        layers=st.lists(_pens, max_size=2),
        hole=st.none() | _circles,
        areas=st.dictionaries(st.text(), _numbers, max_size=2),
        depth=st.integers() | st.just("auto"),
        inner=st.lists(inner, max_size=2).map(tuple),
    ),
    max_leaves=3,
)


def _picture(**changes: Any) -> dict[str, Any]:
    return {"title": "t", "shape": {"name": "point"}} | changes


@dataclass(frozen=True)
class Bead:
    size: int


@dataclass(frozen=True)
class Chain:
    beads: tuple[Bead, ...]
    clasp: Bead = Bead(1)
    ends: tuple[Bead, Bead] = (Bead(1), Bead(1))


def _beads(entry: Any) -> list[dict[str, Any]]:
    if not entry["size"]:
        raise InputError("no size", expected="a size", hint="or two")
    return [{"size": size} for size in entry["size"]]


register_grid(Bead, _beads)


def test_an_item_of_a_list_may_stand_for_several_in_its_place():
    chain = from_dict(Chain, {"beads": [{"size": [3, 4]}, {"size": [5]}]})
    assert chain.beads == (Bead(3), Bead(4), Bead(5))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"beads": [{"size": [1]}, {"size": [2, "x"]}]}, "run.yaml: beads[1].size is 'x'; expected a whole number"),
        ({"beads": [{"size": []}]}, "run.yaml: beads[0]: no size; expected a size; or two"),
        ({"clasp": {"size": [1, 2]}}, "run.yaml: clasp.size is [1, 2]; expected a whole number"),
        ({"ends": [{"size": [1]}, {"size": 2}]}, "run.yaml: ends[0].size is [1]; expected a whole number"),
    ],
)
def test_what_an_item_stands_for_is_refused_at_its_own_place(changes: dict[str, Any], message: str):
    with pytest.raises(InputError) as refused:
        from_dict(Chain, {"beads": [], **changes}, where="run.yaml")
    assert message in str(refused.value)


@given(_pictures)
def test_a_dataclass_comes_back_from_its_dictionary(picture: Picture):
    assert from_dict(Picture, to_dict(picture)) == picture


@given(_pictures)
def test_a_dataclass_comes_back_from_its_yaml(picture: Picture):
    assert from_dict(Picture, parse(render(to_dict(picture)), "here")) == picture


def test_a_dataclass_comes_back_from_its_file(tmp_path: Path):
    picture = Picture(title="line\r\nbreak \x85 é", shape=Circle(1e-5), folder=tmp_path, inner=(Picture("", Point()),))
    dump_yaml(picture, tmp_path / "new" / "picture.yaml")
    assert load_yaml(Picture, tmp_path / "new" / "picture.yaml") == picture


def test_a_registered_class_is_known_by_its_name():
    assert from_dict(Shape, {"name": "circle", "radius": 2}) == Circle(2.0)
    assert from_dict(Picture, _picture(shape={"name": "disc"})).shape == Circle()
    assert to_dict(Circle(2.0)) == {"name": "circle", "radius": 2.0}


def test_a_field_of_one_registered_class_needs_no_name_but_refuses_another():
    assert from_dict(Picture, _picture(only={"radius": 3})).only == Circle(3.0)
    with pytest.raises(InputError, match=r"only\.name is 'point'; expected one of circle"):
        from_dict(Picture, _picture(only={"name": "point"}))


def test_numbers_keep_their_annotated_type():
    picture = from_dict(Picture, _picture(scale=2, pen={"width": 5e6}))
    assert (picture.scale, type(picture.scale)) == (2.0, float)
    assert (picture.pen.width, type(picture.pen.width)) == (5_000_000, int)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": "abc"}, "run.yaml: scale is 'abc'; expected a number"),
        ({"scale": "1e-3"}, "run.yaml: scale is '1e-3'; expected a number"),
        ({"scale": True}, "run.yaml: scale is True; expected a number"),
        ({"pen": {"width": 3.7}}, "run.yaml: pen.width is 3.7; expected a whole number"),
        ({"pen": {"width": True}}, "run.yaml: pen.width is True; expected a whole number"),
        ({"pen": {"width": float("inf")}}, "run.yaml: pen.width is inf; expected a whole number"),
        ({"pen": {"colour": "green"}}, "run.yaml: pen.colour is 'green'; expected one of red, blue, 3"),
        ({"pen": {"colour": 3.0}}, "run.yaml: pen.colour is 3.0; expected one of red, blue, 3"),
        ({"pen": None}, "run.yaml: pen is nothing; expected a mapping of colour, width"),
        ({"framed": 1}, "run.yaml: framed is 1; expected true or false"),
        ({"title": 1}, "run.yaml: title is 1; expected text"),
        ({"folder": 1}, "run.yaml: folder is 1; expected a path or null"),
        ({"tags": "abc"}, "run.yaml: tags is 'abc'; expected a list, each item text"),
        ({"tags": ["a", 2]}, "run.yaml: tags[1] is 2; expected text"),
        ({"size": [1]}, "run.yaml: size is [1]; expected a list of 2: a whole number, a number"),
        ({"layers": [{}, {"width": "x"}]}, "run.yaml: layers[1].width is 'x'; expected a whole number"),
        ({"areas": {"a": "x"}}, "run.yaml: areas.a is 'x'; expected a number"),
        ({"areas": []}, "run.yaml: areas is []; expected a mapping"),
        ({"depth": "auot"}, "run.yaml: depth is 'auot'; expected a whole number or one of auto"),
        ({"pen": {"widht": 1}}, "run.yaml: unknown key pen.widht; expected one of colour, width; did you mean width?"),
        (
            {"shape": {"name": "circl"}},
            "shape.name is 'circl'; expected one of circle, disc, point; did you mean circle",
        ),
        ({"shape": {"radius": 1}}, "run.yaml: shape.name is missing; expected one of circle, disc, point"),
        ({"shape": {"name": ["circle"]}}, "run.yaml: shape.name is ['circle']; expected one of circle, disc, point"),
        ({"shape": "circle"}, "run.yaml: shape is 'circle'; expected a mapping with the name of a shape"),
        ({"shape": {"name": "point", "radius": 1}}, "run.yaml: unknown key shape.radius; expected no key"),
        ({"inner": [{"title": "a"}]}, "run.yaml: inner[0].shape is missing; expected a mapping with the name"),
        ({"hole": {"radius": -1}}, "run.yaml: hole: a circle of radius -1.0; expected a positive radius"),
        ({"hole": {"radius": "x"}}, "run.yaml: hole.radius is 'x'; expected a number"),
        ({"hole": 1}, "run.yaml: hole is 1; expected a mapping of radius or null"),
        ({1: 2}, "run.yaml: unknown key 1; expected one of title, shape"),
        (
            {"shape": {"name": "circle", "radius": -1}},
            "run.yaml: shape: a circle of radius -1.0; expected a positive radius; turn it around",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_file_key_value_and_expectation(changes: dict[Any, Any], message: str):
    with pytest.raises(InputError) as refused:
        from_dict(Picture, {**_picture(), **changes}, where="run.yaml")
    assert message in str(refused.value)


def test_what_is_no_mapping_is_refused():
    with pytest.raises(InputError, match=r"run\.yaml: nothing at the top; expected a mapping of colour, width"):
        from_dict(Pen, None, where="run.yaml")


def test_an_annotation_that_no_configuration_can_hold_is_a_mistake_of_the_programmer():
    @dataclass(frozen=True)
    class Odd:
        x: complex = 0j

    with pytest.raises(TypeError, match="complex"):
        from_dict(Odd, {"x": 1})
    with pytest.raises(TypeError, match="complex"):
        to_dict(Odd())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: 1\nb: [1, 2\n", "line 3, column 1"),
        ("a: 1\n b: 2\n", "line 2, column 3"),
        ("colour: red\nwidth: 1\ncolour: blue\n", "line 3, column 1: the key colour is twice"),
        ("a: !!python/object:os.system {}\n", "line 1, column 4: could not determine a constructor"),
        ("\x00", "unacceptable character"),
        ("width: wide\n", "pen.yaml: width is 'wide'; expected a whole number"),
        ("", "pen.yaml: nothing at the top"),
    ],
)
def test_a_broken_file_is_refused_by_name_and_place(tmp_path: Path, content: str, message: str):
    path = tmp_path / "pen.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError) as refused:
        load_yaml(Pen, path)
    assert str(path) in str(refused.value)
    assert message in str(refused.value)


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"no file .*absent\.yaml"):
        load_yaml(Pen, tmp_path / "absent.yaml")
    with pytest.raises(InputError, match="no file"):
        load_yaml(Pen, tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\xfd")
    with pytest.raises(InputError, match=r"binary\.yaml is not a text file"):
        load_yaml(Pen, tmp_path / "binary.yaml")
