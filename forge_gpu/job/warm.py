"""Compiling every kernel that a job uses, by running small jobs through all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson

from forge_gpu.config.schema import Config
from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.hardware.budget import Budget
from forge_gpu.io.spool import never
from forge_gpu.job.prepare import prepare
from forge_gpu.job.state.spec import JobSpec
from forge_gpu.kernels.cache import CHECKED, cache_folder
from forge_gpu.kernels.compiled import LIBRARY

_FLAT = {"shape": "flat", "query": "q", "response": "r", "label": "c"}
_CHAT = {"shape": "conversation", "messages": "messages"}
_SETTINGS = {"split": {"stratify": "c"}}
_GROUPS = {"split": {"group": "c"}, "dedup": {"near": {"action": "group"}}}
_CHATML = {"chat_template": "chatml", "template_kind": "builtin"}
_JINJA = {  # what a template can do to a text
    "template_kind": "jinja",
    "chat_template": "{% for m in messages %}{% set c = m['content'] | trim %}"
    "{% if c.startswith('a') and 'b' not in c and c | length > 1 %}{{ c }}"
    "{% else %}{{ c[1:].removeprefix('u') }}{% endif %}{{ m['content'].split('1')[0] }}{% endfor %}",
}
_ROWS = [
    {
        "q": f"question {row} é\n",
        "r": "answer " * (row + 1),
        "c": "ab"[row % 2],
        "messages": [{"role": "user", "content": f"q{row}"}, {"role": "assistant", "content": "a\n" * row}],
    }
    for row in range(40)
]


def compile_all(on_job: Callable[[int, int], None] = lambda number, count: None) -> int:
    """Run the jobs in a temporary folder and, where there is a linker, make the library of all kernels.
    Returns how many compiled kernels the cache holds.

    on_job: is called before each job with its number, from 1, and how many there are.
    """
    if LIBRARY is not None:
        return len(LIBRARY.table)
    with TemporaryDirectory(prefix="forge-warm-") as name:
        folder = Path(name)
        lines, array, table = (folder / f"rows.{kind}" for kind in ("jsonl", "json", "csv"))
        lines.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in _ROWS))
        array.write_bytes(orjson.dumps(_ROWS, option=orjson.OPT_INDENT_2))
        table.write_text("q,r,c\n" + "".join(f"question {row},answer,a\n" for row in range(4)))
        jobs: tuple[tuple[Path, dict[str, Any], dict[str, Any], dict[str, Any]], ...] = (
            (lines, _FLAT, _CHATML, _SETTINGS),
            (array, _FLAT, _CHATML, _SETTINGS),
            (table, _FLAT, _CHATML, {}),
            (lines, _CHAT, _CHATML, {}),
            (lines, _CHAT, _JINJA, {}),
            (lines, _FLAT, _CHATML, _GROUPS),
        )
        for number, (source, mapping, model, settings) in enumerate(jobs, 1):
            on_job(number, len(jobs))
            against = [str(array)] if settings is _GROUPS else []
            config = Config.model_validate(
                {
                    "data": {"inputs": [str(source)], "mapping": mapping, "against": against},
                    "model": model,
                    "preprocessing": settings,
                    "output": {"columns": ["c"]},
                }
            )
            budget = Budget(2**24, 1, 2**20, "warming")
            spec = JobSpec(config, folder, folder / "out", fresh=True)
            prepare(spec, budget, CpuEngine, lambda event: None, never)
    from forge_gpu.kernels.build import build, linker  # they need numba, which a library does without

    if linker() is None or CHECKED:
        return sum(1 for _ in cache_folder().rglob("*.nbc"))
    return build(cache_folder())
