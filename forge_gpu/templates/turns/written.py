"""A text, and for which message each stretch of it was written.

A template goes over the messages in loops. Where a round with a message begins, and where a loop ends, the
place in the text is marked; what a loop writes into a variable or a macro is written later, and not marked.
"""

from __future__ import annotations

from functools import cached_property

from forge_gpu.plain import frozen

NO_MESSAGE = -1
Stretch = tuple[int, int]


@frozen
class Written:
    """turns: (place in characters, number of the message whose turn begins there, or NO_MESSAGE), in
    order."""

    text: str
    turns: tuple[tuple[int, int], ...]

    @cached_property
    def _stretches(self) -> dict[int, list[Stretch]]:
        ends = [*(place for place, _ in self.turns[1:]), *[len(self.text)] * bool(self.turns)]
        result: dict[int, list[Stretch]] = {}
        for (begin, number), end in zip(self.turns, ends, strict=True):
            stretches = result.setdefault(number, [])
            if stretches and stretches[-1][1] == begin:
                stretches[-1] = (stretches[-1][0], end)
            else:
                stretches.append((begin, end))
        return result

    def stretch(self, number: int) -> Stretch | None:
        """The one stretch that was written for a message; None where there is none, or several."""
        stretches = [part for part in self._stretches.get(number, ()) if self.text[slice(*part)].strip()]
        return stretches[0] if len(stretches) == 1 else None

    def of(self, number: int) -> str:
        """What was written for a message, "" where that is nothing."""
        return "".join(self.text[begin:end] for begin, end in self._stretches.get(number, ()))

    @cached_property
    def is_by_turns(self) -> bool:
        """Is anything written for single messages?"""
        return any(number != NO_MESSAGE and self.of(number).strip() for number in self._stretches)

    @property
    def rest(self) -> str:
        """What comes behind the last loop over messages."""
        return self.text[self.turns[-1][0] :] if self.turns and self.turns[-1][1] == NO_MESSAGE else ""
