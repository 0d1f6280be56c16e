"""What a tokenizer would add that the rows have already, or that nobody wants there."""

from __future__ import annotations

from itertools import chain, islice

from forge_gpu.job.output.written_ends import LOOKED_AT, written_ends
from forge_gpu.share.card.escape import code
from forge_gpu.share.prepared import Prepared


def additions(prepared: Prepared) -> list[str]:
    """Lines of Markdown."""
    output = prepared.config.output
    form = output.form
    if form == "tokens":
        named = [code(name) for name, kind in prepared.manifest["columns"].items() if kind == "ids"]
        return [
            f"{', '.join(named)}: complete. Load them as they are, without a tokenizer, a template or a "
            "collator that writes labels anew."
        ]
    if form == "source":
        return ["The rows are records as they came: nothing was rendered."]
    special = prepared.config.model.special_tokens
    begin, end = special.get("bos_token"), special.get("eos_token")
    first = (islice(split.iter_batches(LOOKED_AT), 1) for split in prepared.splits.values())
    begins, ends = written_ends(prepared.manifest["columns"], chain.from_iterable(first), begin, end)
    if begins is None and ends is None:
        return ["The rows are messages, and hold no control token: the trainer's own template writes them."]
    return [
        "The texts are rendered: apply no chat template, and let the tokenizer add only what is said here.",
        _line("BOS", "begin with", begin, begins, output.bos == "strip"),
        _line("EOS", "end with", end, ends, output.eos == "strip"),
    ]


def _line(name: str, how: str, token: str | None, holds: bool | None, is_stripped: bool) -> str:
    if token is not None and is_stripped:
        return f"{name}: {code(token)} was taken from the texts; the tokenizer must add it."
    if token is None:
        return f"{name}: the plan names no such token, and the texts were given none of their own."
    if holds:
        return f"{name}: the texts {how} {code(token)} already; the tokenizer must not add it."
    return f"{name}: not every text is to {how} {code(token)}, for the template does not write it; add none."
