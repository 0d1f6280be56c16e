"""Whether rendered texts have the tokens already that a tokenizer or a trainer would put around them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forge_gpu.config.schema import Config
from forge_gpu.io.sinks.registry import format_of
from forge_gpu.job.output.result import OutputFile
from forge_gpu.templates.forms import form_of

if TYPE_CHECKING:
    import pyarrow as pa

LOOKED_AT = 1000
"""Rows of a file whose beginnings and ends are compared with the special tokens."""
BEGINNINGS, ENDS = ("text", "prompt"), ("text", "completion", "chosen", "rejected")


def written_ends(
    columns: Mapping[str, str], batches: Iterable[pa.RecordBatch], bos: str | None, eos: str | None
) -> tuple[bool | None, bool | None]:
    """Whether all rows begin with one, and end with the other, white space aside. columns: as in the
    manifest. None where the rows have no such column."""
    first = [name for name in BEGINNINGS if columns.get(name) == "string"]
    last = [name for name in ENDS if columns.get(name) == "string"]
    begins = bool(bos) if first else None
    ends = bool(eos) if last else None
    for batch in batches:
        for name in first:
            begins = begins and all(text.startswith(bos) for text in batch[name].to_pylist())
        for name in last:
            ends = ends and all(text.rstrip().endswith(eos) for text in batch[name].to_pylist())
    return begins, ends


def section(
    config: Config, folder: Path, files: Sequence[OutputFile], columns: Mapping[str, str]
) -> dict[str, Any]:
    """What the manifest says of rendered texts, for each of the two tokens that the plan names: the token,
    whether the first texts to train on have it, and whether it was stripped of them."""
    form, special = form_of(config), config.model.special_tokens
    tokens = {name: special[f"{name}_token"] for name in ("bos", "eos") if special.get(f"{name}_token")}
    train = next((file.file for file in files if file.split == "train" and file.rows), None)
    if not tokens or not form.is_rendered or form.is_encoded or train is None:
        return {}
    first = islice(format_of(config.output.format).batches(folder / train, columns, LOOKED_AT), 1)
    ends = written_ends(columns, first, tokens.get("bos"), tokens.get("eos"))
    has = dict(zip(("bos", "eos"), ends, strict=True))
    return {
        "special_tokens": {
            name: {
                "token": token,
                "in_texts": has[name],
                "stripped": getattr(config.output, name) == "strip",
            }
            for name, token in tokens.items()
        }
    }
