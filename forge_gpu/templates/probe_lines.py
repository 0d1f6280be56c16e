"""What probes found of a chat template, in words: `forge plan` and `forge template show` print them."""

from __future__ import annotations

from forge_gpu.templates.probes import Probes


def probe_lines(found: Probes) -> list[str]:
    """The probes, one a line."""
    if found.refuses is not None:
        return [f"refuses a question and its answer: {found.refuses}"]
    system = {"written": "takes a system message", "dropped": "drops a system message"}
    ends = " or ".join(map(repr, found.end_of_turn or ()))
    return [
        "writes BOS itself: the tokenizer must not add another"
        if found.writes_bos
        else "writes no BOS: the tokenizer has to",
        system.get(found.system or "", "refuses a system message"),
        "takes tools" if found.takes_tools else "takes no tools",
        "enforces that user and assistant alternate"
        if found.enforces_alternation
        else "lets user and assistant follow in any order",
        f"ends the assistant's turn with {ends}" if ends else "writes no end of turn after the assistant",
        "marks what the assistant wrote with generation tags"
        if found.generation_tags
        else "has no generation tags: spans are found by the turns that it writes",
        "prefix-preserving: later turns leave the text of earlier ones as it was"
        if found.prefix_preserving
        else "not prefix-preserving: later turns change the text of earlier ones",
        *(["drops the thinking of earlier turns"] if found.drops_earlier_thinking else []),
        *(["writes the date: model.date is part of the output"] if found.depends_on_date else []),
    ]
