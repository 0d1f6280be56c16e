"""Lines between a container and its host: whatever comes, it is a message, or none."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import forge_gpu
from forge_gpu import errors
from forge_gpu._version import __version__
from forge_gpu.config.schema import Config
from forge_gpu.container.makers import FORGE, PYTHON, UNICODE, makers, sources_digest
from forge_gpu.container.protocol import PROTOCOL, Failed, Finished, Hello, read_line, to_line
from forge_gpu.errors import ContainerError, ForgeError, Interrupted

texts = st.text()
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), st.integers(0, 9)), st.booleans())
def test_messages_go_there_and_back(manifest, was_finished):
    for message in (Hello(1, "1.2"), Finished(manifest, was_finished), Failed("InputError", "a", "b", 2)):
        line = to_line(message)
        assert line.count(b"\n") == 1 and read_line(line) == message


@given(st.binary() | values.map(lambda value: json.dumps(value).encode()))
def test_what_is_no_message_is_a_value_error(line):
    with pytest.raises(ValueError):
        read_line(line)


@given(st.sampled_from(["hello", "result", "error"]), values)
def test_what_only_looks_like_a_message_is_a_value_error(key, value):
    with pytest.raises(ValueError):
        read_line(json.dumps({key: value}).encode())


@pytest.mark.parametrize(
    "error",
    [
        errors.NoPlanError("no plan"),
        errors.InputError("a file: is bad", ": 'quoted'"),
        errors.ValidationError("does not read back"),
        Interrupted(15),
        Interrupted(2),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_arrives_as_it_was(error: ForgeError):
    message = read_line(to_line(Failed.of(error)))
    assert isinstance(message, Failed)
    raised = message.error()
    assert type(raised) is type(error) and str(raised) == str(error)
    assert raised.exit_code == error.exit_code and raised.public == error.public


def test_a_fault_of_forge_is_one_of_the_container():
    raised = Failed.of(ZeroDivisionError("by\nzero")).error()
    assert isinstance(raised, ContainerError) and raised.exit_code == 70
    assert str(raised) == "a fault of Forge in the container: ZeroDivisionError: by zero"
    assert Failed.of(OSError(28, "No space left")).error().exit_code == 2
    assert Failed("int", "odd", "", 70).error().exit_code == 70


def test_only_this_version_is_spoken():
    Hello(PROTOCOL, __version__, makers()).require_ours("forge:cpu", Config())
    for other in (Hello(PROTOCOL + 1, __version__, makers()), Hello(PROTOCOL, "9.9", makers())):
        with pytest.raises(ContainerError, match=r"holds Forge .* with: forge image build"):
            other.require_ours("forge:cpu", Config())


NEAR: dict[str, Any] = {"preprocessing": {"dedup": {"near": {}}}}
SCRIPT: dict[str, Any] = {"data": {"transform": {"script": "transform.py"}}}


@pytest.mark.parametrize(
    ("other", "refused", "taken"),
    [
        (FORGE, [{}, NEAR, SCRIPT], []),
        ("pyarrow", [{}, NEAR, SCRIPT], []),
        ("jinja2", [{}, NEAR, SCRIPT], []),
        (UNICODE, [NEAR], [{}, SCRIPT]),
        (PYTHON, [SCRIPT], [{}, NEAR]),
    ],
)
def test_an_image_of_other_makers_is_refused_where_they_make_the_bytes(other, refused, taken):
    hello = Hello(PROTOCOL, __version__, makers() | {other: "another"})
    for values in refused:
        with pytest.raises(ContainerError, match=rf"it differs in {re.escape(other)}.*forge image build"):
            hello.require_ours("forge:cpu", Config.model_validate(values))
    for values in taken:
        hello.require_ours("forge:cpu", Config.model_validate(values))


def test_a_changed_source_is_another_forge(tmp_path):
    package = tmp_path / "forge_gpu"
    shutil.copytree(Path(forge_gpu.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    assert sources_digest(package) == makers()[FORGE]
    (package / "fates.py").open("a").write("\n")
    assert sources_digest(package) != makers()[FORGE]
