"""Texts to tokens, as the model's own tokenizer makes them: ids, and which of them are trained."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from forge_gpu.errors import ForgeError, ValidationError
from forge_gpu.kernels.cpu.added_tokens import cut
from forge_gpu.kernels.cpu.token_rows import amiss, assemble, holds_any
from forge_gpu.kernels.layout import I64, U8, Text
from forge_gpu.kernels.token_layout import (
    CONTROL,
    GUARDED,
    PLAIN,
    WRONG_BYTES,
    WRONG_SIZE,
    AddedTokens,
    EncodedPieces,
    Pieces,
    Runs,
    Spelling,
    spelling,
)
from forge_gpu.plain import frozen, mutable
from forge_gpu.tokens.agreement import why_not_gigatoken
from forge_gpu.tokens.definition import Definition
from forge_gpu.tokens.differing import differing_points
from forge_gpu.tokens.encoders import Encoder, versions
from forge_gpu.tokens.loaded import Loaded
from forge_gpu.tokens.settings import Guard, layout_of

U32 = npt.NDArray[np.uint32]


@frozen
class Tokens:
    """The tokens of n rows. ids: uint32[t]; weights: uint8[t], 1 where trained; those of row i are
    offsets[i] ... offsets[i + 1] - 1. trained: int64[n], of each row. straddling: int64[n], trained tokens
    that begin before what is trained, or end behind it. guarded: int64[n], control tokens that a row's
    contents would have made."""

    ids: U32
    weights: U8
    offsets: I64
    trained: I64
    straddling: I64
    guarded: I64

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def taken(self, rows: I64, begin: I64 | None = None, stop: I64 | None = None) -> Tokens:
        """Some rows, in this order. begin, stop: int64[m], of each the range of its tokens that stays; None:
        all of them. What is counted of a row stays, but for what is trained."""
        first, size = self.offsets[rows], self.offsets[rows + 1] - self.offsets[rows]
        begin = np.zeros(len(rows), np.int64) if begin is None else begin
        stop = size if stop is None else stop
        offsets = np.concatenate(([0], np.cumsum(stop - begin)))
        at = np.arange(offsets[-1]) + np.repeat(first + begin - offsets[:-1], stop - begin)
        weights = self.weights[at]
        trained = np.concatenate(([0], np.cumsum(weights != 0)))
        return Tokens(
            self.ids[at],
            weights,
            offsets,
            trained[offsets[1:]] - trained[offsets[:-1]],
            self.straddling[rows],
            self.guarded[rows],
        )

    def followed_by(self, others: Tokens) -> Tokens:
        """These rows, and behind them others."""
        pairs = {
            name: np.concatenate((getattr(self, name), getattr(others, name)))
            for name in ("ids", "weights", "trained", "straddling", "guarded")
        }
        return Tokens(**pairs, offsets=np.concatenate((self.offsets, self.offsets[-1] + others.offsets[1:])))


@frozen
class TokenizerPlan:
    """What all threads share: the definition, what guards it, and which library encodes.

    why_slow: why gigatoken does not encode; None where it does. points: code points that are not gigatoken's.
    loaded: the libraries' objects.
    """

    definition: Definition
    guard: Guard
    added: AddedTokens
    why_slow: str | None
    points: U8
    loaded: Loaded

    @classmethod
    def of(cls, definition: Definition, guard: Guard) -> TokenizerPlan:
        """Raises ForgeError where a library is missing, or does not take the tokenizer."""
        why = why_not_gigatoken(definition)
        points = np.zeros(0, np.uint8) if why else differing_points()
        return cls(definition, guard, layout_of(definition, guard), why, points, Loaded(definition))

    @cached_property
    def guarded(self) -> npt.NDArray[np.bool_]:
        """bool[ids]: whether text may not become that id."""
        guarded = np.zeros(len(self.definition.spelling[1]) - 1, np.bool_)
        guarded[self.added.id[self.added.flags & GUARDED != 0]] = True
        if self.definition.unknown is not None:
            guarded[self.definition.unknown] = False
        return guarded

    @cached_property
    def spelled(self) -> Spelling:
        return spelling(*self.definition.spelling, self.guarded)

    @property
    def key(self) -> str:
        """What ids depend on beside texts."""
        named = ", ".join(f"{name} {version}" for name, version in versions().items())
        return f"{self.definition.digest}, {named}"


@mutable
class Tokenizer:
    """Belongs to one thread."""

    plan: TokenizerPlan
    by_library: dict[str, int] = field(default_factory=dict)
    """Texts that each library has encoded."""

    def __post_init__(self) -> None:
        self._spelled = self.plan.spelled
        self.plan.loaded.whole()  # loading takes memory for a moment: better before there are rows
        if self.plan.why_slow is None:
            with self.plan.loaded.gigatoken(first=True):
                pass

    def encode(self, texts: Text, literals: Runs, trained: Runs) -> Tokens:
        """The tokens of some rows. literals: what a template's own text wrote; trained: what is to be
        learned. Raises ValidationError where bytes are lost, ForgeError for a control token made of text."""
        pieces = cut(texts, literals, self.plan.added)
        if self.plan.definition.normalizes_added:
            pieces = self._uncut(texts, pieces)
        is_text = pieces.id == PLAIN
        start, stop = pieces.start[is_text], pieces.stop[is_text]
        first = self._is_first(texts, pieces)[is_text]
        whole = self._whole(pieces)[is_text]
        ids, begin, end = self._encode(texts.data, start, stop, first, whole)
        flags = amiss(
            texts.data, start, stop, ids, begin, end, self._spelled, self.plan.definition.has_prefix
        )
        given, bounds, count = np.full(len(start), -1, np.int64), [], 0
        for piece in np.flatnonzero(flags & (WRONG_BYTES | WRONG_SIZE | CONTROL)).tolist():
            own = ids[begin[piece] : end[piece]]
            if flags[piece] & CONTROL and not whole[piece]:
                raise self._control(own)
            text = texts.data[start[piece] : stop[piece]].tobytes().decode()
            at = self._bounds_by_library(text, own, bool(first[piece]), bool(whole[piece]))
            bounds.append(at + start[piece])
            given[piece], count = count, count + len(own)
        places = np.concatenate((np.zeros((2, 0), np.int64), *bounds), axis=1)
        encoded = EncodedPieces(ids, begin, end, flags, given, *places)
        made, weights, rows, counts, straddling = assemble(pieces, encoded, self._spelled.offsets, trained)
        return Tokens(made, weights, rows, counts, straddling, pieces.guarded)

    def check(self, texts: Text, tokens: Tokens, rows: Sequence[int]) -> None:
        """Compare some rows with what the library `tokenizers` makes of their whole texts. Raises
        ValidationError with the first difference."""
        for row in rows:
            if tokens.guarded[row]:
                continue
            text = texts.row(row).decode()
            expected = self.plan.loaded.whole().ids([text])[0]
            mine = tokens.ids[tokens.offsets[row] : tokens.offsets[row + 1]].tolist()
            if mine != expected:
                at = next(
                    (k for k, (a, b) in enumerate(zip(mine, expected, strict=False)) if a != b),
                    min(len(mine), len(expected)),
                )
                raise ValidationError(
                    f"token {at + 1} of a row is {mine[at : at + 1]}, and {expected[at : at + 1]} by the "
                    f"library tokenizers of {self.plan.definition.path}; please report this",
                    f": {text[:200]!r}",
                )

    def bytes_of(self, number: int) -> bytes:
        """What an id spells."""
        bounds = self._spelled.offsets
        return self._spelled.data[bounds[number] : bounds[number + 1]].tobytes()

    def _is_first(self, texts: Text, pieces: Pieces) -> npt.NDArray[np.bool_]:
        """bool[m]: whether a piece gets what is put before a row. All do, where it makes no difference."""
        if not self.plan.definition.begins_otherwise:
            return np.ones(len(pieces), np.bool_)
        rows = np.repeat(texts.offsets[:-1], np.diff(pieces.offsets))
        begins: npt.NDArray[np.bool_] = pieces.start == rows
        return begins

    def _whole(self, pieces: Pieces) -> npt.NDArray[np.bool_]:
        """bool[m]: pieces that are whole rows, for the library to cut itself."""
        if not self.plan.definition.normalizes_added:
            return np.zeros(len(pieces), np.bool_)
        return np.repeat(pieces.guarded == 0, np.diff(pieces.offsets))

    def _uncut(self, texts: Text, pieces: Pieces) -> Pieces:
        """Rows that nobody forged in one piece each: only the library knows where it looks for tokens."""
        counts = np.where(
            pieces.guarded == 0, (np.diff(texts.offsets) > 0).astype(np.int64), np.diff(pieces.offsets)
        )
        forged = np.repeat(pieces.guarded != 0, np.diff(pieces.offsets))
        offsets = np.concatenate(([0], np.cumsum(counts)))
        taken = np.repeat(pieces.guarded != 0, counts)
        whole = np.flatnonzero((pieces.guarded == 0) & (counts > 0))
        columns = {}
        ends = {"start": texts.offsets[:-1], "stop": texts.offsets[1:]}
        ends |= {"own_start": ends["start"], "own_stop": ends["stop"], "id": np.full(len(counts), PLAIN)}
        for name, of_row in ends.items():
            column = np.empty(len(taken), np.int64)
            column[taken], column[~taken] = getattr(pieces, name)[forged], of_row[whole]
            columns[name] = column
        return Pieces(offsets=offsets, guarded=pieces.guarded, **columns)

    def _encode(
        self, data: U8, start: I64, stop: I64, first: npt.NDArray[np.bool_], whole: npt.NDArray[np.bool_]
    ) -> tuple[U32, I64, I64]:
        """(the ids of pieces, each by the library that is right for it; where those of each begin; end)"""
        kinds = first.astype(np.uint8) | whole.astype(np.uint8) << 1
        if self.plan.why_slow is None:
            kinds |= holds_any(data, start, stop, self.plan.points) << 2
        made = [np.zeros(0, np.uint32)]
        begin, end, count = np.zeros(len(start), np.int64), np.zeros(len(start), np.int64), 0
        for kind in np.flatnonzero(np.bincount(kinds)).tolist():
            own = kinds == kind
            with self._encoder(bool(kind & 1), bool(kind & 2), bool(kind & 4)) as encoder:
                ids, offsets = encoder.encode(data, start[own], stop[own])
            begin[own], end[own] = count + offsets[:-1], count + offsets[1:]
            made.append(ids)
            count += len(ids)
            self.by_library[encoder.name] = self.by_library.get(encoder.name, 0) + len(offsets) - 1
        return made[1] if len(made) == 2 else np.concatenate(made), begin, end

    def _encoder(self, first: bool, whole: bool, differs: bool) -> AbstractContextManager[Encoder]:
        loaded = self.plan.loaded
        if whole:
            return nullcontext(loaded.whole())
        if differs or self.plan.why_slow is not None:
            return nullcontext(loaded.library(first))
        return loaded.gigatoken(first)

    def _bounds_by_library(self, text: str, ids: U32, first: bool, whole: bool) -> I64:
        """int64[2, t]: where each token of a piece begins and ends, in bytes, where the ids do not spell its
        bytes: a normalizer changed it, or an id is that of what is unknown."""
        library = self.plan.loaded.whole() if whole else self.plan.loaded.library(first)
        expected, offsets = library.with_offsets(text)
        if ids.tolist() != expected:
            raise ValidationError(
                f"a piece has other ids by the library tokenizers of {self.plan.definition.path}; please "
                "report this",
                f": {text[:200]!r}",
            )
        ends = np.zeros(len(text) + 1, np.int64)
        np.cumsum([len(character.encode()) for character in text], out=ends[1:])
        pairs = np.array(offsets, np.int64).reshape(-1, 2)
        bounds: I64 = ends[pairs.T]
        return bounds

    def _control(self, ids: U32) -> ForgeError:
        number = next(int(number) for number in ids if self.plan.guarded[number])
        content = next(token.content for token in self.plan.definition.added if token.id == number)
        return ForgeError(
            f"{self.plan.definition.path} makes the control token {content!r} of text alone; list it under "
            "tokens.allow to let it stand"
        )
