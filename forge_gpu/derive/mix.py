"""A mixture of prepared folders: an index of their lines. Nothing of them is copied."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from forge_gpu._version import __version__
from forge_gpu.derive.lengths import tokens_of_lines
from forge_gpu.errors import ConfigError, InputError, OutputError
from forge_gpu.io.atomic import make_folder, replacing, write_atomic
from forge_gpu.io.disk import faults_of
from forge_gpu.job.output.result import MANIFEST
from forge_gpu.kernels.layout import I64
from forge_gpu.loading.mixture import INDEX, MIXTURE, SPLIT, digest_of, is_mixture
from forge_gpu.loading.opened import require_tokens
from forge_gpu.share.prepared import Prepared, open_prepared
from forge_gpu.split.mixer import Stream
from forge_gpu.split.mixer import mix as mixed


def mix(
    folders: Sequence[str | Path],
    output: str | Path,
    *,
    weights: Sequence[float] | None = None,
    tokens: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Write a folder that `forge_gpu.open` opens: the train lines of several folders, mixed.

    folders: prepared folders of tokens. output: the folder to write, which must not hold a prepared one.
    weights: the share of each folder in the tokens, of any sum; the tokens that each has if None. tokens: of
    the mixture. A folder that has too few is repeated: whole passes, and then some lines of the next one,
    the first by a hash with `seed`, as many as do not exceed its share. Without `tokens` the mixture is the
    largest one in which no line occurs twice.

    Returns the mixture's manifest. Raises ForgeError.
    """
    sources = [_open(folder) for folder in folders]
    _require_alike(sources)
    lengths = [tokens_of_lines(source, SPLIT) for source in sources]
    shares = _shares(folders, [int(own.sum()) for own in lengths], weights, tokens)
    taken = [
        _take(own, share, seed, number)
        for number, (own, share) in enumerate(zip(lengths, shares, strict=True))
    ]
    target = Path(output)
    if (target / MANIFEST).exists():
        raise OutputError(f"{target}: holds a prepared folder already; name another folder for the mixture")
    make_folder(target)
    with faults_of(target):
        (target / MIXTURE).unlink(missing_ok=True)  # what is there without it is not whole
        with replacing(target / INDEX) as partial, partial.open("wb") as file:
            for number, lines in enumerate(taken):
                index = np.empty((len(lines), 2), "<u4")
                index[:, 0], index[:, 1] = number, lines
                file.write(index.data)
        document = _manifest(sources, lengths, taken, weights, tokens, seed, target)
        write_atomic(target / MIXTURE, orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n")
    return document


def _open(folder: str | Path) -> Prepared:
    if is_mixture(folder):
        raise InputError(f"{folder}: is a mixture already: name the folders that it is of")
    prepared = open_prepared(folder)
    require_tokens(prepared)
    if SPLIT not in prepared.splits:
        raise InputError(f"{folder}: has no rows to train on; leave it out")
    return prepared


def _require_alike(sources: Sequence[Prepared]) -> None:
    """Raises InputError where ids of one are not ids of another."""
    if not sources:
        raise ConfigError("name the folders to mix")
    first = sources[0]
    for other in sources[1:]:
        said = [source.manifest["tokens"]["tokenizer_sha256"] for source in (first, other)]
        if said[0] != said[1]:
            raise InputError(
                f"{other.folder}: its tokens are of another tokenizer than those of {first.folder}: prepare "
                "both with one"
            )
        if ("labels" in other.manifest["columns"]) != ("labels" in first.manifest["columns"]):
            raise InputError(
                f"{other.folder}: one of it and {first.folder} has labels, and the other trains every token: "
                "prepare both alike"
            )


def _shares(
    folders: Sequence[str | Path], there: list[int], weights: Sequence[float] | None, tokens: int | None
) -> list[int]:
    """The tokens of each source, exactly rounded down. Raises ConfigError."""
    if weights is not None and len(weights) != len(there):
        raise ConfigError(f"{len(weights)} weights for {len(there)} folders: give each one")
    if tokens is not None and tokens < 1:
        raise ConfigError(f"tokens is {tokens}: a mixture has at least one")
    given = there if weights is None else weights
    if not all(0 <= weight < float("inf") for weight in given) or not any(given):
        raise ConfigError(f"weights are numbers of 0 or more, and at least one is above 0: {list(given)}")
    exact = [Fraction(str(weight)) for weight in given]
    for folder, count, weight in zip(folders, there, exact, strict=True):
        if weight and not count:
            raise InputError(f"{folder}: has no tokens to train on; leave it out, or give it the weight 0")
    if tokens is None:
        largest = min(Fraction(count) / weight for count, weight in zip(there, exact, strict=True) if weight)
        return [int(largest * weight) for weight in exact]
    return [int(tokens * weight / sum(exact)) for weight in exact]


def _take(lengths: I64, share: int, seed: int, source: int) -> I64:
    """Lines of at most `share` tokens: whole passes, then the first of the next by seeded hash."""
    total, count = int(lengths.sum()), len(lengths)
    if not share:
        return np.zeros(0, np.int64)
    passes, rest = divmod(share, total)
    keys = np.empty((count, 2), np.uint64)
    keys[:, 0], keys[:, 1] = np.arange(count, dtype=np.uint64), source
    order = np.argsort(mixed(keys, seed, Stream.SAMPLE))
    some = order[: int(np.searchsorted(np.cumsum(lengths[order]), rest, side="right"))]
    return np.concatenate([np.tile(np.arange(count), passes), np.sort(some)])


def _manifest(
    sources: Sequence[Prepared],
    lengths: Sequence[I64],
    taken: Sequence[I64],
    weights: Sequence[float] | None,
    tokens: int | None,
    seed: int,
    target: Path,
) -> dict[str, Any]:
    used = [int(own[lines].sum()) for own, lines in zip(lengths, taken, strict=True)]
    entries = [
        {
            "folder": _path_from(target, source.folder),
            "manifest_sha256": digest_of(source),
            "weight": None if weights is None else weights[number],
            "lines": len(lengths[number]),
            "tokens": int(lengths[number].sum()),
            "taken": {"lines": len(taken[number]), "tokens": used[number]},
            "share": used[number] / max(sum(used), 1),
            "passes": used[number] / max(int(lengths[number].sum()), 1),
        }
        for number, source in enumerate(sources)
    ]
    return {
        "forge": __version__,
        "tokens_asked": tokens,
        "seed": seed,
        "lines": sum(map(len, taken)),
        "tokens": sum(used),
        "sources": entries,
    }


def _path_from(target: Path, folder: Path) -> str:
    """Beside each other they may be moved together."""
    try:
        return str(folder.resolve().relative_to(target.resolve().parent))
    except ValueError:
        return str(folder.resolve())
