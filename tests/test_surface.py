"""What `import monosema` offers."""

import ast
import inspect
import pkgutil
from pathlib import Path

import pytest

import monosema


def imported_for_types() -> dict[str, str]:
    """Each name below `if TYPE_CHECKING:` in the package's `__init__`, and the room it comes from."""
    tree = ast.parse(Path(monosema.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module).removeprefix("monosema.") for node in imports for alias in node.names}


@pytest.mark.parametrize("name", monosema.__all__)
def test_every_public_name_is_there_and_documented(name: str):
    assert inspect.getdoc(getattr(monosema, name))


def test_rooms_types_and_public_names_agree():
    assert {name: room for room, names in monosema._ROOMS.items() for name in names} == imported_for_types()
    assert sorted(imported_for_types()) == monosema.__all__ == sorted(monosema.__all__)
    assert set(monosema.__all__) <= set(dir(monosema))


def test_no_public_name_is_a_modules_too():
    """Else it would mean the one or the other, depending on what was imported before."""
    assert not {module.name for module in pkgutil.iter_modules(monosema.__path__)} & set(monosema.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Dictionnary'"):
        monosema.Dictionnary  # noqa: B018
