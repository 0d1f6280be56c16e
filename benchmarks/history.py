"""What each version reached: a small file a version, and the picture of them all.

Machines differ from version to version, so what is kept and drawn is how many times as long others took in
the same run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from math import log10
from pathlib import Path

import orjson

from benchmarks.gates import Gate
from benchmarks.report import OURS
from benchmarks.results import Results, ratio

FOLDER = Path(__file__).parent / "versions"

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 50, 250, 20, 40
"""Margins of the picture, in pixels; the right one has the names."""
LINE = 15
"""Pixels from name to name, at least."""
MARKS = (0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True)
class Version:
    """times: by case and contender, how many times as long as Forge it took; the least of a case's points."""

    version: str
    commit: str
    date: str
    processor: str
    times: Mapping[str, Mapping[str, float]]


def of(results: Results, version: str) -> Version:
    times: dict[str, dict[str, float]] = {}
    for case in results.cases:
        least: dict[str, float] = {}
        for point in case.points:
            ours = point.outcome(OURS)
            for other in point.outcomes:
                if ours is not None and other is not ours and other.seconds:
                    least[other.contender] = min(ratio(other, ours), least.get(other.contender, 1e9))
        times[case.name] = {name: round(times_ours, 3) for name, times_ours in least.items()}
    machine = results.machine
    return Version(version, str(machine["commit"]), results.started[:10], machine["processor"], times)


def save(version: Version, folder: Path = FOLDER) -> None:
    folder.mkdir(exist_ok=True)
    path = folder / f"{version.version}.json"
    path.write_bytes(orjson.dumps(asdict(version), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def load(folder: Path = FOLDER) -> list[Version]:
    """All versions, oldest first."""
    held = [Version(**orjson.loads(path.read_bytes())) for path in folder.glob("*.json")]
    return sorted(held, key=lambda version: [int(part) for part in version.version.split(".")])


def picture(versions: list[Version], gates: Iterable[Gate]) -> str:
    """An SVG: a line for each gate of ours over the versions that measured it, by a logarithmic scale."""
    lines = []
    for gate in gates:
        reached = [(n, v.times.get(gate.case, {}).get(gate.against)) for n, v in enumerate(versions)]
        points = [(n, times) for n, times in reached if times is not None]
        if gate.ours == OURS and points:
            lines.append((f"{gate.case}: {gate.against}, {points[-1][1]:.1f}×", points))
    lines.sort(key=lambda line: -line[1][-1][1])
    span = max(len(versions) - 1, 1)

    def x(number: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * number / span

    def y(times: float) -> float:
        return (
            HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * log10(times / MARKS[0]) / log10(MARKS[-1] / MARKS[0])
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12"><title>How many times as long as Forge others take, by version of Forge</title>'
        "<style>text{fill:#57606a}.grid{stroke:#8c959f;stroke-opacity:.3}"
        ".line{fill:none;stroke:#0969da;stroke-width:1.5}.dot{fill:#0969da}"
        "@media(prefers-color-scheme:dark){text{fill:#9da7b3}.line{stroke:#58a6ff}.dot{fill:#58a6ff}}</style>"
    ]
    for mark in MARKS:
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(mark):.1f}" y2="{y(mark):.1f}"/>'
        )
        parts.append(f'<text x="{LEFT - 8}" y="{y(mark) + 4:.1f}" text-anchor="end">{mark:g}×</text>')
    for number, version in enumerate(versions):
        parts.append(
            f'<text x="{x(number):.1f}" y="{HEIGHT - 16}" text-anchor="middle">{version.version}</text>'
        )
    below = 0.0
    for name, points in lines:
        places = [(x(number), y(times)) for number, times in points]
        parts.append(
            '<polyline class="line" points="' + " ".join(f"{a:.1f},{b:.1f}" for a, b in places) + '"/>'
        )
        parts += [f'<circle class="dot" cx="{a:.1f}" cy="{b:.1f}" r="2.5"/>' for a, b in places]
        below = max(places[-1][1], below + LINE)
        parts.append(f'<text x="{WIDTH - RIGHT + 12}" y="{below + 4:.1f}">{name}</text>')
    return "\n".join([*parts, "</svg>\n"])
