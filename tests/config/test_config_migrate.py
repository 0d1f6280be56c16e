import os

import pytest

from forge_gpu.config.load import load
from forge_gpu.errors import ConfigError

OLD = """\
train_split: 80
validation_split: 20
seed: 7
quality_checks:
  empty: warn
data:
  inputs: [a.jsonl]
"""


def test_an_older_version_is_migrated_with_a_backup_and_a_line(tmp_path):
    path = tmp_path / "forge.yaml"
    path.write_text(OLD)
    loaded = load(path, {})
    assert loaded.migrated_from == 0
    splits = loaded.config.preprocessing
    assert (splits.train_split, splits.seed, splits.quality_checks.empty) == (0.8, 7, "warn")
    assert loaded.config.data.inputs == ["a.jsonl"]
    backup = tmp_path / "forge.yaml.v0.bak"
    assert backup.read_text() == OLD
    assert loaded.warnings[0] == f"{path}: migrated from version 0 to 1; the old file is {backup}"
    again = load(path, {})
    assert (again.config, again.migrated_from, again.warnings) == (loaded.config, None, ())


def test_overrides_are_not_written_into_the_migrated_file(tmp_path):
    path = tmp_path / "forge.yaml"
    path.write_text(OLD)
    assert load(path, {}, ["preprocessing.seed=8"]).config.preprocessing.seed == 8
    assert load(path, {}).config.preprocessing.seed == 7


def test_faults_of_an_older_file_name_its_own_lines_and_leave_it_alone(tmp_path):
    path = tmp_path / "forge.yaml"
    path.write_text("goal: x\nseed: never\n")
    with pytest.raises(ConfigError, match=r"forge\.yaml:2: preprocessing\.seed: must be"):
        load(path, {})
    assert path.read_text() == "goal: x\nseed: never\n"
    assert os.listdir(tmp_path) == ["forge.yaml"]


def test_a_key_in_both_places_is_refused(tmp_path):
    path = tmp_path / "forge.yaml"
    path.write_text("seed: 1\npreprocessing: {seed: 2}\n")
    with pytest.raises(
        ConfigError, match=r"forge\.yaml:1: seed: unknown key; did you mean preprocessing\.seed"
    ):
        load(path, {})


def test_a_file_without_version_and_without_old_keys_is_of_this_version(tmp_path):
    path = tmp_path / "forge.yaml"
    path.write_text("goal: x\n")
    assert load(path, {}).migrated_from is None
    assert path.read_text() == "goal: x\n"
