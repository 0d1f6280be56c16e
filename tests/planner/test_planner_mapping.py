import pytest

from forge_gpu.errors import InputError
from forge_gpu.planner.columns import columns_of, kind_of, messages_in
from forge_gpu.planner.mapping import pick

SHARE = [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}]
OPENAI = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]


def picked(record, given=None, records=None):
    records = records or [record] * 3
    texts = {name: [value] for name, value in record.items() if isinstance(value, str)}
    return pick(columns_of(records), given or {}, texts)


@pytest.mark.parametrize(
    ("record", "shape", "columns"),
    [
        ({"query": "a", "response": "b"}, "flat", {"query": "query", "response": "response"}),
        (
            {"instruction": "a", "input": "", "output": "b"},
            "flat",
            {"query": "instruction", "input": "input", "response": "output"},
        ),
        (
            {"instruction": "a", "input": "x", "response": "b"},
            "flat",
            {"query": "instruction", "input": "input", "response": "response"},
        ),
        ({"prompt": "a", "completion": "b"}, "flat", {"query": "prompt", "response": "completion"}),
        ({"question": "a", "answer": "b"}, "flat", {"query": "question", "response": "answer"}),
        ({"Question": "a", "Answer": 4}, "flat", {"query": "Question", "response": "Answer"}),
        ({"input": "a", "output": "b"}, "flat", {"query": "input", "response": "output"}),
        (
            {"instruction": "a", "context": "c", "response": "b", "category": "x"},
            "flat",
            {"query": "instruction", "input": "context", "response": "response"},
        ),
        (
            {"system": "s", "question": "a", "response": "b"},
            "flat",
            {"query": "question", "response": "response", "system": "system"},
        ),
        ({"text": "a"}, "text", {"text": "text"}),
        ({"messages": OPENAI}, "conversation", {"messages": "messages"}),
        (
            {"conversations": SHARE, "tools": "[]"},
            "conversation",
            {"messages": "conversations", "tools": "tools"},
        ),
        ({"prompt": "a", "messages": OPENAI}, "conversation", {"messages": "messages"}),
        ({"traj": OPENAI, "reward": 0.0}, "conversation", {"messages": "traj"}),
        (
            {"messages": OPENAI, "label": True},
            "conversation",
            {"messages": "messages", "label": "label"},
        ),
        (
            {"prompt": "a", "chosen": "b", "rejected": "c"},
            "preference",
            {"query": "prompt", "chosen": "chosen", "rejected": "rejected"},
        ),
        (
            {"conversations": SHARE[:1], "chosen": SHARE[1], "rejected": SHARE[1]},
            "preference",
            {"messages": "conversations", "chosen": "chosen", "rejected": "rejected"},
        ),
        (
            {"chosen_messages": OPENAI, "rejected_messages": OPENAI},
            "preference",
            {"chosen": "chosen_messages", "rejected": "rejected_messages"},
        ),
        ({"messages": '[{"role": "user", "content": "x"}]'}, "prompt", {"messages": "messages"}),
    ],
)
def test_known_records(record, shape, columns):
    result = picked(record)
    assert result.shape == shape
    assert result.columns == columns
    assert result.reasons["shape"]
    assert set(columns) <= set(result.reasons)


@pytest.mark.parametrize(
    ("record", "reported"),
    [
        (
            {"question": "a", "ICD-10": "b"},
            "no column looks like its answer.*--set data.mapping.response=COLUMN",
        ),
        ({"answer": "a", "id": 3}, "no column looks like its question.*--set data.mapping.query=COLUMN"),
        ({"question": [OPENAI], "function": [{"name": "f"}]}, "lists of message lists.*benchmark"),
        (
            {"log": "user: hi\nassistant: hello\ntool: {}"},
            "whole conversations, each written as one text.*--set data.mapping.text=log",
        ),
        ({"a": 1, "b": [1]}, "there are 'a', 'b'.*--set data.mapping.messages=COLUMN"),
        (
            {"talk": [{"wer": "a", "sagt": "b"}]},
            "'talk' holds conversations.*role.*content.*transform.script",
        ),
        ({"question": "a", "answer": {"text": ["b"]}}, "no column looks like its answer"),
    ],
)
def test_unknown_records_are_refused_with_the_reason_and_what_to_pass(record, reported):
    with pytest.raises(InputError, match=reported):
        picked(record)


def test_a_question_with_a_colon_is_no_transcript():
    assert picked({"question": "user: hi"}).shape == "prompt"


def test_what_the_user_names_wins():
    record = {"question": "a", "answer": "b", "long_answer": "c"}
    result = picked(record, {"response": "long_answer"})
    assert result.columns == {"query": "question", "response": "long_answer"}
    assert result.reasons["response"] == "as set"


def test_a_named_column_must_exist():
    with pytest.raises(
        InputError, match=r"data\.mapping\.query: the data has no column 'queston'; did you mean 'question'"
    ):
        picked({"question": "a", "answer": "b"}, {"query": "queston"})


def test_a_shape_that_the_data_does_not_have():
    with pytest.raises(InputError, match=r"what the mapping 'conversation' needs.*\(messages\)"):
        picked({"question": "a", "answer": "b"}, {"shape": "conversation"})


def test_a_query_that_is_named_does_not_turn_pairs_into_flat_records():
    record = {"ask": "a", "chosen": "b", "rejected": "c"}
    assert picked(record, {"query": "ask"}).shape == "preference"


def test_a_column_that_is_mostly_empty_keeps_its_kind():
    records = [{"instruction": "a", "input": "", "output": "b"}] * 9 + [
        {"instruction": "a", "input": "x", "output": "b"}
    ]
    assert picked(records[0], records=records).columns["input"] == "input"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "null"),
        ("", "empty"),
        ([], "empty"),
        ("x", "text"),
        (True, "bool"),
        (1, "number"),
        (1.5, "number"),
        ({}, "object"),
        (OPENAI[0], "message"),
        (OPENAI, "messages"),
        (SHARE, "messages"),
        ([OPENAI, SHARE], "nested"),
        (["a"], "texts"),
        ([1], "numbers"),
        ([{"x": 1}], "list"),
        ([OPENAI[0], 1], "list"),
        ('[{"role": "user", "content": "x"}]', "messages"),
        ('[{"role": ', "text"),
        ([{"role": "assistant", "tool_calls": []}], "messages"),
    ],
)
def test_kinds(value, kind):
    assert kind_of(value) == kind


def test_messages_of_a_single_message():
    assert messages_in(OPENAI[0]) == [OPENAI[0]]
    assert messages_in("no messages") == []
