"""Every fault of a configuration is a line of ours: what, where, and what may stand there."""

from typing import Any

import pytest
from ruamel.yaml import YAML

from forge_gpu.config import keys
from forge_gpu.config.layers import Layer, build
from forge_gpu.config.load import environment_layer, load, override_layer
from forge_gpu.errors import ConfigError

FOREIGN = (
    "Input should",
    "validation error",
    "type=",
    "valid string",
    "valid integer",
    "valid dictionary",
    "valid list",
    "constrained",
    "nullable",
    "pydantic",
    "ruamel",
    "greater than",
    "literal",
)
WRONG: tuple[Any, ...] = (
    None,
    True,
    -7,
    1.5,
    10**30,
    float("nan"),
    float("inf"),
    "poem",
    "",
    [],
    ["a", None, -1],
    [[1]],
    {},
    {"a": -1},
)
AS_TEXT = (
    "null",
    "true",
    "-7",
    "1.5",
    "1e400",
    ".nan",
    "poem",
    "",
    "[]",
    "[a,,-1]",
    "{",
    "{a: -1}",
    "{a: [x]}",
    "a,b",
    "!!python/none",
)
KEYS = [path for path in keys.known() if path != ("version",)]


def told(run, *arguments) -> list[str]:
    """The lines of a refusal, none where the value can stand there."""
    try:
        run(*arguments)
    except ConfigError as error:
        return str(error).splitlines()
    return []


def is_ours(line: str, key: str) -> bool:
    return key.partition(".")[0] in line and not any(words in line for words in FOREIGN)


@pytest.mark.parametrize("path", KEYS, ids=".".join)
def test_no_wrong_value_of_any_key_shows_a_librarys_words(path, tmp_path):
    key, file = ".".join(path), tmp_path / "forge.yaml"
    for value in WRONG:
        with file.open("w") as stream:
            YAML(typ="safe", pure=True).dump(nested(path, value), stream)
        lines = told(load, file, {})
        assert all(is_ours(line, key) and line.startswith(f"{file}:") for line in lines), lines
    for text in AS_TEXT:
        variable = "FORGE_CONFIG__" + "__".join(path).upper()
        for origin, lines in (
            (variable, told(build, [environment_layer({variable: text})])),
            ("--set", told(build, [override_layer([f"{key}={text}"])])),
        ):
            assert all(is_ours(line, key) and line.startswith(f"{origin}: ") for line in lines), lines


SECRET = "hunter2"
URL = f"https://me:{SECRET}@host/rows.jsonl?signature={SECRET}"


@pytest.mark.parametrize("text", [URL, f"{'x' * 40} {URL}", f'{{a: "{URL}"}}'])
def test_what_is_secret_in_a_value_is_not_told(text):
    reported = []
    for path in KEYS:
        variable = "FORGE_CONFIG__" + "__".join(path).upper()
        reported += told(build, [environment_layer({variable: text})])
        reported += told(build, [override_layer([f"{'.'.join(path)}={text}"])])
    assert len(reported) > len(KEYS) and SECRET not in "".join(reported)


@pytest.mark.parametrize("name", [URL, f"data.{URL}", f"data.inputs.{URL}", "data.password", "token"])
def test_what_is_secret_in_a_name_is_not_told(name):
    variable = "FORGE_CONFIG__" + name.replace(".", "__")
    reported = told(build, [environment_layer({variable: SECRET})]) + told(
        build, [override_layer([f"{name}={SECRET}"])]
    )
    assert len(reported) == 2 and SECRET not in "".join(reported)


@pytest.mark.parametrize("path", KEYS, ids=".".join)
def test_every_key_refuses_something_and_says_what_it_takes(path):
    (line,) = told(build, [Layer(nested(path, object()))])
    assert line.startswith(f"{'.'.join(path)}: must be ")


def nested(path, value):
    for name in reversed(path):
        value = {name: value}
    return value


@pytest.mark.parametrize(
    ("override", "line"),
    [
        (
            "data.caps={a.jsonl: x}",
            "--set: data.caps.a.jsonl: must be a whole number at least 0 (it is 'x')",
        ),
        (
            "data.caps=10,x",
            "--set: data.caps: item 2 must be a whole number at least 0 or null (it is 'x')",
        ),
        (
            "data.weights=much",
            "--set: data.weights: item 1 must be a number at least 0 (it is 'much')",
        ),
        (
            "preprocessing.dedup.near.roles=[]",
            "--set: preprocessing.dedup.near.roles: must be a list of at least 1 (each item 'query', 'input'"
            ", 'system', 'response', 'chosen', 'rejected' or 'text') (it is [])",
        ),
        ("hardware.vram_gb=.inf", "--set: hardware.vram_gb: must be a number above 0 or null (it is inf)"),
        (
            "preprocessing.streaming_threshold_gb=.inf",
            "--set: preprocessing.streaming_threshold_gb: must be a number at least 0 or 'auto' (it is inf)",
        ),
    ],
)
def test_a_fault_names_the_item(override, line):
    assert told(build, [override_layer([override])]) == [line]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("10,20", [10, 20]),
        ("10,null", [10, None]),
        ("{a.jsonl: 3, b: 4}", {"a.jsonl": 3, "b": 4}),
        ("[10, 20]", [10, 20]),
        ("7", [7]),
    ],
)
def test_lists_and_mappings_of_numbers_can_be_set(text, value):
    assert build([override_layer([f"data.caps={text}"])]).config.data.caps == value


def test_faults_between_keys_are_told_with_the_others(tmp_path):
    file = tmp_path / "forge.yaml"
    file.write_text(
        "preprocessing:\n"
        "  train_split: 0.8\n"
        "  validation_split: 0.1\n"
        "  seed: none\n"
        "  split:\n"
        "    mode: temporal\n"
        "output:\n"
        "  form: messages\n"
        "  spans: true\n"
        "  colums: a\n"
    )
    assert told(load, file, {}) == [
        f"{file}:10: output.colums: unknown key; did you mean output.columns?",
        f"{file}:4: preprocessing.seed: must be a whole number at least 0 and below 9223372036854775808"
        " (it is 'none')",
        f"{file}:2: preprocessing: train_split + validation_split + test_split is 0.9, not 1 (0.8 + 0.1 + 0)",
        f"{file}:6: preprocessing.split: mode temporal needs time: name the column that holds it",
        f"{file}:9: output: spans are spans of the text: they need form text, and it is messages",
    ]


@pytest.mark.parametrize(
    "sections",
    [
        {"preprocessing": {"train_split": "much", "validation_split": 0.5}},
        {"preprocessing": 7},
        {"preprocessing": {"split": {"mode": "poem", "group": "user"}}},
    ],
)
def test_no_fault_follows_from_another(sections):
    assert len(told(build, [Layer(sections)])) == 1


def test_an_empty_section_is_its_defaults(tmp_path):
    file = tmp_path / "forge.yaml"
    file.write_text("data:\noutput:\n  # form: text\n")
    loaded = load(file, {})
    assert loaded.config == build([]).config
    assert loaded.warnings == (
        f"{file}:1: data: the empty section is left as its defaults",
        f"{file}:2: output: the empty section is left as its defaults",
    )


@pytest.mark.parametrize(
    ("override", "line"),
    [
        (
            "data.encoding=klingon",
            "--set: data.encoding: there is no encoding 'klingon'; examples: utf-8, utf-16, cp1252, "
            "shift_jis",
        ),
        (
            "data.encoding=hex",
            "--set: data.encoding: there is no encoding 'hex'; examples: utf-8, utf-16, cp1252, shift_jis",
        ),
        ("model.date=2024-99-99", "--set: model.date: '2024-99-99' is not a date; write YYYY-MM-DD"),
    ],
)
def test_values_that_are_more_than_their_type(override, line):
    assert told(build, [override_layer([override])]) == [line]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "version: 1\n\tdata: 3\n",
            "2: this is not YAML: a tab stands where a value begins; indent with blanks",
        ),
        ("a: b: c\n", "1: this is not YAML: a second ':' stands in one line; put the value in quotes"),
        ("data:\n   a: b\n  c: d\n", "3: this is not YAML: a line is not indented as those around it"),
        ('{"a": 1}\n{"b": 2}\n', "2: this is not YAML: something goes on after the mapping has ended"),
        ("goal: !foo x\n", "1: goal: this tag has no meaning in a plan; leave it out"),
    ],
)
def test_the_commonest_slips_in_yaml_are_told_plainly(text, words, tmp_path):
    file = tmp_path / "forge.yaml"
    file.write_text(text)
    assert told(load, file, {}) == [f"{file}:{words}"]


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        (["output.columns=id,text"], "'text' is a field that the form text writes already"),
        (["output.columns=spans", "output.spans=true"], "'spans' is a field that the form text"),
        (["output.columns=prompt", "output.form=prompt_completion"], "'prompt' is a field"),
        (["output.columns=tools", "output.form=messages", "data.mapping.tools=tools"], "'tools' is a field"),
    ],
)
def test_a_kept_column_cannot_have_the_name_of_a_field(settings, field):
    (line,) = told(build, [override_layer(settings)])
    assert line.startswith("--set: output.columns: ") and field in line


def test_kept_columns_that_are_no_fields():
    for settings in (
        ["output.columns=text,messages", "output.form=source"],
        ["output.columns=tools", "output.form=messages"],
        ["output.columns=spans"],
    ):
        build([override_layer(settings)])
    loaded = build([override_layer(["output.columns=a,b,a"])])
    assert loaded.config.output.columns == ["a", "b"]
    assert loaded.warnings == ("--set: output.columns: ['a', 'b', 'a'] taken as ['a', 'b']",)
