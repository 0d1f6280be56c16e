"""From what stands in a record to a record that data.mapping reads: a small function a convention.

Each takes what a convention takes, name -> value, without what the record lacks, and returns a record, or a
list of them where the convention makes several rows of one. Raises BadRecord.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from forge_gpu.records.asked import Asked
from forge_gpu.records.converters import answers, choices, pairs, tools, trees, turns

Taken = Mapping[str, Any]
Converted = dict[str, Any] | list[dict[str, Any]]
Converter = Callable[[Taken, Asked], Converted]

CONVERTERS: dict[str, Converter] = {
    "alternating": turns.alternating,
    "answers": answers.answers,
    "contents": turns.contents,
    "exchanges": turns.exchanges,
    "history": turns.history,
    "instances": answers.instances,
    "multiple_choice": choices.multiple_choice,
    "pairs": turns.pairs,
    "prompt_completion": turns.prompt_completion,
    "reasoning": turns.reasoning,
    "scored_pair": pairs.scored_pair,
    "segments": turns.segments,
    "squad": choices.squad,
    "steps": answers.steps,
    "transcript": turns.transcript,
    "transcript_pair": pairs.transcript_pair,
    "tree": trees.tree,
    "turns": turns.turns,
    "winner": pairs.winner,
    "xlam": tools.xlam,
}
