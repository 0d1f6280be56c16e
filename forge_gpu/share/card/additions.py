"""What a tokenizer would add that the rows have already, or that nobody wants there."""

from __future__ import annotations

from itertools import islice

from forge_gpu.share.card.escape import code
from forge_gpu.share.prepared import Prepared

LOOKED_AT = 1000
"""Rows whose beginnings and ends are compared with the special tokens."""
BEGINNINGS, ENDS = ("text", "prompt"), ("text", "completion", "chosen", "rejected")


def additions(prepared: Prepared) -> list[str]:
    """Lines of Markdown."""
    form = prepared.config.output.form
    if form == "tokens":
        return [
            "`input_ids` and `labels` are complete: load them as they are, without a tokenizer, a template "
            "or a collator that writes labels anew."
        ]
    if form == "source":
        return ["The rows are records as they came: nothing was rendered."]
    special = prepared.config.model.special_tokens
    begin, end = special.get("bos_token"), special.get("eos_token")
    begins, ends = _share(prepared, begin, end)
    if begins is None and ends is None:
        return ["The rows are messages, and hold no control token: the trainer's own template writes them."]
    return [
        "The texts are rendered: encode them with `add_special_tokens=False`, and apply no chat template.",
        _line("BOS", "begin with", begin, begins),
        _line("EOS", "end with", end, ends),
    ]


def _share(prepared: Prepared, begin: str | None, end: str | None) -> tuple[bool | None, bool | None]:
    """Whether all rows that were looked at begin with one, and end with the other. None where the rows have
    no such column."""
    columns = prepared.manifest["columns"]
    first = [name for name in BEGINNINGS if columns.get(name) == "string"]
    last = [name for name in ENDS if columns.get(name) == "string"]
    begins = bool(begin) if first else None
    ends = bool(end) if last else None
    for split in prepared.splits.values():
        for batch in islice(split.iter_batches(LOOKED_AT), 1):
            for name in first:
                begins = begins and all(text.startswith(begin) for text in batch[name].to_pylist())
            for name in last:
                ends = ends and all(text.rstrip().endswith(end) for text in batch[name].to_pylist())
    return begins, ends


def _line(name: str, how: str, token: str | None, holds: bool | None) -> str:
    if token is None:
        return f"{name}: the plan names no such token, and the texts were given none of their own."
    if holds:
        return f"{name}: the texts {how} {code(token)} already; the tokenizer must not add it."
    return f"{name}: not every text is to {how} {code(token)}, for the template does not write it; add none."
