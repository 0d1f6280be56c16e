"""The end of `forge prepare`, told to a person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from forge_gpu.io.disk import size_text
from forge_gpu.job.decide.mixture import lacking_repeats
from forge_gpu.job.output.result import PAGE, Result
from forge_gpu.quality.checks import CHARACTERS_A_TOKEN
from forge_gpu.report.trainers import lines_for_trainers

WAYS = {
    "compiled": "by compiled programs",
    "evaluated": "by programs evaluated one by one",
    "row_wise": "by Jinja, one by one",
    "refused": "refused",
}


def show(result: Result, verbose: bool = False) -> None:
    """Print what became of the rows, how they look, where the files are, and what comes next."""
    manifest = result.manifest
    seconds = manifest["run"]["seconds"]
    if result.was_finished:
        print(f"{result.output}: already prepared, and nothing changed since")
    total = sum(result.counts.values())
    made = f", which became {total:,}" if total != manifest["rows"] else ""
    print(f"{_rows(manifest['rows'])}{made}:")
    for fate, count in result.counts.items():
        if count or fate in ("train", "validation"):
            share = 100 * count / max(total, 1)
            print(f"  {fate:15}{count:>12,}  {share:5.1f}%{_reasons(manifest) if fate == 'rejected' else ''}")
    if manifest["warned"]:
        print(
            "  warned of: " + ", ".join(f"{count:,} {reason}" for reason, count in manifest["warned"].items())
        )
    render_paths = {WAYS[path]: rows for path, rows in manifest["run"]["template_rows"].items() if rows}
    if render_paths:
        print("  template: " + ", ".join(f"{_rows(rows)} {path}" for path, rows in render_paths.items()))
    lengths = _lengths(result)
    if lengths:
        print(f"  {lengths}")
    for output in manifest["outputs"]:
        # A file that only goes with another one, as an index does, has no rows of its own.
        own = output["rows"] or not result.counts[output["split"]]
        rows = f"{_rows(output['rows'])}, " if own else ""
        print(f"  {result.output / output['file']}  {rows}{size_text(output['bytes'])}")
    if not result.was_finished:
        size = sum(entry["bytes"] or 0 for entry in manifest["inputs"])
        print(
            f"{seconds:.2f} s for {size_text(size)} of input, "
            f"peak memory {result.peak_memory / 2**20:,.0f} MiB"
        )
        for line in engine_lines(manifest["run"], verbose):
            print(line)
    for line in token_lines(manifest):
        print(line)
    for line in lines_for_trainers(manifest, result.output):
        print(line)
    print("Preprocessing complete")
    print(f"next: {_next_step(result)}")


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def _next_step(result: Result) -> str:
    page = result.output / PAGE
    if isinstance(page, Path) and page.exists():
        return f"open {page}"
    files = [entry["file"] for entry in result.manifest["outputs"] if entry["split"] == "train"]
    return f"train on {result.output / files[0]}" if files else f"look at {result.output}"


def token_lines(manifest: dict[str, Any]) -> list[str]:
    """How many tokens there are, and what was done with control tokens in contents."""
    tokens = manifest.get("tokens")
    if tokens is None:
        return []
    share = 100 * tokens["trained"] / max(tokens["tokens"], 1)
    lines = [f"{tokens['tokens']:,} tokens, {tokens['trained']:,} of them trained ({share:.1f}%)"]
    lost = [f"{tokens[key]:,} {key}" for key in ("cut", "dropped") if tokens[key]]
    if lost:
        lines.append(f"of {tokens['in']:,} tokens in all: {', '.join(lost)}")
    if tokens.get("repeated"):
        lines.append(f"{tokens['repeated']:,} tokens are of rows that come again:")
        for entry in manifest["mixture"]:
            lines.append(f"  {entry['written']:,} lines of {entry['used']:,} rows of {entry['input']}")
    for path, repeats in lacking_repeats(manifest).items():
        lines.append(
            f"{path} has too little for its share; with data.repeats {repeats:,} of it no row of the other "
            "inputs would be left out"
        )
    if tokens["control_text"]:
        treated = manifest["config"]["tokens"]["control_text"]
        done = "are control tokens" if treated == "keep" else "stay text"
        lines.append(
            f"{tokens['control_text']:,} control tokens that contents of "
            f"{tokens['rows_with_control_text']:,} rows spell {done}"
        )
    return lines


def _reasons(manifest: dict[str, Any]) -> str:
    return "  (" + ", ".join(f"{count:,} {reason}" for reason, count in manifest["rejected"].items()) + ")"


def _lengths(result: Result) -> str | None:
    """How long the rows to train on are; None where that was not counted, or the ledger is not here."""
    if not isinstance(result.ledger_path, Path):
        return None
    from forge_gpu.report.measure import UNITS, measure

    lengths = measure(result.ledger_path, counted=("fate", *UNITS)).lengths
    unit = next((unit for unit in UNITS if unit in lengths), None)
    train = lengths[unit].get("train") if unit is not None else None
    if train is None or not train.rows:
        return None
    line = f"train: half of the rows below {train.at(0.5):,} {unit}, 95% below {train.at(0.95):,}"
    tokens = result.manifest["config"]["model"]["max_length"]
    if tokens is None:
        return line
    is_exact = unit == "tokens"
    over = train.above(tokens if is_exact else tokens * CHARACTERS_A_TOKEN)
    share = f"{over:,} ({100 * over / train.rows:.1f}%)" if over else "none"
    return f"{line}; {share} {'over' if is_exact else 'likely over'} {tokens:,} tokens"


def engine_lines(run: dict[str, Any], verbose: bool = False) -> list[str]:
    """Why the engine was chosen, and how a GPU did. run: the section of the manifest."""
    reason = run["engine_reason"]
    if "no GPU: " in reason and not verbose:
        reason = "no GPU: CPU engine ('forge doctor' tells why)"
    lines = [reason if reason.startswith("no GPU") else f"engine: {reason}"]
    where = run["surroundings"]
    if where:
        lines.append(f"container: {where['image']} ({where['digest']}) by {where['container_engine']}")
    for gpu in run["gpus"]:
        peak = f"peak {size_text(gpu['peak'])} of the {size_text(gpu['pool'])} it may take"
        lines.append(f"  GPU {gpu['gpu']}: {peak}")
    if run["gpus"]:
        lines.append(
            f"  {run['chunks']:,} chunks, {run['halvings']:,} halvings, "
            f"{run['rows_on_cpu']:,} rows that fit on no GPU were done by the CPU engine"
        )
    if run["fell_back"]:
        lines.append(f"  the GPU was given up, and the CPU engine went on: {run['fell_back']}")
    return lines
