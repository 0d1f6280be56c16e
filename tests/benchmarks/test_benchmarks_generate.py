"""The generator: seeded, prefix-stable, realistic, and true about its duplicates."""

import json
import tracemalloc

import numpy as np
import pytest

from benchmarks import generate, work


def rows_of(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    path = tmp_path_factory.mktemp("flat") / "flat.jsonl"
    generate.write(path, "flat", 5_000)
    return path


@pytest.fixture(scope="module")
def truth(flat):
    return np.fromfile(generate.truth_path(flat), generate.TRUTH)


def test_same_seed_same_bytes_and_another_seed_others(flat, tmp_path):
    generate.write(tmp_path / "again.jsonl", "flat", 5_000)
    generate.write(tmp_path / "other.jsonl", "flat", 5_000, seed=8)
    assert (tmp_path / "again.jsonl").read_bytes() == flat.read_bytes()
    assert (tmp_path / "other.jsonl").read_bytes() != flat.read_bytes()


def test_a_shorter_file_is_the_beginning_of_a_longer_one(flat, truth, tmp_path):
    generate.write(tmp_path / "short.jsonl", "flat", 3_001)
    assert flat.read_bytes().startswith((tmp_path / "short.jsonl").read_bytes())
    short = np.fromfile(generate.truth_path(tmp_path / "short.jsonl"), generate.TRUTH)
    assert (short == truth[:3_001]).all()


def test_truth_says_what_is_a_copy_of_what(flat, truth):
    rows = rows_of(flat)
    assert len(rows) == len(truth) == 5_000
    for row, (source, kind, edited) in enumerate(truth.tolist()):
        if kind == generate.ORIGINAL:
            assert source == -1
            continue
        assert 0 <= source < row and truth["kind"][source] == generate.ORIGINAL
        if kind == generate.EXACT:
            assert rows[row] == rows[source]
        else:
            theirs, mine = rows[source]["output"].split(" "), rows[row]["output"].split(" ")
            changed = sum(a != b for a, b in zip(theirs, mine, strict=True))
            assert changed <= round(edited * len(theirs)) and 0 < edited <= 1
    shares = np.bincount(truth["kind"]) / len(truth)
    assert shares[generate.EXACT] == pytest.approx(0.05, abs=0.015)
    assert shares[generate.NEAR] == pytest.approx(0.03, abs=0.015)


def test_originals_are_all_different(flat, truth):
    originals = [
        work.render(row) for row, kind in zip(rows_of(flat), truth["kind"], strict=True) if kind == 0
    ]
    assert len(set(originals)) == len(originals)


def test_texts_hold_what_real_ones_hold(flat):
    raw = flat.read_bytes()
    text = "".join(row["output"] for row in rows_of(flat))
    assert b"\\u" in raw and b'\\"' in raw and b"\\n" in raw and b"\\\\" in raw and b"\\t" in raw
    assert any(ord(character) > 0xFFFF for character in text)
    assert any(0x4E00 <= ord(character) < 0xA000 for character in text)
    assert any(0x400 <= ord(character) < 0x500 for character in text)
    inputs = [row["input"] for row in rows_of(flat)]
    assert 0.5 < sum(not value for value in inputs) / len(inputs) < 0.7


def test_lengths_are_log_normal(flat):
    words = np.log([len(row["output"].split()) for row in rows_of(flat)])
    assert abs(np.mean(words) - np.median(words)) < 0.15
    assert 0.6 < np.std(words) < 1.4


def test_chats_have_three_turns(tmp_path):
    generate.write(tmp_path / "chat.jsonl", "chat", 300)
    for row in rows_of(tmp_path / "chat.jsonl"):
        roles = [message["role"] for message in row["messages"]]
        assert roles[-6:] == ["user", "assistant"] * 3 and roles[:-6] in ([], ["system"])
        assert all(message["content"] for message in row["messages"])


def test_trajectories_answer_every_call(tmp_path):
    generate.write(tmp_path / "tools.jsonl", "tools", 300)
    for row in rows_of(tmp_path / "tools.jsonl"):
        named = {
            tool["function"]["name"]: tool["function"]["parameters"]["properties"] for tool in row["tools"]
        }
        messages = row["messages"]
        assert messages[0]["role"] == "user" and messages[-1]["role"] == "assistant"
        for asked, answered in zip(messages[1:-1:2], messages[2:-1:2], strict=True):
            (call,) = asked["tool_calls"]
            assert answered["tool_call_id"] == call["id"]
            assert set(json.loads(call["function"]["arguments"])) == set(named[call["function"]["name"]])


def test_memory_does_not_grow_with_the_file(tmp_path):
    def peak(rows):
        tracemalloc.start()
        generate.write(tmp_path / "grown.jsonl", "flat", rows)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    generate.write(tmp_path / "warm.jsonl", "flat", 10)
    assert peak(16_000) < 1.3 * peak(8_000)


def test_a_cut_run_leaves_no_file_under_the_name(tmp_path, monkeypatch):
    def broken(rng, rows):
        raise KeyboardInterrupt

    monkeypatch.setattr(generate, "_flat", broken)
    with pytest.raises(KeyboardInterrupt):
        generate.write(tmp_path / "cut.jsonl", "flat", 10)
    assert not (tmp_path / "cut.jsonl").exists()
