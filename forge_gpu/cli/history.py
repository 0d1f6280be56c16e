"""`forge history`: the runs on this machine."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from forge_gpu.cli.usage import whole_number


def history(
    limit: Annotated[
        int, typer.Option(metavar="N", parser=whole_number, help="Show the last so many runs.")
    ] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print a line of JSON for each.")] = False,
) -> None:
    """List the runs of forge prepare on this machine: when, command, outcome, seconds.

    They are kept in a file of yours alone, and are sent nowhere.
    """
    from forge_gpu.report.history import history_file, read_history

    runs = read_history()[-limit:]
    if as_json:
        import orjson

        for run in runs:
            print(orjson.dumps(run).decode())
        return
    for run in runs:
        print("\n".join(_lines(run)))
    if not runs:
        print(f"no runs yet: {history_file()} has none")


def _lines(run: dict[str, Any]) -> list[str]:
    rows = sum(run.get("counts", {}).values())
    counted = f", {rows:,} rows" if rows else ""
    lines = [
        f"{run['time']}  {run['outcome']} in {run.get('seconds', 0):.1f} s{counted}",
        f"  {' '.join(run['command'])}  (in {run.get('folder')})",
    ]
    if run.get("settings"):
        lines.append(f"  changed: {', '.join(run['settings'])}")
    if run.get("error"):
        lines.append(f"  {run['error']}")
    return ["".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line) for line in lines]
