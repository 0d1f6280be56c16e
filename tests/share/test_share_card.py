"""The card: what `datasets` loads with it is what it loads without, and nothing in the data can forge it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from forge_gpu.errors import ConfigError, InputError, OutputError
from forge_gpu.share.card.body import MARK
from forge_gpu.share.card.metadata import size_category
from forge_gpu.share.card.write import write_card
from tests.job.jobs import rows, write_lines
from tests.share.made import CHAT, PAIRS, TOKENIZER, chats, pairs, prepared

TEXT: dict[str, Any] = {}
FORMS: dict[str, tuple[Any, dict[str, Any]]] = {
    "text": (None, TEXT),
    "shards": (
        None,
        {"output": {"rows_per_shard": 30}, "preprocessing": {"test_split": 0.1, "train_split": 0.8}},
    ),
    "parquet": (None, {"output": {"format": "parquet", "rows_per_shard": 50, "columns": ["category"]}}),
    "columns": (None, {"output": {"columns": ["category", "score"]}}),
    "prompt_completion": (None, {"output": {"form": "prompt_completion", "order": "shuffled"}}),
    "messages": (chats(40), {"data": {"mapping": CHAT}, "output": {"form": "messages"}}),
    "messages parquet": (
        chats(40),
        {"data": {"mapping": CHAT}, "output": {"form": "messages", "format": "parquet"}},
    ),
    "preference": (pairs(40), {"data": {"mapping": PAIRS}, "output": {"form": "preference"}}),
    "source": (None, {"output": {"form": "source"}}),
    "tokens": (
        None,
        {"output": {"form": "tokens"}, "tokens": {"tokenizer": str(TOKENIZER)}},
    ),
    "tokens parquet": (
        None,
        {"output": {"form": "tokens", "format": "parquet"}, "tokens": {"tokenizer": str(TOKENIZER)}},
    ),
}


def load(folder: Path, cache: Path) -> Any:
    import datasets

    datasets.disable_progress_bars()
    return datasets.load_dataset(str(folder), cache_dir=str(cache))


def about(folder: Path) -> dict[str, Any]:
    """The card's YAML, as the hub reads it."""
    text = (folder / "README.md").read_text()
    return yaml.safe_load(text.split("\n---\n")[0].removeprefix("---\n"))


@pytest.mark.parametrize("form", FORMS)
def test_the_same_is_loaded_with_a_card_and_without(form, tmp_path):
    records, sections = FORMS[form]
    folder = prepared(tmp_path / "out", records, **sections)
    bare = load(folder, tmp_path / "bare")
    write_card(folder)
    carded = load(folder, tmp_path / "carded")
    assert set(carded) == set(bare) and "train" in carded
    for split in bare:
        assert carded[split].to_list() == bare[split].to_list()
    info = about(folder)["dataset_info"]
    assert {of["name"]: of["num_examples"] for of in info["splits"]} == {of: len(bare[of]) for of in bare}
    if "features" in info:
        assert carded["train"].features == bare["train"].features or form == "columns"


def test_features_are_named_where_all_rows_have_the_same(tmp_path):
    named = []
    for form, (records, sections) in FORMS.items():
        folder = prepared(tmp_path / form.replace(" ", "-") / "out", records, **sections)
        write_card(folder)
        if "features" in about(folder)["dataset_info"]:
            named.append(form)
    assert named == [form for form in FORMS if form not in ("columns", "source")]


def test_an_empty_split_is_left_out_of_what_is_loaded(tmp_path):
    folder = prepared(tmp_path / "out", rows(3), preprocessing={"validation_split": 0.1, "train_split": 0.9})
    assert (folder / "validation.jsonl").stat().st_size == 0
    write_card(folder)
    assert list(load(folder, tmp_path / "cache")) == ["train"]


def test_it_says_what_was_left_out_and_why(tmp_path):
    source = [*rows(50), {"instruction": None, "output": "x"}, {"output": "y"}, {"output": "z"}]
    folder = prepared(tmp_path / "out", source)
    text = write_card(folder).read_text()
    assert "| 1 | rejected | null_field: a column that the plan maps is null |" in text
    assert "| 2 | rejected | missing_field: a column that the plan maps is missing |" in text
    assert "| duplicate | equal to an earlier row |" in text


@pytest.mark.parametrize(
    ("special", "says"),
    [
        (
            {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"},
            ["BOS: the texts begin with", "EOS: the texts end with"],
        ),
        ({"bos_token": "<s>", "eos_token": "</s>"}, ["BOS: not every text", "EOS: not every text"]),
        ({}, ["BOS: the plan names no such token", "EOS: the plan names no such token"]),
    ],
)
def test_it_says_what_the_tokenizer_must_not_add(special, says, tmp_path):
    folder = prepared(tmp_path / "out", rows(20), model={"special_tokens": special})
    text = write_card(folder).read_text()
    assert all(line in text for line in says)


@pytest.mark.parametrize(
    ("named", "required"),
    [
        ("CC-BY-4.0", {"license": "cc-by-4.0"}),
        ("My Own 1.0", {"license": "other", "license_name": "My Own 1.0"}),
        (None, {}),
    ],
)
def test_the_licence_is_the_plan_s_and_changes_no_byte(named, required, tmp_path):
    bare = prepared(tmp_path / "bare" / "out", rows(20))
    folder = prepared(tmp_path / "named" / "out", rows(20), license=named) if named else bare
    write_card(folder)
    assert {key: of for key, of in about(folder).items() if key.startswith("license")} == required
    assert (folder / "train.jsonl").read_bytes() == (bare / "train.jsonl").read_bytes()


def test_a_licence_may_be_named_instead(tmp_path):
    folder = prepared(tmp_path / "out", rows(20), license="mit")
    write_card(folder, "apache-2.0")
    assert about(folder)["license"] == "apache-2.0"
    with pytest.raises(ConfigError, match="is not the name of a licence"):
        write_card(folder, "x\n---")


def test_it_is_never_written_over_a_readme_of_others(tmp_path):
    folder = prepared(tmp_path / "out", rows(20))
    path = folder / "README.md"
    for own in ("my own words", "", f"---\na: 1\n---\nmine\n{MARK}\n", f"# x\n{MARK}\n"):
        path.write_text(own)
        with pytest.raises(OutputError, match="Forge did not write it"):
            write_card(folder)
        assert path.read_text() == own
    path.unlink()
    outside = tmp_path / "outside"
    path.symlink_to(outside)
    with pytest.raises(OutputError, match="Forge did not write it"):
        write_card(folder)
    assert not outside.exists()
    path.unlink()
    first = write_card(folder).read_bytes()
    assert write_card(folder).read_bytes() == first


HOSTILE = [
    "a|b",
    "`x`",
    "---",
    "\n---\n# forged",
    "yes",
    "null",
    "![x](http://x)",
    "<script>",
    ": {",
    "e\u0301\u202e",
    "`" * 9,
]


def test_no_name_in_the_data_means_anything_in_the_card(tmp_path):
    records = [{**row, **{name: "v" for name in HOSTILE}} for row in rows(30)]
    folder = prepared(
        tmp_path / "# forged | `x`" / "out|`y`", records, output={"columns": HOSTILE}, goal="\n# forged\n"
    )
    text = write_card(folder).read_text()
    info = about(folder)["dataset_info"]
    assert [feature["name"] for feature in info["features"]] == ["text", *HOSTILE]
    assert list(load(folder, tmp_path / "cache")["train"].features) == ["text", *HOSTILE]
    body = text.split(MARK)[1]
    assert "\n# forged" not in body and "\n---\n" not in body
    tables = [line for line in body.splitlines() if line.startswith("|")]
    assert all(line.count("|") - line.count("\\|") in (3, 4, 5) for line in tables)


def test_no_secret_and_no_folder_of_the_preparer_is_in_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_" + "s3cr3t" * 5)
    folder = prepared(tmp_path / "out", rows(20), goal=f"with hf_{'s3cr3t' * 5}")
    text = write_card(folder).read_text()
    assert "s3cr3t" not in text and str(tmp_path) not in text


def test_it_takes_a_whole_prepared_folder_alone(tmp_path):
    with pytest.raises(InputError, match="there is no such folder"):
        write_card(tmp_path / "none")
    with pytest.raises(InputError, match="holds no manifest"):
        write_card(tmp_path)
    (tmp_path / ".forge").mkdir()
    with pytest.raises(InputError, match="its job is not finished"):
        write_card(tmp_path)
    with pytest.raises(InputError, match="is a file"):
        write_card(write_lines(tmp_path / "raw.jsonl", []))
    folder = prepared(tmp_path / "out", rows(20))
    with (folder / "train.jsonl").open("a") as file:
        file.write("{}\n")
    with pytest.raises(InputError, match=r"train\.jsonl: has .* bytes, the manifest says"):
        write_card(folder)
    (folder / "train.jsonl").unlink()
    with pytest.raises(InputError, match=r"train\.jsonl: No such file"):
        write_card(folder)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"file":"train.jsonl"', b'"file":"../raw.jsonl"'),
        (b'"file":"train.jsonl"', b'"file":"/etc/passwd"'),
        (b'"split":"train"', b'"split":"# forged"'),
        (b'"columns":{"text":"string"}', b'"columns":{"text":7}'),
        (b'"columns":{"text":"string"}', b'"columns":[]'),
        (b'"columns":{"text":"string"}', b'"columns":{"text":"x | y\\n# forged"}'),
        (b'"rows":20', b'"rows":"# forged"'),
    ],
)
def test_a_manifest_that_lies_is_refused(old, new, tmp_path):
    import json

    folder = prepared(tmp_path / "out", rows(20))
    path = folder / "manifest.json"
    text = json.dumps(json.loads(path.read_bytes()), separators=(",", ":")).encode()
    assert old in text
    path.write_bytes(text.replace(old, new))
    with pytest.raises(InputError, match="is not a manifest of Forge"):
        write_card(folder)


@pytest.mark.parametrize(
    ("rows", "name"), [(0, "n<1K"), (1000, "1K<n<10K"), (10**9, "1B<n<10B"), (10**13, "100B<n<1T")]
)
def test_sizes_have_the_hub_s_names(rows, name):
    assert size_category(rows) == name
