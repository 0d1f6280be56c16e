"""No module imports one that imports it, by whatever way: at its top, in a function, or for types alone."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "forge_gpu"


def modules_below(package: Path) -> dict[str, Path]:
    """Dotted name -> file of every module of a package, the package itself among them."""
    result = {}
    for path in package.rglob("*.py"):
        parts = (package.name, *path.relative_to(package).with_suffix("").parts)
        result[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return result


def imported_by(path: Path, modules: dict[str, Path]) -> set[str]:
    """Those of `modules` that a file imports, wherever in it the import stands."""
    result = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            result |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path}:{node.lineno}: a relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            result |= {name if name in modules else node.module for name in names}
    return result & modules.keys()


def circle_in(package: Path) -> list[str]:
    """The modules of a circle of imports, the first of them again at its end; empty where there is none."""
    modules = modules_below(package)
    graph = {name: imported_by(path, modules) for name, path in modules.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_the_package_has_no_circle_of_imports():
    assert len(modules_below(PACKAGE)) > 100
    assert circle_in(PACKAGE) == []


@pytest.mark.parametrize(
    "back",
    [
        "import house.room",
        "def f():\n    from house.room import x",
        "if TYPE_CHECKING:\n    from house import room",
        "from house import late",
    ],
)
def test_a_circle_is_seen_wherever_its_import_stands(tmp_path, back):
    package = tmp_path / "house"
    package.mkdir()
    (package / "__init__.py").write_text("def __getattr__(name):\n    import house.room\n")
    (package / "room.py").write_text("from house.hall import y\n")
    (package / "hall.py").write_text("y = 1\n")
    assert circle_in(package) == []
    (package / "hall.py").write_text(back)
    circle = circle_in(package)
    assert {"house.room", "house.hall"} <= set(circle) and circle[0] == circle[-1]
