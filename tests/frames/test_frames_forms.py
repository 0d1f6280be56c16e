"""Every form of the output is rendered from frames as `prepare` writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import forge_gpu
import tests.library.frame_cases as cases
from forge_gpu.quality.checks import REASONS
from tests.job import jobs

ENGINE = forge_gpu.open_engine("cpu")
TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' %}{% generation %}{{ m.content }}</>"
    "{% endgeneration %}{% else %}{{ m.content }}</>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
COLLECTED = """{%- set ns = namespace(all='') -%}
{%- for m in messages -%}{%- set ns.all = ns.all ~ m.content ~ '\\n' -%}{%- endfor -%}
{{ ns.all }}"""
PLAIN = TEMPLATE.replace("{% generation %}", "").replace("{% endgeneration %}", "")
MAPPING = {"query": "question", "response": "answer"}
PAIRS = {"query": "question", "chosen": "answer", "rejected": "worse"}


def rows() -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = [
        {"question": f'q "{row}" é\n', "answer": "a" * (row % 7 + 1) + str(row), "worse": f"no {row}"}
        for row in range(40)
    ]
    made[3]["answer"] = None
    made[5]["question"] = made[5]["answer"] = ""
    return made


@pytest.mark.parametrize(
    ("template", "form", "spans", "mapping"),
    [
        ("chatml", "prompt_completion", False, MAPPING),
        (TEMPLATE, "prompt_completion", False, MAPPING),
        (PLAIN, "prompt_completion", False, MAPPING),
        (TEMPLATE, "text", True, MAPPING),
        ("chatml", "messages", False, MAPPING),
        ("chatml", "preference", False, PAIRS),
        (PLAIN, "preference", False, PAIRS),
    ],
)
def test_every_form_as_prepare_writes_it(
    template: str, form: Any, spans: bool, mapping: dict[str, str], tmp_path: Path
) -> None:
    made = rows()
    kind = "builtin" if template == "chatml" else "jinja"
    shape = "preference" if mapping is PAIRS else "flat"
    config = jobs.plan(
        data={
            "inputs": [str(cases.write_lines(tmp_path / "rows.jsonl", made))],
            "mapping": {"shape": shape, **mapping},
        },
        model={"chat_template": template, "template_kind": kind},
        preprocessing={
            "quality_checks": dict.fromkeys(REASONS, "off"),
            "train_split": 1.0,
            "validation_split": 0.0,
            "dedup": {"exact": False},
        },
        output={"form": form, "spans": spans},
    )
    forge_gpu.prepare(config, output=tmp_path / "out")
    lines = jobs.read_lines(tmp_path / "out/train.jsonl")
    frame = pd.DataFrame(made, index=[7] * len(made))
    for named in (template, config):
        given = {} if named is config else {"mapping": mapping}
        result = ENGINE.render(frame, named, form=form, spans=spans, **given)  # type: ignore[arg-type]
        result = result.to_frame() if isinstance(result, pd.Series) else result
        assert result.index.equals(frame.index) and list(result) == list(lines[0])
        refused = result.isna().all(axis=1)
        reasons = ENGINE.reasons(frame, named, form=form, **given)  # type: ignore[arg-type]
        assert refused.tolist() == reasons.notna().tolist() and refused.any()
        texts = result[~refused.to_numpy()].astype(object)
        for name in {"messages", "spans"} & set(texts):
            texts[name] = [None if text is pd.NA else json.loads(text) for text in texts[name]]
        assert texts.to_dict("records") == lines


def test_spans_that_are_not_known_are_null() -> None:
    frame = pd.DataFrame(rows()[:3])
    result = ENGINE.render(
        frame,
        COLLECTED,
        mapping=MAPPING,
        spans=True,
    )
    assert result["text"].notna().all() and result["spans"].isna().all()
    assert list(ENGINE.render(frame.iloc[:0], TEMPLATE, mapping=MAPPING, spans=True)) == ["text", "spans"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"form": "texts"}, "output.form"),
        ({"form": "preference"}, "preference"),
        ({"form": "prompt_completion", "spans": True}, "spans"),
        ({"template": "chatml", "spans": True}, "spans need a chat template"),
    ],
)
def test_what_cannot_be_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(forge_gpu.ForgeError, match=message):
        ENGINE.render(pd.DataFrame(rows()), **{"template": TEMPLATE, "mapping": MAPPING, **arguments})
