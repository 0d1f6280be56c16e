"""The lines that make a trainer take tokens as they are, for whoever pastes them."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from ruamel.yaml import YAML

LOADERS = {"jsonl": "json", "parquet": "parquet"}
"""How `datasets` names a format; others are of one trainer, of the same name."""


def lines_for_trainers(manifest: dict[str, Any], folder: object) -> list[str]:
    """Of each trainer that the plan names, TRL where it names none; [] where the output has no tokens.

    folder: where the output is, as it is told to people.
    """
    output = manifest["config"]["output"]
    if output["form"] != "tokens":
        return []
    text = (files("forge_gpu.report") / "trainers.yaml").read_text(encoding="utf-8")
    known = YAML(typ="safe", pure=True).load(text)
    train = [f"{folder}/{entry['file']}" for entry in manifest["outputs"] if entry["split"] == "train"]
    lines = []
    loader = LOADERS.get(output["format"])
    for trainer in (output["for"] or ["trl"]) if loader else [output["format"]]:
        filled = known[trainer].format(
            loader=loader, train=json.dumps(train), first=train[0].rsplit(".", 1)[0], folder=folder
        )
        lines += [f"for {trainer}:", *(f"  {line}" for line in filled.splitlines())]
    return lines
