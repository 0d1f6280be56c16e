import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge_gpu.config.layers import Layer, build
from forge_gpu.config.load import environment_layer, load, override_layer
from forge_gpu.config.schema import Config
from forge_gpu.errors import ConfigError, NoPlanError


def from_file(tmp_path, text: str | bytes, environ=None, overrides=()):
    path = tmp_path / "forge.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load(path, environ or {}, overrides)


def faults(tmp_path, text: str, environ=None, overrides=()) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        from_file(tmp_path, text, environ, overrides)
    return str(caught.value).splitlines()


def test_an_empty_file_is_the_defaults(tmp_path):
    assert from_file(tmp_path, "").config == Config()


def test_no_file(tmp_path):
    with pytest.raises(NoPlanError, match=r"^No plan found\. Run 'forge plan' first\.$") as caught:
        load(tmp_path / "forge.yaml", {})
    assert caught.value.exit_code == 1


SEEDS = st.integers(0, 2**40)


@given(file=st.none() | SEEDS, variable=st.none() | SEEDS, option=st.none() | SEEDS)
def test_later_origins_win(file, variable, option):
    layers = [
        Layer({"preprocessing": {"seed": file}} if file is not None else {}),
        environment_layer({} if variable is None else {"FORGE_CONFIG__PREPROCESSING__SEED": str(variable)}),
        override_layer([] if option is None else [f"preprocessing.seed={option}"]),
    ]
    given_seeds = [seed for seed in (42, file, variable, option) if seed is not None]
    assert build(layers).config.preprocessing.seed == given_seeds[-1]


def test_every_fault_is_told_at_once_with_its_place(tmp_path):
    text = (
        "version: 1\n"
        "data:\n"
        "  formt: jsonl\n"
        "model:\n"
        "  max_length: lots\n"
        "preprocessing:\n"
        "  seed: -1\n"
        "  memory:\n"
        "    budget: 5\n"
        "train_splt: 0.9\n"
    )
    reported = faults(
        tmp_path, text, {"FORGE_CONFIG__OUTPUT__FORM": "poem"}, ["output.order=random", "nonsense"]
    )
    path = tmp_path / "forge.yaml"
    expected = [
        f"{path}:3: data.formt: unknown key; did you mean data.format?",
        f"{path}:5: model.max_length: must be a whole number at least 1 or null (it is 'lots')",
        f"{path}:7: preprocessing.seed: must be a whole number at least 0 and below 9223372036854775808"
        " (it is -1)",
        f"{path}:9: preprocessing.memory.budget: must be 'auto' or a whole number at least 16777216"
        " (it is 5)",
        f"{path}:10: train_splt: unknown key; did you mean preprocessing.train_split?",
        "FORGE_CONFIG__OUTPUT__FORM: output.form: must be 'text', 'prompt_completion', 'prompt', "
        "'messages', 'preference', 'source' or 'tokens' (it is 'poem')",
        "--set: output.order: must be 'input' or 'shuffled' (it is 'random')",
        "--set nonsense: write --set section.key=value",
    ]
    assert sorted(reported) == sorted(expected)


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("preprocessing.trian_split", "preprocessing.train_split"),
        ("seed", "preprocessing.seed"),
        ("data.mapping.querry", "data.mapping.query"),
        ("modl.name", "model.name"),
        ("output.forms", "output.form"),
    ],
)
def test_an_unknown_override_names_the_nearest_key(key, hint):
    with pytest.raises(ConfigError, match=f"unknown key; did you mean {hint}\\?"):
        build([override_layer([f"{key}=1"])])


def test_an_unknown_override_like_no_other_key_names_those_that_are_there():
    with pytest.raises(
        ConfigError, match=r"^--set: output\.zzzz: unknown key; known there: for, form, format"
    ):
        build([override_layer(["output.zzzz=1"])])
    with pytest.raises(
        ConfigError, match=r"qqqq\.zzzz: unknown key; known there: version, goal, license, templates, data"
    ):
        build([override_layer(["qqqq.zzzz=1"])])


def test_a_section_cannot_be_set():
    with pytest.raises(ConfigError, match="output is a section; set one of its keys: for, form, format"):
        build([override_layer(["output=1"])])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: [1, 2\nb: }", "2: this is not YAML"),
        ("- a\n- b", "1: a plan is a mapping of keys to values"),
        ("just text", "1: a plan is a mapping"),
        ("version: 1\nseed: 1\nseed: 2", "3: seed: given twice, first in line 2"),
        ("? [a, b]\n: 1", "1: a key must be a plain name"),
        ("data: !!python/object/apply:os.system ['true']", "data"),
        ("goal: !!python/name:os.system x", "goal"),
        ("version: 2\nhalf: 1", "1: version: 2 is newer than this Forge reads (1)"),
        ("version: one", "1: version: 'one' is not a version"),
        ("version: true", "1: version: True is not a version"),
        ("data: 5", "1: data: must be a section with keys of its own (it is 5)"),
        ("data:\n  inputs: {a: 1}", "2: data.inputs: must be a list (each item a text) (it is {'a': '1'})"),
        (
            "preprocessing: {train_split: true}",
            "1: preprocessing.train_split: must be a number at least 0 and at most 1 (it is true)",
        ),
        ("\tdata: 1", "this is not YAML"),
        ("data: \x00", "this is not YAML"),
    ],
)
def test_hostile_and_malformed_files_end_in_a_line(tmp_path, text, line):
    assert any(line in reported for reported in faults(tmp_path, text))


def test_a_file_that_is_not_utf8(tmp_path):
    with pytest.raises(ConfigError, match="is not UTF-8: byte 6"):
        from_file(tmp_path, b"goal: \xff")


def test_a_folder_is_no_plan(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path, {})


def test_a_bomb_of_aliases_is_refused(tmp_path):
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    assert "too large" in faults(tmp_path, "\n".join(levels))[0]


def test_a_file_that_holds_itself_is_refused(tmp_path):
    assert "too large or nested too deep" in faults(tmp_path, "model: &m\n  template_kwargs: *m\n")[0]


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("preprocessing: {seed: '7'}", "preprocessing.seed", 7),
        ("data: {max_row_bytes: '1_000'}", "data.max_row_bytes", 1000),
        ("preprocessing: {dedup: {exact: 'yes'}}", "preprocessing.dedup.exact", True),
        ("model: {append_eos: off}", "model.append_eos", False),
        (
            "preprocessing: {quality_checks: {mojibake: Reject}}",
            "preprocessing.quality_checks.mojibake",
            "reject",
        ),
        (
            "preprocessing: {quality_checks: {max_repetition: 50%}}",
            "preprocessing.quality_checks.max_repetition",
            0.5,
        ),
        ("output: {columns: id}", "output.columns", ["id"]),
        ("data: {inputs: 'a,b.jsonl'}", "data.inputs", ["a,b.jsonl"]),
        ("preprocessing: {memory: {budget: AUTO}}", "preprocessing.memory.budget", "auto"),
        ("preprocessing: {train_split: 90, validation_split: 10}", "preprocessing.train_split", 0.9),
        (
            "preprocessing: {train_split: '90%', validation_split: '10%'}",
            "preprocessing.validation_split",
            0.1,
        ),
        ("preprocessing: {train_split: 99, validation_split: 1}", "preprocessing.validation_split", 0.01),
        ("preprocessing: {train_split: 0.8}", "preprocessing.validation_split", 0.2),
        ("preprocessing: {test_split: 0.1}", "preprocessing.train_split", 0.8),
        ("preprocessing: {validation_split: 0.25}", "preprocessing.train_split", 0.75),
    ],
)
def test_small_faults_with_one_meaning_are_put_right_with_a_warning(tmp_path, text, key, value):
    loaded = from_file(tmp_path, text)
    result = loaded.config
    for name in key.split("."):
        result = getattr(result, name)
    assert result == value
    assert type(result) is type(value)
    assert any(key in warning for warning in loaded.warnings)


@pytest.mark.parametrize(
    "text",
    [
        "preprocessing: {train_split: 0.8, validation_split: 0.1}",
        "preprocessing: {train_split: 90, validation_split: 20}",
        "preprocessing: {train_split: 1.5}",
        "preprocessing: {train_split: -0.1}",
        "preprocessing: {train_split: .inf}",
        "preprocessing: {train_split: .nan}",
        "preprocessing: {seed: seven}",
        "preprocessing: {seed: 1.5}",
        "preprocessing: {dedup: {exact: maybe}}",
    ],
)
def test_faults_with_several_meanings_are_refused(tmp_path, text):
    assert len(faults(tmp_path, text)) == 1


def test_splits_of_a_file_make_room_for_one_that_is_set(tmp_path):
    text = "preprocessing: {train_split: 0.9, validation_split: 0.1, test_split: 0.0}"
    loaded = from_file(tmp_path, text, overrides=["preprocessing.test_split=0.1"])
    splits = loaded.config.preprocessing
    assert (splits.train_split, splits.validation_split, splits.test_split) == (0.8, 0.1, 0.1)
    assert any("0.9 taken as 0.8" in warning for warning in loaded.warnings)


def test_texts_stay_as_they_are_spelled(tmp_path):
    text = "model: {name: 007, date: 2024-07-26, special_tokens: {pad_token: 0, eos_token: no}}\ngoal: yes\n"
    config = from_file(tmp_path, text).config
    assert (config.model.name, config.model.date, config.goal) == ("007", "2024-07-26", "yes")
    assert config.model.special_tokens == {"pad_token": "0", "eos_token": "no"}


def test_names_of_the_users_own_keep_case_and_points():
    layers = [
        environment_layer({"FORGE_CONFIG__DATA__MAPPING__ROLES__Bot": "assistant", "FORGE_CONFIGURED": "1"}),
        override_layer(["data.mapping.roles.a.b=user", "model.template_kwargs.enable_thinking=false"]),
    ]
    config = build(layers).config
    assert config.data.mapping.roles == {"Bot": "assistant", "a.b": "user"}
    assert config.model.template_kwargs == {"enable_thinking": False}


def test_values_of_overrides():
    overrides = [
        "output.columns=a, b",
        "model.chat_template={query}: [x]",
        "data.mapping.system=null",
        "preprocessing.dedup.key=rendered",
        "model.template_kwargs.stops=[1, 'two']",
        "goal=a=b",
    ]
    config = build([override_layer(overrides)]).config
    assert config.output.columns == ["a", "b"]
    assert config.model.chat_template == "{query}: [x]"
    assert config.data.mapping.system is None
    assert config.preprocessing.dedup.key == "rendered"
    assert config.model.template_kwargs == {"stops": [1, "two"]}
    assert config.goal == "a=b"


def test_layers_are_left_as_they_were():
    layer = Layer({"data": {"mapping": {"roles": {"a": "user"}}}})
    build([layer, override_layer(["data.mapping.roles.b=tool"])])
    assert layer.values == {"data": {"mapping": {"roles": {"a": "user"}}}}


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda b: b.decode("latin-1")))
def test_any_text_is_a_config_or_a_line(text):
    from forge_gpu.config.parse import parse

    try:
        parsed = parse(text, "forge.yaml")
        build([Layer(parsed.values, faults=parsed.faults)])
    except ConfigError as error:
        assert str(error)
