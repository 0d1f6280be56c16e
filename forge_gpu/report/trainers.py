"""The lines that make a trainer take the output as it is, for whoever pastes them."""

from __future__ import annotations

import json
from importlib.resources import files
from itertools import islice
from typing import Any

from ruamel.yaml import YAML

from forge_gpu.io.sinks.base import OutputPath
from forge_gpu.io.sinks.registry import format_of
from forge_gpu.report.written_ends import LOOKED_AT, written_ends

LOADERS = {"jsonl": "json", "parquet": "parquet"}
"""How `datasets` names a format; others are of one trainer, of the same name."""


def lines_for_trainers(manifest: dict[str, Any], folder: OutputPath) -> list[str]:
    """Of tokens, for each trainer that the plan names, TRL where it names none; of texts, what a tokenizer
    must not add to them, or has to.

    folder: where the output is, as it is told to people.
    """
    output = manifest["config"]["output"]
    if output["form"] != "tokens":
        return _of_texts(manifest, folder)
    text = (files("forge_gpu.report") / "trainers.yaml").read_text(encoding="utf-8")
    known = YAML(typ="safe", pure=True).load(text)
    train = [f"{folder}/{entry['file']}" for entry in manifest["outputs"] if entry["split"] == "train"]
    first = f"{folder}/{train[0].removeprefix(f'{folder}/').split('.', 1)[0]}"
    lines = []
    loader = LOADERS.get(output["format"])
    for trainer in (output["for"] or ["trl"]) if loader else [output["format"]]:
        columns = (f"{trainer} {column}" for column in manifest["columns"])
        template = known[next((name for name in columns if name in known), trainer)]
        filled = template.format(loader=loader, train=json.dumps(train), first=first, folder=folder)
        lines += [f"for {trainer}:", *(f"  {line}" for line in filled.splitlines())]
    return lines


def _of_texts(manifest: dict[str, Any], folder: OutputPath) -> list[str]:
    """Read from the first rows that are there to train on."""
    config = manifest["config"]
    output, special = config["output"], config["model"]["special_tokens"]
    bos, eos = special.get("bos_token"), special.get("eos_token")
    train = [entry["file"] for entry in manifest["outputs"] if entry["split"] == "train" and entry["rows"]]
    if not train or not (bos or eos):
        return []
    path, columns = folder / train[0], manifest["columns"]
    first = islice(format_of(output["format"]).batches(path, columns, LOOKED_AT), 1)
    begins, ends = written_ends(columns, first, bos, eos)
    lines = [
        f"{name.upper()} {token!r} was taken from the texts: the tokenizer must add it"
        for name, token in (("bos", bos), ("eos", eos))
        if token and output.get(name) == "strip"
    ]
    if begins:
        lines.append(
            f"the texts begin with BOS {bos!r}: encode them with add_special_tokens=False; for TRL, which "
            "adds it, set output.bos to strip"
        )
    if ends:
        lines.append(
            f"the texts end with EOS {eos!r}: a tokenizer that adds it would write it twice; for TRL, which "
            "adds it where white space is behind it, set output.eos to strip"
        )
    return lines
