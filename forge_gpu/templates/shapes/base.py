"""What `data.mapping.shape` names: one object a shape. All that depends on the shape of records asks it.

A shape says which keys of the mapping it reads, how a mapping for it is recognised from the columns of a
sample, and, bound to a mapping's columns, which `conversations.Shape` reads the conversations of a record.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import ClassVar, Protocol

from forge_gpu.config.schema import Mapping
from forge_gpu.errors import ConfigError
from forge_gpu.plain import frozen
from forge_gpu.templates.conversations import Shape

SCALARS = frozenset({"text", "number", "bool"})
"""Kinds of values, as `planner.columns.kind_of` names them, that stand in a column as one text."""
TEXT = frozenset({"text"})


class Columns(Protocol):
    """The columns of a sample, asked for what each key of the mapping stands for."""

    def are_prompts(self, name: str) -> bool:
        """Whether nobody answers in most of a column's message lists, and no other column teaches."""

    def stand_alone(self, names: Collection[str | None]) -> bool:
        """Whether all other columns say by their names that they tell where a record is from."""

    def given(self, key: str) -> str | None:
        """The column that the user named for a key."""

    def find(self, key: str, kinds: frozenset[str], without: Sequence[str | None] = ()) -> str | None:
        """The column that the user named for a key, else the likeliest that holds values of these kinds."""

    def find_messages(self, without: Sequence[str | None] = ()) -> str | None:
        """The column of message lists: by its name, else the only one, whatever its name."""


@frozen
class Recognised:
    """Why the records are taken for this shape; key of the mapping -> column, None where there is none."""

    why: str
    keys: dict[str, str | None]


class RecordShape(ABC):
    """needs: keys of the mapping without which nothing can be read. telling: keys that, where the user names
    one and no shape, mean this one; a shape that none tells of is taken only where it is asked for.
    rather: the shape that the same keys mean where the data has the columns that it needs.

    answers: the roles of what a model is to learn: one in a conversation, two in a pair, none in a prompt.
    has_turns: somebody speaks, so that a chat template fits. in_columns: each text stands in a column of its
    own. only_text: a record is one text.
    """

    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    telling: ClassVar[tuple[str, ...]] = ()
    rather: ClassVar[str | None] = None
    answers: ClassVar[tuple[str, ...]] = ()
    has_turns: ClassVar[bool] = True
    in_columns: ClassVar[bool] = True
    only_text: ClassVar[bool] = False
    roles: ClassVar[tuple[str, ...]] = ("query", "input", "system", "response")

    @property
    def is_pair(self) -> bool:
        return len(self.answers) == 2

    @property
    def is_prompt(self) -> bool:
        """Whether somebody speaks, and nobody answers."""
        return self.has_turns and not self.answers

    def require(self, mapping: Mapping) -> None:
        """Raise ConfigError where the mapping lacks a key that the shape needs."""
        lacking = [key for key in self.needs if getattr(mapping, key) is None]
        if lacking:
            keys = " and ".join(f"data.mapping.{key}" for key in lacking)
            raise ConfigError(f"{keys} must name a column of the data for the shape {self.name!r}")

    def sides(self, mapping: Mapping, own: Collection[str] = ()) -> tuple[Shape, ...]:
        """What reads the conversation of a record, or the two sides of a pair; `answers` has a role for
        each. own: roles that the template knows itself. Raises ConfigError where records have no turns."""
        raise ConfigError(
            "a chat template needs data.mapping.shape flat, conversation, prompt or preference, not "
            f"{self.name}"
        )

    def contents(self, mapping: Mapping) -> dict[str, str]:
        """Role -> column, of the texts that stand in columns of their own."""
        named = {role: getattr(mapping, role) for role in self.roles}
        return {role: column for role, column in named.items() if column is not None}

    @abstractmethod
    def recognise(self, columns: Columns) -> Recognised | None:
        """The mapping of a sample's columns; None where they are not of this shape."""
