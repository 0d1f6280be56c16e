"""Plain classes: `@frozen` and `@mutable` make what `@dataclass` does, and are what the package uses."""

from __future__ import annotations

import copy
import pickle
import re
from dataclasses import KW_ONLY, FrozenInstanceError, asdict, dataclass, field, fields, replace
from pathlib import Path

import pytest

import forge_gpu
from forge_gpu.plain import frozen, mutable

PACKAGE = Path(forge_gpu.__file__).parent


@frozen
class Point:
    x: int
    y: int = 0
    seen: list[int] = field(default_factory=list, compare=False, repr=False)


@frozen
class Named(Point):
    _: KW_ONLY
    name: str

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("it has no name")


@mutable
class Count:
    rows: int = 0
    most: int = field(init=False, default=9)


def test_fields_are_given_in_order_by_name_or_by_default() -> None:
    assert (Point(1, 2).x, Point(1, y=2).y, Point(y=2, x=1).x, Point(1).y) == (1, 2, 1, 0)
    assert Point(1).seen == [] and Point(1).seen is not Point(1).seen
    assert Named(1, 2, name="a").name == "a" and Count(3).most == 9
    with pytest.raises(ValueError, match="no name"):
        Named(1, name="")


@pytest.mark.parametrize(
    ("of", "values", "named"),
    [
        (Point, (), {}),
        (Point, (1, 2, [], 4), {}),
        (Point, (1,), {"x": 1}),
        (Point, (1,), {"z": 1}),
        (Count, (1, 2), {}),
        (Count, (), {"most": 1}),
        (Named, (1,), {}),
    ],
)
def test_other_arguments_are_refused(of: type, values: tuple[int, ...], named: dict[str, int]) -> None:
    with pytest.raises(TypeError):
        of(*values, **named)


def test_equal_fields_are_equal_in_one_class() -> None:
    assert Point(1, 2, [3]) == Point(1, 2) and hash(Point(1, 2, [3])) == hash(Point(1, 2))
    assert Point(1, 2) != Point(2, 1) and Point(1) != Named(1, name="a")
    one, same, other = Count(1), Count(1), Count(2)
    assert one == same != other and Point(1).__eq__((1, 0)) is NotImplemented
    with pytest.raises(TypeError, match="unhashable"):
        hash(Count())
    assert repr(Named(1, name="a")) == "Named(x=1, y=0, name='a')"


def test_what_is_frozen_stays_as_it_is() -> None:
    point, count = Point(1), Count()
    for change in (
        lambda: setattr(point, "x", 2),
        lambda: delattr(point, "x"),
        lambda: setattr(point, "z", 2),
    ):
        with pytest.raises(FrozenInstanceError):
            change()
    count.rows += 1
    assert (point, count) == (Point(1), Count(1))


def test_they_are_dataclasses_to_the_standard_library() -> None:
    named = Named(1, 2, name="a")
    assert [each.name for each in fields(Named)] == ["x", "y", "seen", "name"]
    assert replace(named, x=3) == Named(3, 2, name="a")
    assert asdict(named) == {"x": 1, "y": 2, "seen": [], "name": "a"}
    assert copy.deepcopy(named) == pickle.loads(pickle.dumps(named)) == named  # noqa: S301 (it is our own)
    with pytest.raises(TypeError, match="frozen"):
        dataclass(frozen=True)(type("Child", (Point,), {}))


def test_own_methods_stay() -> None:
    @frozen
    class Own:
        x: int

        def __eq__(self, other: object) -> bool:
            return True

        def __repr__(self) -> str:
            return "own"

    assert Own(1) == Own(2) and repr(Own(1)) == "own" and {Own(1), Own(1)} == {Own(1)}


def test_the_package_has_no_others_but_those_that_are_themselves_alone() -> None:
    """Those of `eq=False` are equal to nothing else; the sandbox's worker has no forge_gpu to import from."""
    own = re.compile(r"^ *@dataclass(?!_|\((frozen=True, slots=True, )?eq=False)", re.MULTILINE)
    found = {
        path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if own.search(path.read_text())
    }
    assert {path for path in found if not path.startswith("sandbox/inside/")} == set()
