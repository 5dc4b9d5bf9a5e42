"""Holds the arrows of docs/architecture.md: which room may import which."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "monosema"
LONGEST = 300  # lines of a file

MAY_IMPORT: dict[str, set[str]] = {
    "tiny": set(),
    "kernels": set(),
    "dictionaries": {"kernels"},
    "formats": {"dictionaries"},
    "hub": {"formats", "dictionaries"},
    "recipes": {"dictionaries", "kernels"},
    "models": {"tiny"},
    "activations": {"models", "tiny"},
    "training": {"recipes", "dictionaries", "kernels", "activations", "models"},
    "evaluation": {"models", "activations", "dictionaries", "kernels"},
    "analysis": {"models", "activations", "dictionaries", "kernels", "evaluation"},
    "features": {"analysis", "evaluation", "activations", "dictionaries", "kernels", "models"},
    "interpretation": {"features", "analysis"},
    "dashboard": {"features", "circuits", "analysis", "activations", "dictionaries", "models"},
    "circuits": {"analysis", "activations", "dictionaries", "kernels", "models"},
    "synthetic": set(),
    "planning": {"kernels"},
    "cli": {"runs"},
}
"""What each room may import besides itself and the modules that lie beside the rooms, which import no room."""
MAY_IMPORT["runs"] = set(MAY_IMPORT) - {"cli"}
DOORS = {"__init__": set(MAY_IMPORT) - {"cli"}, "__main__": {"cli"}}
SEE_THE_WHOLE = {"runs", "cli"}  # may import the package itself, for its version


def arrows_broken(package: Path) -> list[str]:
    """The imports below a package's folder that point the wrong way, one line each."""
    rooms = {path.name for path in package.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    broken = [f"the room {room} has no line in MAY_IMPORT" for room in sorted(rooms - MAY_IMPORT.keys())]
    for file in sorted(package.rglob("*.py")):
        inside = file.relative_to(package)
        home = inside.parts[0].removesuffix(".py")
        allowed = MAY_IMPORT.get(home, DOORS.get(home, set())) | {home}
        for line, target in _imports(file, package):
            forbidden = target in rooms and target not in allowed
            if forbidden or (target == "" and home not in SEE_THE_WHOLE):
                broken.append(f"{inside.as_posix()}:{line} imports {target or 'the package itself'}")
    return broken


def _imports(file: Path, package: Path) -> Iterator[tuple[int, str]]:
    """Line and room (or module beside the rooms; "" for the package itself) of every import from the package."""
    for node in ast.walk(_tree(file)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            here = [package.name, *file.relative_to(package).parent.parts]
            stem = ".".join(here[: len(here) - node.level + 1]) if node.level else ""
            origin = ".".join(part for part in (stem, node.module) if part)
            names = [f"{origin}.{alias.name}" for alias in node.names] if origin == package.name else [origin]
        else:
            continue
        for name in names:
            top, target = [*name.split("."), ""][:2]
            if top == package.name:
                known = (package / target).is_dir() or (package / f"{target}.py").is_file()
                yield node.lineno, target if known else ""


def unsafe_reads(package: Path) -> list[str]:
    """The places below a package's folder that could run code hidden in a file that they read."""
    nodes = ((file, node) for file in sorted(package.rglob("*.py")) for node in ast.walk(_tree(file)))
    return [
        f"{file.relative_to(package).as_posix()}:{getattr(node, 'lineno', 0)} {ast.unparse(node)}"
        for file, node in nodes
        if _may_unpickle(node)
    ]


def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _may_unpickle(node: ast.AST) -> bool:
    if isinstance(node, ast.ImportFrom) and [alias.name for alias in node.names] == ["UnpicklingError"]:
        return False  # what the safe reading of a bad file raises
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        return any(name.split(".")[0] in {"pickle", "cloudpickle", "dill", "joblib", "shelve"} for name in names)
    if not isinstance(node, ast.Call):
        return False
    flags = {word.arg: isinstance(word.value, ast.Constant) and word.value.value for word in node.keywords}
    if ast.unparse(node.func) == "torch.load":
        return flags.get("weights_only") is not True
    return flags.get("allow_pickle") is True


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A little package of the same name, with rooms in order."""
    root = tmp_path / "monosema"
    for path in ("kernels/topk.py", "dictionaries/maps.py", "training/loop.py", "cli/main.py", "errors.py"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("import torch\n", encoding="utf-8")
    (root / "dictionaries" / "maps.py").write_text("from monosema.kernels import topk\n", encoding="utf-8")
    return root


def test_the_arrows_of_the_architecture_hold():
    assert arrows_broken(SOURCE) == []


def test_nothing_is_read_with_pickle():
    assert unsafe_reads(SOURCE) == []


def test_every_file_is_short():
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCE.rglob("*.py")}
    assert {path.name: length for path, length in lengths.items() if length > LONGEST} == {}


def hops(page: str) -> list[tuple[str, str]]:
    """The file and the function of every hop of the page's walks."""
    walks = page.split("\n## Walks\n")[1].split("\n## ")[0]
    return re.findall(r"`([\w/]+\.py)`\s+`([\w.]+)`", walks)


def functions_of(file: Path) -> set[str]:
    """What a file defines, as `function`, `Class` and `Class.method`."""
    top = [node for node in _tree(file).body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    methods = ((owner, node) for owner in top for node in owner.body if isinstance(node, ast.FunctionDef))
    return {node.name for node in top} | {f"{owner.name}.{node.name}" for owner, node in methods}


def test_every_function_on_the_walks_is_there():
    found = hops((SOURCE.parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8"))
    assert len(found) > 60
    assert [hop for hop in found if hop[1] not in functions_of(SOURCE / hop[0])] == []


def test_a_package_in_order_breaks_no_arrow(package: Path):
    assert arrows_broken(package) == []


@pytest.mark.parametrize(
    ("file", "code", "target"),
    [
        ("kernels/topk.py", "import monosema.dictionaries", "dictionaries"),
        ("kernels/topk.py", "import torch, monosema.dictionaries.maps as maps", "dictionaries"),
        ("kernels/topk.py", "from monosema.dictionaries.maps import Dense", "dictionaries"),
        ("kernels/topk.py", "from monosema import dictionaries", "dictionaries"),
        ("kernels/topk.py", "from ..dictionaries.maps import Dense", "dictionaries"),
        ("kernels/topk.py", "from .. import dictionaries", "dictionaries"),
        ("kernels/topk.py", "def f():\n    from monosema.training import loop", "training"),
        ("kernels/topk.py", "if TYPE_CHECKING:\n    from monosema.training import loop", "training"),
        ("dictionaries/maps.py", "from monosema.training import loop", "training"),
        ("training/loop.py", "from monosema.cli.main import main", "cli"),
        ("cli/main.py", "from monosema.kernels import topk", "kernels"),
        ("errors.py", "from monosema.kernels import topk", "kernels"),
        ("errors.py", "from .kernels import topk", "kernels"),
        ("__init__.py", "from monosema.cli import main", "cli"),
        ("training/loop.py", "import monosema", "the package itself"),
        ("training/loop.py", "from monosema import Dictionary", "the package itself"),
    ],
)
def test_an_import_that_points_the_wrong_way_is_found(package: Path, file: str, code: str, target: str):
    (package / file).write_text(code + "\n", encoding="utf-8")
    line = len(code.splitlines())
    assert arrows_broken(package) == [f"{file}:{line} imports {target}"]


@pytest.mark.parametrize("code", ["from monosema.errors import E", "from .topk import f", "from ..errors import E"])
def test_a_room_may_import_itself_and_what_lies_beside_the_rooms(package: Path, code: str):
    (package / "kernels" / "topk.py").write_text(code + "\n", encoding="utf-8")
    assert arrows_broken(package) == []


def test_a_room_that_the_table_does_not_know_is_found(package: Path):
    (package / "attic").mkdir()
    (package / "attic" / "old.py").touch()
    assert arrows_broken(package) == ["the room attic has no line in MAY_IMPORT"]


@pytest.mark.parametrize(
    ("code", "safe"),
    [
        *[("import pickle", False), ("from joblib import load", False), ("torch.load(path)", False)],
        *[("torch.load(path, weights_only=False)", False), ("torch.load(path, weights_only=flag)", False)],
        *[
            ("torch.load(path, weights_only=True)", True),
            ("np.load(path)", True),
            ("np.load(p, allow_pickle=True)", False),
        ],
    ],
)
def test_a_read_that_could_run_code_is_found(package: Path, code: str, safe: bool):
    (package / "errors.py").write_text(code + "\n", encoding="utf-8")
    assert unsafe_reads(package) == ([] if safe else [f"errors.py:1 {code}"])
