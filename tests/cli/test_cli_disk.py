"""A disk that fills up: one line, what is finished is kept, and the same command goes on."""

import hashlib
import json
import resource
import subprocess
import sys

CODE = "from forge_gpu.cli.app import main; main()"


def prepare(folder, output, most=resource.RLIM_INFINITY):
    """`forge prepare` where no file can grow beyond `most` bytes."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))

    command = [sys.executable, "-c", CODE, "prepare", "--output", output, "--quiet"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, preexec_fn=limit)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_full_disk(tmp_path):
    records = [{"question": f"What is {n}?", "answer": f"It is {n}, {'it is ' * 20}"} for n in range(20_000)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    plan = [sys.executable, "-c", CODE, "plan", "--data", "a.jsonl", "--template", "chatml"]
    subprocess.run(plan, cwd=tmp_path, check=True, capture_output=True)
    assert prepare(tmp_path, "whole").returncode == 0
    for most, what in ((100_000, "index"), (2_000_000, "train.jsonl")):
        done = prepare(tmp_path, "full", most)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith("error: full") and "no space left to write" in done.stderr
        assert what in done.stderr
    assert prepare(tmp_path, "full").returncode == 0
    for name in ("train.jsonl", "validation.jsonl", "ledger.parquet"):
        assert digest(tmp_path / "full" / name) == digest(tmp_path / "whole" / name)
