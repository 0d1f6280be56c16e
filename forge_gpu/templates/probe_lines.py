"""What probes found of a chat template, in words: `forge plan` and `forge template show` print them."""

from __future__ import annotations

from forge_gpu.templates.probes import Probes


def probe_lines(probes: Probes) -> list[str]:
    """The probes, one a line."""
    if probes.refuses is not None:
        return [f"refuses a question and its answer: {probes.refuses}"]
    system = {"written": "takes a system message", "dropped": "drops a system message"}
    ends = " or ".join(map(repr, probes.end_of_turn or ()))
    return [
        "writes BOS itself: the tokenizer must not add another"
        if probes.writes_bos
        else "writes no BOS: the tokenizer has to",
        system.get(probes.system or "", "refuses a system message"),
        "takes tools" if probes.takes_tools else "takes no tools",
        "enforces that user and assistant alternate"
        if probes.enforces_alternation
        else "lets user and assistant follow in any order",
        f"ends the assistant's turn with {ends}" if ends else "writes no end of turn after the assistant",
        "marks what the assistant wrote with generation tags"
        if probes.generation_tags
        else "has no generation tags: spans are found by the turns that it writes",
        "prefix-preserving: later turns leave the text of earlier ones as it was"
        if probes.prefix_preserving
        else "not prefix-preserving: later turns change the text of earlier ones",
        *(["drops the thinking of earlier turns"] if probes.drops_earlier_thinking else []),
        *(["writes the date: model.date is part of the output"] if probes.depends_on_date else []),
    ]
