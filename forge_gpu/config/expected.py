"""What may stand at a key, in words, told from the schema itself: no library's message reaches the user."""

from __future__ import annotations

from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import BaseModel

NAMES = {
    str: "a text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    object: "any value",
    NoneType: "null",
}


def expected(annotation: Any) -> str:
    """As `'auto' or a whole number at least 1`."""
    choices = list(dict.fromkeys(_choices(annotation, ())))
    return choices[0] if len(choices) == 1 else f"{', '.join(choices[:-1])} or {choices[-1]}"


def inner(annotation: Any, kind: type) -> Any:
    """The annotation of what a list, or a mapping (`kind`), holds; None where neither can stand there."""
    origin = get_origin(annotation)
    if origin is kind:
        return get_args(annotation)[-1]
    if origin is Annotated:
        return inner(get_args(annotation)[0], kind)
    if origin in (Union, UnionType):
        return next((result for member in get_args(annotation) if (result := inner(member, kind))), None)
    return None


def _choices(annotation: Any, bounds: tuple[Any, ...]) -> Iterator[str]:
    """A phrase for each thing that can stand there."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _choices(arguments[0], (*_flat(arguments[1:]), *bounds))
    elif origin in (Union, UnionType):
        for member in arguments:
            yield from _choices(member, bounds)
    elif origin is Literal:
        yield from map(repr, arguments)
    elif origin is list:
        least = next((bound.min_length for bound in bounds if isinstance(bound, MinLen)), 0)
        yield f"a list{f' of at least {least}' if least else ''} (each item {expected(arguments[0])})"
    elif origin is dict:
        yield f"a mapping (each value {expected(arguments[1])})"
    elif issubclass(annotation, BaseModel):
        yield "a section with keys of its own"
    else:
        yield NAMES[annotation] + _range(bounds)


def _flat(metadata: tuple[Any, ...]) -> Iterator[Any]:
    """Bounds, out of the Field that holds them too."""
    for item in metadata:
        yield from getattr(item, "metadata", (item,))


def _range(bounds: tuple[Any, ...]) -> str:
    words = []
    for bound in bounds:
        match bound:
            case Ge(ge=low):
                words.append(f"at least {low}")
            case Gt(gt=low):
                words.append(f"above {low}")
            case Le(le=high):
                words.append(f"at most {high}")
            case Lt(lt=high):
                words.append(f"below {high}")
    return " " + " and ".join(words) if words else ""
