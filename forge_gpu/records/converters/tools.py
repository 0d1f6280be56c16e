"""A question, the calls that answer it, and the tools: xLAM's records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from forge_gpu.records.asked import Asked
from forge_gpu.records.converters.turns import list_in, text_in
from forge_gpu.records.refused import BadRecord

Taken = Mapping[str, Any]


def xlam(taken: Taken, asked: Asked) -> dict[str, Any]:
    """Calls and tools in the spelling of the OpenAI interface."""
    calls = list_in(taken["answers"], "the list of calls")
    if not all(isinstance(call, dict) and isinstance(call.get("name"), str) for call in calls):
        raise BadRecord("a call has no name")
    messages = [
        {"role": "user", "content": text_in(taken["query"], "the query")},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"type": "function", "function": call} for call in calls],
        },
    ]
    return {"messages": messages, "tools": [_tool(tool) for tool in list_in(taken["tools"], "the tools")]}


def _tool(tool: Any) -> Any:
    if not isinstance(tool, dict):
        raise BadRecord("a tool is not an object")
    return tool if "function" in tool else {"type": "function", "function": tool}
