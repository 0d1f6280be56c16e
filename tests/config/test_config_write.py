import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forge_gpu.config import keys
from forge_gpu.config.load import load
from forge_gpu.config.schema import Config
from forge_gpu.config.write import dumps, save

# Any text that UTF-8 can hold, with what YAML finds hard drawn often.
HARD = [
    "\0",
    "\r\n",
    "\r",
    "\t",
    " ",
    "\n",
    "\x7f",
    "\x85",
    "\u2028",
    "\ufeff",
    "\uffff",
    "\U0001f600",
    "é",
    "#",
    ": ",
]
HARD += [
    "- ",
    "|",
    ">",
    "%",
    "@",
    "`",
    "'",
    '"',
    "\\",
    "{",
    "}",
    "{%",
    "{{",
    "&a",
    "*a",
    "!!str",
    "? ",
    "---",
    "...",
    "~",
]
TEXT = st.lists(st.sampled_from(HARD) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)).map(
    "".join
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
FRACTION = st.integers(0, 1000).map(lambda n: n / 1000)


@st.composite
def configs(draw) -> Config:
    values = {
        "goal": draw(st.none() | TEXT),
        "data": {
            "inputs": draw(st.lists(TEXT, max_size=3)),
            "max_rejected": draw(st.none() | FRACTION | st.integers(2, 9)),
            "mapping": {
                "shape": draw(st.sampled_from(["flat", "conversation", "text"])),
                "query": draw(st.none() | TEXT),
                "roles": draw(st.dictionaries(TEXT, TEXT, max_size=3)),
            },
        },
        "model": {
            "name": draw(st.none() | TEXT),
            "chat_template": draw(st.none() | TEXT),
            "template_kwargs": draw(st.dictionaries(TEXT, JSON, max_size=3)),
            "append_eos": draw(st.booleans()),
            "max_length": draw(st.none() | st.integers(1, 2**40)),
            "special_tokens": draw(st.dictionaries(TEXT, TEXT, max_size=3)),
        },
        "hardware": {"vram_gb": draw(st.none() | st.floats(0, 1e3, exclude_min=True))},
        "preprocessing": {
            "seed": draw(st.integers(0, 2**63 - 1)),
            "chunk_size": draw(st.just("auto") | st.integers(1, 10**9)),
            "dedup": {"key": draw(st.just("rendered") | st.lists(TEXT, max_size=2))},
            "memory": {"budget": draw(st.just("auto") | st.integers(2**24, 2**40))},
            "quality_checks": {"max_repetition": draw(FRACTION)},
        },
        "output": {"columns": draw(st.lists(TEXT, max_size=3, unique=True))},
    }
    train = draw(FRACTION)
    values["preprocessing"] |= {
        "train_split": train,
        "validation_split": round(1 - train, 3),
        "test_split": 0.0,
    }
    return Config.model_validate(values)


REASONS = st.dictionaries(
    st.sampled_from([".".join(path) for path in keys.known()]), st.text(max_size=300), max_size=5
)


@settings(max_examples=40, deadline=None)
@given(config=configs(), reasons=REASONS)
def test_what_is_written_reads_back_the_same(tmp_path_factory, config, reasons):
    path = tmp_path_factory.mktemp("plan") / "forge.yaml"
    path.write_bytes(dumps(config, reasons).encode())
    loaded = load(path, {})
    assert loaded.config == config
    assert loaded.warnings == ()


TEMPLATES = [
    "{%- for m in messages %}\n  {{ m.content }}  \n{% endfor %}\n",
    "a\n\n\n",
    "  indented first\nline",
    "\n\nleading",
    "trailing space \n",
    "tab\tinside\n\tand first\n",
    "nul\0byte\nline",
    "windows\r\nlines\r\n",
    "\u2028 separators \x85\n",
    "# no comment\n# at all\n",
    "---\n...\n",
    " ",
    "\n",
    "",
]


@pytest.mark.parametrize("template", TEMPLATES)
def test_templates_survive_exactly(tmp_path, template):
    config = Config.model_validate({"model": {"chat_template": template}})
    save(tmp_path / "forge.yaml", config, {"model.chat_template": "because"})
    assert load(tmp_path / "forge.yaml", {}).config.model.chat_template == template


def test_a_long_template_is_a_block_that_people_can_read():
    config = Config.model_validate({"model": {"chat_template": "{% if a %}\n  x\n{% endif %}\n"}})
    text = dumps(config)
    assert "  chat_template: |\n    {% if a %}\n      x\n    {% endif %}\n" in text


def test_every_chosen_value_says_why():
    text = dumps(Config(), {"preprocessing.train_split": "nine in ten", "model.name": "no model\nwas named"})
    lines = text.splitlines()
    assert lines[lines.index("  train_split: 0.9") - 1] == "  # nine in ten"
    assert "  # no model was named" in lines


def test_a_different_plan_is_kept_and_the_same_one_is_not_copied(tmp_path):
    path = tmp_path / "plans" / "forge.yaml"
    assert save(path, Config(goal="one"), {}) is None
    assert save(path, Config(goal="one"), {}) is None
    first = path.read_text()
    backup = save(path, Config(goal="two"), {})
    assert backup == path.with_name("forge.yaml.bak")
    assert backup and backup.read_text() == first
    assert save(path, Config(goal="three"), {}) == path.with_name("forge.yaml.bak2")
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "forge.yaml",
        "forge.yaml.bak",
        "forge.yaml.bak2",
    ]
