"""`@frozen` and `@mutable`: dataclasses whose methods are here. `@dataclass` compiles some for each class.

`@dataclass(frozen=True)` writes and compiles six methods at every import, and `@dataclass` three: on a slow
core that takes 1.1 and 0.6 ms, and these 0.1 ms. `fields`, `replace` and `asdict` of `dataclasses` take what
they make, and type checkers read both as dataclasses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from operator import attrgetter
from typing import Any, NoReturn, TypeVar, cast, dataclass_transform

Class = TypeVar("Class", bound=type)


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(of: Class) -> Class:
    """`@dataclass(frozen=True)`: no field is assigned later; what has equal fields is equal, with one hash.

    Raises TypeError for a class that inherits from a frozen dataclass, as that does for a class of these.
    """
    return _with_methods(of, _FROZEN)


@dataclass_transform(field_specifiers=(field,))
def mutable(of: Class) -> Class:
    """`@dataclass`: fields may be assigned, and what has equal fields is equal."""
    return _with_methods(of, _MUTABLE)


def _with_methods(of: Class, methods: dict[str, Any]) -> Class:
    """The class as a dataclass, with some methods where it has none of its own."""
    of.__doc__ = of.__doc__ or of.__name__  # dataclass would spell the signature of each class without one
    for name, method in methods.items():
        if of.__dict__.get(name) is None:  # Python itself sets __hash__ to None beside an __eq__
            setattr(of, name, method)
    made: Any = dataclass(init=False, repr=False, eq=False)(of)
    own = fields(made)
    compared = [kept.name for kept in own if kept.compare]
    made._plain_fields = own
    made._plain_key = attrgetter(*compared) if compared else type
    return cast(Class, made)


def _init(self: Any, /, *values: Any, **named: Any) -> None:
    held, unplaced = self.__dict__, iter(values)
    for kept in type(self)._plain_fields:
        if kept.init and (value := next(unplaced, MISSING)) is not MISSING:
            held[kept.name] = value
        elif kept.init and kept.name in named:
            held[kept.name] = named.pop(kept.name)
        elif kept.default is not MISSING:
            held[kept.name] = kept.default
        elif kept.default_factory is not MISSING:
            held[kept.name] = kept.default_factory()
        elif kept.init:
            raise TypeError(f"{type(self).__name__} needs {kept.name}")
    if unwanted := [*unplaced, *named]:
        raise TypeError(f"{type(self).__name__} has no place for {unwanted}")
    after_init = getattr(self, "__post_init__", None)
    if after_init is not None:
        after_init()


def _eq(self: Any, other: Any) -> bool:
    key = type(self)._plain_key
    return key(self) == key(other) if other.__class__ is self.__class__ else NotImplemented


def _hash(self: Any) -> int:
    return hash(type(self)._plain_key(self))


def _repr(self: Any) -> str:
    shown = [f"{kept.name}={getattr(self, kept.name)!r}" for kept in type(self)._plain_fields if kept.repr]
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _setattr(self: Any, name: str, value: object) -> NoReturn:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _delattr(self: Any, name: str) -> NoReturn:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


_BOTH: dict[str, Callable[..., Any]] = {"__init__": _init, "__eq__": _eq, "__repr__": _repr}
_MUTABLE = {**_BOTH, "__hash__": None}
_FROZEN = {**_BOTH, "__hash__": _hash, "__setattr__": _setattr, "__delattr__": _delattr}
