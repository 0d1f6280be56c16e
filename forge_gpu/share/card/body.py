"""What a card says to people: how the data was made, and what was left out, and why."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from forge_gpu.audit.manifest import IN_SPLITS, REJECTED
from forge_gpu.io.secrets import public
from forge_gpu.report.meanings import meanings
from forge_gpu.share.card.additions import additions
from forge_gpu.share.card.escape import cell, code
from forge_gpu.share.prepared import Prepared

MARK = "<!-- made by Forge: it writes this file anew; remove this line to keep changes of your own -->"
MOST_INPUTS = 50
TYPES = {"json": "JSON", "ids": "list of int32", "double": "float64"}


def card_text(prepared: Prepared, yaml: str, license: str | None) -> str:
    """The whole of README.md."""
    environment = Environment(
        loader=PackageLoader("forge_gpu.share.card", ""),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # it is Markdown: every text from elsewhere goes through code or cell
    )
    environment.filters |= {"code": code, "cell": cell}
    return environment.get_template("card.md.jinja").render(_facts(prepared, yaml, license))


def _facts(prepared: Prepared, yaml: str, license: str | None) -> dict[str, Any]:
    manifest, config = prepared.manifest, prepared.config
    goal = prepared.settings_of_run.get("goal")
    return {
        "yaml": yaml,
        "mark": MARK,
        "title": code(prepared.folder.resolve().name),
        "forge": code(manifest["forge"]),
        "goal": public(str(goal)) if goal else None,
        "model": config.model.name,
        "license": license,
        "rows": f"{sum(split.rows for split in prepared.splits.values()):,}",
        "splits": [_split(split, files) for split, files in prepared.split_files.items()],
        "columns": [
            {"name": column, "type": TYPES.get(kind, kind)} for column, kind in manifest["columns"].items()
        ],
        "adds": additions(prepared),
        "made": _made(prepared),
        "inputs": _inputs(manifest),
        "left_out": _left_out(manifest),
        "warned": ", ".join(
            f"{rows:,} {reason} ({meanings()['reasons'].get(reason, reason)})"
            for reason, rows in _known(manifest.get("warned"), "reasons").items()
        ),
    }


def _split(split: str, files: list[Any]) -> dict[str, str]:
    names = cell(files[0].file) if len(files) == 1 else f"{len(files):,} from {cell(files[0].file)} on"
    return {
        "name": split,
        "rows": f"{sum(file.rows for file in files):,}",
        "bytes": f"{sum(file.bytes for file in files):,}",
        "files": names,
    }


def _made(prepared: Prepared) -> list[tuple[str, str]]:
    """What the output depends on, in a few lines; the whole of it is in manifest.json."""
    config, template = prepared.config, prepared.manifest["template"]
    settings = config.preprocessing
    lines = [
        ("form", code(config.output.form)),
        ("shape of the input", code(config.data.mapping.shape)),
        ("template", _template(template, config.model.chat_template)),
        ("exact duplicates", "removed" if settings.dedup.exact else "left in"),
    ]
    if settings.dedup.near is not None:
        near = settings.dedup.near
        lines.append(("near-duplicates", f"{near.action} from a Jaccard similarity of {near.threshold} on"))
    if "against" in prepared.manifest:
        lines.append(("contamination", "rows near or equal to those of evaluation files are left out"))
    if config.data.transform.script:
        lines.append(("transform", "a script of the plan's was run over every row"))
    strata = settings.split.strata
    by = f", stratified by {', '.join(map(cell, strata))}" if strata else ""
    grouped = f", rows of one {cell(settings.split.group)} together" if settings.split.group else ""
    lines += [
        ("split", f"{settings.split.mode}, seed {settings.seed}{by}{grouped}"),
        ("order", config.output.order),
    ]
    return lines


def _template(template: dict[str, Any], named: str | None) -> str:
    kind, digest = template.get("kind"), template.get("sha256")
    if kind == "none":
        return "none"
    shown = cell(named) if kind in ("builtin", "format") and named else cell(kind)
    return f"{shown}, SHA-256 {cell(digest)}" if digest else shown


def _inputs(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Files by their own names, for folders are the preparer's business; of many the largest."""
    entries = sorted(manifest["inputs"], key=lambda entry: -entry["rows"])
    shown = [
        {"name": PurePosixPath(public(entry["path"])).name or "?", "rows": f"{entry['rows']:,}"}
        for entry in entries[:MOST_INPUTS]
    ]
    rest = entries[MOST_INPUTS:]
    if rest:
        rows = sum(entry["rows"] for entry in rest)
        shown.append({"name": f"{len(rest):,} more files", "rows": f"{rows:,}"})
    return shown


def _left_out(manifest: dict[str, Any]) -> list[dict[str, str]]:
    """A line for each fate, and of rejected rows for each reason."""
    known = meanings()
    lines = [
        {"rows": f"{rows:,}", "fate": fate, "why": known["fates"].get(fate, "")}
        for fate, rows in _known(manifest["counts"], "fates").items()
        if fate not in IN_SPLITS and fate != REJECTED
    ]
    for reason, rows in sorted(_known(manifest["rejected"], "reasons").items(), key=lambda item: -item[1]):
        why = f"{reason}: {known['reasons'].get(reason, '')}".removesuffix(": ")
        lines.append({"rows": f"{rows:,}", "fate": REJECTED, "why": why})
    return lines


def _known(counts: Any, of: str) -> dict[str, int]:
    """Counts above zero, of the words that this version knows: a manifest may be anyone's."""
    counts = counts if isinstance(counts, dict) else {}
    return {word: rows for word, rows in counts.items() if rows and word in meanings()[of]}
