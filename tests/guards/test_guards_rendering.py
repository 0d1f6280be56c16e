"""A kernel or a compiled template that renders a wrong byte ends the job, whatever else would let it pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forge_gpu.engine.cpu.engine import CpuEngine
from forge_gpu.errors import TemplateError, ValidationError
from forge_gpu.kernels.layout import Text
from forge_gpu.templates.tracing import compiler, expressions, fields
from forge_gpu.templates.tracing.fields import Compiled
from tests.job import jobs
from tests.templates.chat_support import WRITTEN


@pytest.mark.parametrize("threads", [1, 2])
def test_a_kernel_that_renders_a_wrong_byte(
    threads: int, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line stays JSON with all its fields, so that nothing but the reference can know."""
    real = CpuEngine.render

    def wrong(*arguments: Any) -> Text:
        text = real(*arguments)
        text.data[text.data == ord("w")] = ord("v")
        return text

    monkeypatch.setattr(CpuEngine, "render", wrong)
    with pytest.raises(ValidationError, match="the cpu engine rendered a row differently from the reference"):
        jobs.run(jobs.plan(source), tmp_path / "out", threads)
    assert not (tmp_path / "out/manifest.json").exists()


def test_a_compiled_template_that_renders_otherwise_than_jinja(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fields.trace_fields

    def wrong(*arguments: Any) -> Any:
        result = real(*arguments)
        assert isinstance(result, Compiled)
        result.fields = tuple((*parts, expressions.Text("!")) for parts in result.fields)
        return result

    monkeypatch.setattr(compiler, "trace_fields", wrong)
    rows = [
        {"messages": [{"role": "user", "content": f"Q {n}"}, {"role": "assistant", "content": f"A {n}"}]}
        for n in range(200)
    ]
    mapping = {"inputs": [str(jobs.write_lines(tmp_path / "rows.jsonl", rows))], "mapping": CHAT}
    model = {"template_kind": "jinja", "chat_template": WRITTEN["chatml"]}
    with pytest.raises(TemplateError, match="differs from Jinja at character"):
        jobs.run(jobs.plan(data=mapping, model=model), tmp_path / "out")


CHAT = {"shape": "conversation", "messages": "messages"}


def test_nothing_is_told_where_nothing_is_wrong(source: Path, tmp_path: Path) -> None:
    assert np.sum(list(jobs.run(jobs.plan(source), tmp_path / "out").counts.values())) == 300
