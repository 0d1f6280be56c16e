"""The lines that make a trainer take the output as it is, for whoever pastes them."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from ruamel.yaml import YAML

from forge_gpu.io.sinks.base import OutputPath
from forge_gpu.io.sinks.registry import OF_MESSAGES

LOADERS = {"jsonl": "json", "parquet": "parquet"}
"""How `datasets` names a format; others are of one trainer, of the same name."""

WRITTEN = {
    "bos": (
        "the texts begin with BOS {token}: encode them with add_special_tokens=False; for TRL, which adds "
        "it, set output.bos to strip"
    ),
    "eos": (
        "the texts end with EOS {token}: a tokenizer that adds it would write it twice; for TRL, which adds "
        "it where white space is behind it, set output.eos to strip"
    ),
}


def lines_for_trainers(manifest: dict[str, Any], folder: OutputPath) -> list[str]:
    """Of tokens, for each trainer that the plan names, TRL where it names none; of texts, what a tokenizer
    must not add to them, or has to.

    folder: where the output is, as it is told to people.
    """
    output = manifest["config"]["output"]
    if output["form"] != "tokens" and output["format"] not in OF_MESSAGES:
        return _of_texts(manifest)
    known = templates()
    train = [f"{folder}/{entry['file']}" for entry in manifest["outputs"] if entry["split"] == "train"]
    first = f"{folder}/{train[0].removeprefix(f'{folder}/').split('.', 1)[0]}"
    last = [name for name, kind in manifest["columns"].items() if kind in ("ids", "json")][-1]
    lines = []
    loader = LOADERS.get(output["format"])
    for trainer in (output["for"] or ["trl"]) if loader else [output["format"]]:
        template = known.get(f"{trainer} {last}", known[trainer])
        filled = template.format(loader=loader, train=json.dumps(train), first=first, folder=folder)
        lines += [f"for {trainer}:", *(f"  {line}" for line in filled.splitlines())]
    return lines


def templates() -> dict[str, str]:
    """What to write for a trainer, by its name; where it differs for the last column of ids, by both."""
    text = (files("forge_gpu.report") / "trainers.yaml").read_text(encoding="utf-8")
    known: dict[str, str] = YAML(typ="safe", pure=True).load(text)
    return known


def _of_texts(manifest: dict[str, Any]) -> list[str]:
    """Of those that the plan names: a folder that was prepared without them says nothing."""
    said = manifest.get("special_tokens", {})
    stripped = [
        f"{name.upper()} {entry['token']!r} was taken from the texts: the tokenizer must add it"
        for name, entry in said.items()
        if entry["stripped"]
    ]
    return stripped + [
        WRITTEN[name].format(token=repr(entry["token"])) for name, entry in said.items() if entry["in_texts"]
    ]
