"""The engine on frames gives what `prepare` gives on the same rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import forge_gpu
from forge_gpu.config.schema import Mapping
from forge_gpu.errors import ConfigError, ForgeError, InputError
from forge_gpu.frames import blocks
from forge_gpu.quality.checks import REASONS
from tests.job import jobs
from tests.library import frame_cases as cases

ENGINE = forge_gpu.open_engine("cpu")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def rows(count: int = 120) -> list[dict[str, Any]]:
    """Rows with repetitions, nulls, and texts that checks fail; every column holds text."""
    made = [
        {name: row[name] for name in ("instruction", "input", "output", "category")}
        for row in jobs.rows(count)
    ]
    for number, wrong in enumerate([None, "", " ", "ab", "\ufffd", "caf\u00c3\u00a9", "a\0b", "again " * 80]):
        made[5 * number + 3]["output"] = wrong
    made[50]["instruction"] = None
    return made


@pytest.mark.parametrize("kind", [kind for kind in cases.KINDS if kind != "view"])  # pandas cannot take views
@pytest.mark.parametrize("mode", ["exact", "threshold"])
def test_render_deduplicate_and_split_as_prepare_does(kind: str, mode: str, tmp_path: Path) -> None:
    made = rows()
    checks = dict.fromkeys(REASONS, "off")
    split = {"mode": mode, "stratify": "category" if mode == "exact" else None}
    config = jobs.plan(
        cases.write_lines(tmp_path / "rows.jsonl", made),
        preprocessing={
            "quality_checks": checks,
            "split": split,
            "train_split": 0.7,
            "validation_split": 0.2,
            "test_split": 0.1,
        },
    )
    result = forge_gpu.prepare(config, output=tmp_path / "out")
    frame = cases.KINDS[kind](made)
    text = ENGINE.render(frame, "chatml")
    assert text.name == "text" and text.index.equals(frame.index)
    rendered = frame.assign(text=text)[text.notna()]
    retained = ENGINE.deduplicate(rendered, columns="text")
    parts = ENGINE.split(
        retained,
        0.7,
        0.2,
        0.1,
        columns=["text"],
        stratify=split["stratify"],
        mode=mode,  # type: ignore[arg-type]
    )
    assert result.counts["duplicate"] > 0 and result.counts["rejected"] == 2
    for name, part in parts.items():
        written = [line["text"] for line in jobs.read_lines(tmp_path / f"out/{name}.jsonl")]
        assert written and part["text"].tolist() == written
    ledger = cases.fates(tmp_path / "out")
    assert (ledger["fate"] == "rejected").tolist() == text.isna().tolist()
    reasons = ENGINE.reasons(frame, "chatml")
    reported = [reason.partition(":")[0] for reason in reasons.dropna()]
    assert reported == ledger["reason"][ledger["fate"] == "rejected"].tolist()
    assert reasons.notna().tolist() == text.isna().tolist()


@pytest.mark.parametrize("kind", cases.KINDS)
def test_check_as_prepare_does(kind: str, tmp_path: Path) -> None:
    made = rows()
    made[71]["output"] = "Write to jane.doe@fernwood.com, please."
    made[72]["output"] = "The key is AKIAQYLPMN5HFIQR7XYA, keep it."
    source = cases.write_lines(tmp_path / "rows.jsonl", made)
    checks: dict[str, Any] = {name: "reject" for name in REASONS if name not in ("too_long", "language")}
    plan = jobs.plan(source, preprocessing={"quality_checks": checks})
    forge_gpu.prepare(plan, output=tmp_path / "out", allow_empty=True)
    frame = cases.KINDS[kind](made)
    result = ENGINE.check(frame, **checks)
    assert result.index.equals(frame.index) and list(result.columns) == ["malformed", *checks]
    assert set(result.dtypes) == {np.dtype(bool)}
    reasons = cases.fates(tmp_path / "out")["reason"]
    of_check = {REASONS[name].name.lower(): name for name in checks}
    for (_, row), reason in zip(result.iterrows(), reasons, strict=True):
        first = next((name for name in checks if row[name]), None)
        if row["malformed"]:
            assert reason == "null_field"
        else:
            assert (of_check[reason] if isinstance(reason, str) else None) == first
    assert result.drop(columns="malformed").any().all()


def test_columns_of_any_type_are_keys_as_prepare_takes_them(tmp_path: Path) -> None:
    made = [
        {
            "instruction": f"question {i}",
            "output": f"answer {i}",
            "n": [1, None, 2**40][i % 3],
            "x": [0.5, 1e30, None, -1.0][i % 4],
            "flag": i % 2 == 0,
            "any": [1, "1", None, {"a": [1, None]}, [True], ""][i % 6],
        }
        for i in range(200)
    ]
    key = ["n", "x", "flag", "any"]
    config = jobs.plan(
        cases.write_lines(tmp_path / "rows.jsonl", made), preprocessing={"dedup": {"key": key}}
    )
    forge_gpu.prepare(config, output=tmp_path / "out")
    ledger = cases.fates(tmp_path / "out")
    frame = pd.DataFrame(made)
    frame["n"] = frame["n"].astype("Int64")
    first = ENGINE.duplicate_of(frame, key)
    assert first.dtype == "Int64" and first.notna().any()
    assert cases.without_nulls(first.astype(object)) == cases.without_nulls(
        ledger["duplicate_of_row"].astype("Int64").astype(object)
    )
    parts = ENGINE.split(ENGINE.deduplicate(frame, key), columns=key)
    for name in ("train", "validation"):
        assert parts[name].index.tolist() == ledger.index[ledger["fate"] == name].tolist()


def test_the_default_key_with_a_label_is_text_and_label(tmp_path: Path) -> None:
    made = [
        {"instruction": f"q{i % 9}", "output": f"answer {i % 9}", "label": "ab"[i % 2]} for i in range(90)
    ]
    source = cases.write_lines(tmp_path / "rows.jsonl", made)
    mapping = {"query": "instruction", "response": "output", "label": "label"}
    config = jobs.plan(data={"inputs": [str(source)], "mapping": mapping})
    forge_gpu.prepare(config, output=tmp_path / "out")
    frame = pd.DataFrame(made)
    frame["text"] = ENGINE.render(frame, config)
    retained = ENGINE.deduplicate(frame, ["text", "label"])
    parts = ENGINE.split(retained, columns=["text", "label"])
    assert len(retained) == 18
    ledger = cases.fates(tmp_path / "out")
    for name in ("train", "validation"):
        assert parts[name].index.tolist() == ledger.index[ledger["fate"] == name].tolist()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT), max_size=12), st.sampled_from(sorted(cases.KINDS)))
def test_any_text_is_rendered_as_format_does(pairs: list[tuple[str, str]], kind: str) -> None:
    template = "{{{a}}} {b}\n"
    if not pairs:
        frame = pd.DataFrame({"a": [], "b": []})
    else:
        frame = cases.KINDS[kind]([{"a": a, "b": b} for a, b in pairs])
    assert ENGINE.render(frame, template).tolist() == [template.format(a=a, b=b) for a, b in pairs]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["", "a", "b"])), max_size=20))
@pytest.mark.parametrize("keep", ["first", "last"])
def test_deduplicate_as_pandas_does(keep: Any, pairs: list[tuple[str, str]]) -> None:
    frame = pd.DataFrame(pairs, columns=["a", "b"], dtype="str")
    pd.testing.assert_frame_equal(ENGINE.deduplicate(frame, keep=keep), frame.drop_duplicates(keep=keep))
    pd.testing.assert_frame_equal(ENGINE.deduplicate(frame, "b", keep), frame.drop_duplicates("b", keep=keep))


@pytest.mark.parametrize(("block_rows", "block_bytes"), [(1, 10**6), (7, 10**6), (10**6, 1), (10**6, 900)])
def test_nothing_depends_on_blocks(
    block_rows: int, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = cases.as_chunks(rows())
    chats = pd.DataFrame({"messages": [_chat(row) for row in rows() if row["output"]]})

    def everything() -> list[Any]:
        return [
            ENGINE.render(frame, "alpaca").tolist(),
            ENGINE.reasons(frame, "alpaca").tolist(),
            ENGINE.render(chats, JINJA).tolist(),
            ENGINE.duplicate_of(frame).tolist(),
            [part.to_dict("list") for part in ENGINE.split(frame, stratify="category").values()],
            ENGINE.check(frame, max_length=20).to_dict("list"),
            ENGINE.check(frame, ["input", "output"]).to_dict("list"),
        ]

    want = repr(everything())
    monkeypatch.setattr(blocks, "BLOCK_ROWS", block_rows)
    monkeypatch.setattr(blocks, "BLOCK_BYTES", block_bytes)
    assert repr(everything()) == want


JINJA = (
    "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}"
    "{% if m.tool_calls %}{{ m.tool_calls | tojson }}{% endif %}</>{% endfor %}"
)


MESSAGES = pa.list_(pa.struct({"role": pa.string(), "content": pa.string()}))


def _chat(row: dict[str, Any]) -> list[dict[str, str]]:
    return [
        {"role": "user", "content": str(row["instruction"])},
        {"role": "assistant", "content": f" {row['output']} "},
    ]


@pytest.mark.parametrize("kind", ["objects", "arrays", "arrow", "json"])
def test_chat_templates_over_messages_of_every_kind(kind: str) -> None:
    chats = [_chat(row) for row in rows() if row["output"]]
    column: Any = {
        "objects": lambda: pd.Series(chats, dtype=object),
        "arrays": lambda: pd.Series([np.array(chat, object) for chat in chats], dtype=object),
        "arrow": lambda: pd.Series(pd.array(chats, pd.ArrowDtype(MESSAGES))),
        "json": lambda: pd.Series([json.dumps(chat) for chat in chats]),
    }[kind]()
    text = ENGINE.render(pd.DataFrame({"chat": column}), JINJA, mapping={"messages": "chat"})
    want = ["".join(f"<{m['role']}>{m['content'].strip()}</>" for m in chat) for chat in chats]
    assert text.tolist() == want
    assert ENGINE.render(pd.DataFrame({"chat": column}), JINJA).tolist() == want


def test_a_models_folder_has_its_own_template_and_tokens(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["AnyForCausalLM"]}')
    (tmp_path / "tokenizer_config.json").write_text('{"bos_token": "<s>"}')
    frame = pd.DataFrame({"question": ["q"], "answer": ["a"]})
    with pytest.raises(ForgeError):
        ENGINE.render(frame, tmp_path)
    (tmp_path / "chat_template.jinja").write_text(JINJA)
    want = ["<s><user>q</><assistant>a</>"]
    assert ENGINE.render(frame, tmp_path).tolist() == want
    assert ENGINE.render(frame, str(tmp_path)).tolist() == want
    assert ENGINE.render(frame, tmp_path / "chat_template.jinja").tolist() == [want[0].removeprefix("<s>")]


def test_a_template_that_refuses_a_row_says_why() -> None:
    template = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "{{ m.content }}{% endfor %}"
    )
    chats = [
        [{"role": "user", "content": "q"}],
        [{"role": "system", "content": "s"}],
        [{"role": "user", "content": ""}],
        [{"content": "nobody"}],
        None,
    ]
    frame = pd.DataFrame({"messages": chats})
    assert cases.without_nulls(ENGINE.render(frame, template)) == ["q", None, None, None, None]
    reasons = cases.without_nulls(ENGINE.reasons(frame, template))
    assert reasons[:3] == [None, "template_refused: no system", "empty_text"]
    assert reasons[3].startswith("bad_messages: ") and reasons[4].startswith("null_field")


def test_a_mapping_is_used_as_it_is() -> None:
    frame = pd.DataFrame({"instruction": ["q"], "input": ["more"], "output": ["a"], "other": ["b"]})
    assert "q\nmore" in ENGINE.render(frame, "vicuna")[0]
    given: dict[str, Any] = {"query": "instruction", "response": "other"}
    assert ENGINE.render(frame, "vicuna", mapping=given)[0] == "USER: q\nASSISTANT: b"
    assert ENGINE.render(frame, "vicuna", mapping=Mapping(**given))[0] == "USER: q\nASSISTANT: b"
    assert ENGINE.render(frame, "vicuna", mapping=given, append_eos=True)[0] == "USER: q\nASSISTANT: b</s>"


def test_checks_of_columns_one_by_one() -> None:
    frame = pd.DataFrame({"a": ["good text", "ab", None], "b": ["good text", "good text", "good text"]})
    result = ENGINE.check(frame, ["a", "b"], repetition="off", max_length=1)
    assert "repetition" not in result
    assert result["too_short"].tolist() == [False, True, True]
    assert result["malformed"].tolist() == result["empty"].tolist() == [False, False, True]
    assert result["too_long"].tolist() == [True, True, True]
    assert not ENGINE.check(frame, "b")["too_short"].any()
    assert "too_long" not in ENGINE.check(frame, "b")


def test_frames_are_not_changed_and_empty_ones_work() -> None:
    frame = cases.as_str(rows())
    before = frame.copy(deep=True)
    for each in (frame, frame.iloc[:0], pd.DataFrame({"instruction": [], "output": []})):
        text = ENGINE.render(each, "llama")
        reasons = ENGINE.reasons(each, "llama")
        assert len(text) == len(reasons) == len(each)
        assert str(text.dtype) == str(reasons.dtype) == "large_string[pyarrow]"
        assert len(ENGINE.check(each)) == len(each)
        assert len(ENGINE.duplicate_of(each)) == len(each)
        parts = ENGINE.split(each, 0.5, 0.25, 0.25)
        assert list(parts) == ["train", "validation", "test"]
        assert sum(map(len, parts.values())) == len(each)
        assert all(part.columns.equals(each.columns) for part in (*parts.values(), ENGINE.deduplicate(each)))
    pd.testing.assert_frame_equal(frame, before)


def test_threshold_moves_no_row_when_rows_are_added() -> None:
    frame = pd.DataFrame({"a": [f"text {i}" for i in range(500)]})
    few = ENGINE.split(frame.iloc[:200], 0.5, 0.5, mode="threshold")
    many = ENGINE.split(frame, 0.5, 0.5, mode="threshold")
    assert few["train"].index.isin(many["train"].index).all() and len(few["train"])
    assert few["validation"].index.isin(many["validation"].index).all() and len(few["validation"])
    other = ENGINE.split(frame, 0.5, 0.5, mode="threshold", seed=1)
    assert not other["train"].index.equals(many["train"].index)


FRAME = pd.DataFrame({"question": ["q"], "answer": ["a"]})


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: ENGINE.render([1], "chatml"),
            TypeError,
            "a list of dictionaries, but one holds builtins.int",
        ),
        (lambda: ENGINE.render({1}, "chatml"), TypeError, "takes frames of pandas, .*, not builtins.set"),
        (lambda: ENGINE.render(FRAME["answer"], "chatml"), TypeError, "not pandas.Series"),
        (lambda: ENGINE.render(FRAME, "chatmal"), ForgeError, "chatml"),
        (lambda: ENGINE.render(FRAME, "{questoin}"), ForgeError, "did you mean 'question'"),
        (lambda: ENGINE.render(FRAME, "{question:>5}"), ForgeError, "format specification"),
        (lambda: ENGINE.render(FRAME, "{question}", append_eos=True), ForgeError, "eos_token"),
        (lambda: ENGINE.render(FRAME, "chatml", mapping={"query": "question"}), ConfigError, "response"),
        (lambda: ENGINE.render(FRAME, "chatml", mapping={"qery": "question"}), ConfigError, "query"),
        (
            lambda: ENGINE.render(FRAME, "chatml", mapping={"query": "question", "response": "anser"}),
            ForgeError,
            "did you mean 'answer'",
        ),
        (lambda: ENGINE.render(FRAME, forge_gpu.ForgeConfig(), mapping={}), ConfigError, "of its own"),
        (lambda: ENGINE.render(FRAME.rename(columns={"answer": "x"}), "chatml"), InputError, "mapping="),
        (lambda: ENGINE.deduplicate(FRAME, ["answr"]), InputError, "did you mean 'answer'"),
        (lambda: ENGINE.deduplicate(FRAME, []), InputError, "at least one"),
        (lambda: ENGINE.deduplicate(FRAME[[]]), InputError, "no columns"),
        (lambda: ENGINE.deduplicate(FRAME, keep=False), ConfigError, "first or last"),  # type: ignore[arg-type]
        (lambda: ENGINE.deduplicate(pd.concat([FRAME, FRAME], axis=1)), InputError, "several .* 'question'"),
        (lambda: ENGINE.deduplicate(pd.DataFrame({0: ["a"]})), InputError, "column 0"),
        (lambda: ENGINE.deduplicate(pd.DataFrame({"a": [{1, 2}]})), InputError, "'a': .*set"),
        (lambda: ENGINE.deduplicate(pd.DataFrame({"a": [1j]})), InputError, "'a': .*complex"),
        (lambda: ENGINE.split(FRAME, 0.8, 0.1, 0.05), ConfigError, "add up to 1"),
        (lambda: ENGINE.split(FRAME, 1.5, -0.5), ConfigError, "train is 1.5"),
        (lambda: ENGINE.split(FRAME, float("nan"), 1), ConfigError, "train is nan"),
        (lambda: ENGINE.split(FRAME, seed=-1), ConfigError, "seed"),
        (lambda: ENGINE.split(FRAME, mode="temporal"), ConfigError, "exact or threshold"),  # type: ignore[arg-type]
        (lambda: ENGINE.split(FRAME, mode="threshold", stratify="answer"), ConfigError, "strata"),
        (lambda: ENGINE.split(FRAME, stratify="anser"), InputError, "did you mean 'answer'"),
        (lambda: ENGINE.check(FRAME, repetitoin="off"), ConfigError, "repetition"),
        (lambda: ENGINE.check(FRAME, empty="maybe"), ConfigError, "empty"),
        (lambda: ENGINE.check(FRAME, ["answer"], mapping={}), ConfigError, "not both"),
        (lambda: forge_gpu.open_engine("tpu"), ConfigError, "auto, cpu or gpu"),
    ],
)
def test_faults_are_one_clear_line(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
