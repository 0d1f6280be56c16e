"""The cases, in the order of the page."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks import oracle
from benchmarks.case import Case, Check, Point
from benchmarks.contenders import Contender
from benchmarks.inputs import Inputs

HERE = Path(__file__).parent
TEMPLATES = ("chatml", "llama3", "qwen25")
MULTIPLES = (1, 4, 16)

FORGE = Contender("forge", "benchmarks.ours", peer=False)
POLARS = Contender("polars", "benchmarks.peers.polars")
DUCKDB = Contender("duckdb", "benchmarks.peers.duckdb")
PANDAS = Contender("pandas", "benchmarks.peers.pandas")
DATASETS = Contender("datasets tuned", "benchmarks.peers.hf_datasets")
JINJA = Contender("jinja", "benchmarks.peers.jinja")
TRANSFORMERS = Contender("transformers", "benchmarks.peers.transformers")
FORGE_CHECKED = Contender(
    "forge, default checks", "benchmarks.ours", peer=False, task="whole_job", arguments={"plan": "checked"}
)
FRAMES = (POLARS, DUCKDB, PANDAS, DATASETS)

READ = Contender("floor: read the file", "benchmarks.floors", peer=False, task="read_file", floor=True)
COPY = Contender("floor: copy the file", "benchmarks.floors", peer=False, task="copy_file", floor=True)
MEMCPY = Contender("floor: memcpy its bytes", "benchmarks.floors", peer=False, task="memcpy", floor=True)
GUNZIP = Contender("floor: isal", "benchmarks.floors", peer=False, task="gunzip", floor=True)
UNZSTD = Contender("floor: zstd", "benchmarks.floors", peer=False, task="unzstd", floor=True)
DECODE = Contender("floor: Arrow decodes", "benchmarks.floors", peer=False, task="decode_parquet", floor=True)
ENCODE = Contender("floor: Arrow encodes", "benchmarks.floors", peer=False, task="encode_parquet", floor=True)
SIMDJSON = Contender("floor: simdjson parse", "benchmarks.peers.simdjson", task="parse", floor=True)


def launched(name: str, peer: str, task: str = "whole_job") -> Contender:
    """A peer's whole job as a command."""
    arguments = {"module": f"benchmarks.peers.{peer}", "task": task}
    return Contender(name, "benchmarks.launch", peer=False, task="whole_job", arguments=arguments)


FORGE_COMMAND = Contender(
    "forge", "benchmarks.launch", peer=False, task="prepare", arguments={"plan": "bare"}
)
FRAME_COMMANDS = (
    launched("polars", "polars"),
    launched("duckdb", "duckdb"),
    launched("pandas", "pandas"),
    launched("datasets tuned", "hf_datasets"),
)


def flat(inputs: Inputs) -> list[Point]:
    return [Point(*inputs.flat())]


def job(inputs: Inputs) -> list[Point]:
    return [Point(*inputs.job())]


def gzipped(inputs: Inputs) -> list[Point]:
    return [Point(*inputs.packed(".jsonl.gz"))]


def zstandard(inputs: Inputs) -> list[Point]:
    return [Point(*inputs.packed(".jsonl.zst"))]


def parquet(inputs: Inputs) -> list[Point]:
    return [Point(*inputs.packed(".parquet"))]


def near(inputs: Inputs) -> list[Point]:
    return [Point(*inputs.near())]


def smallest(inputs: Inputs) -> list[Point]:
    return [Point(*inputs.start(), label="a small file")]


def chats(inputs: Inputs) -> list[Point]:
    return [
        Point(*inputs.chat(), label=name, arguments={"template": str(HERE / "templates" / f"{name}.jinja")})
        for name in TEMPLATES
    ]


def multiples(inputs: Inputs) -> list[Point]:
    return [Point(*inputs.memory(times), label=f"{times}×") for times in MULTIPLES]


def in_memory(inputs: Inputs) -> list[Point]:
    path, rows = inputs.frames()
    return [Point(path, rows, label=f"{cores} thread{'s' * (cores > 1)}", cores=cores) for cores in (1, 2)]


def over_cores(inputs: Inputs) -> list[Point]:
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    counts = sorted({1, 2, 4, 8, 16, allowed} & set(range(1, allowed + 1)))
    path, rows = inputs.job()
    return [Point(path, rows, label=f"{count} thread{'s' * (count > 1)}", cores=count) for count in counts]


def command(name: str, argv: list[str]) -> Contender:
    return Contender(name, "benchmarks.launch", peer=False, task="start", arguments={"argv": argv})


def frame_case(name: str, about: str, check: Check, *more: Contender, writes: bool = False) -> Case:
    """A step that every frame library has, on the flat file."""
    return Case(name, about, name, (FORGE, *FRAMES, *more), flat, check, writes)


def method_case(name: str, about: str, peers_task: str, check: Check) -> Case:
    """A method of the library's engine on a frame in memory, on one core and on two."""
    ours = Contender("forge", "benchmarks.ours_frames", peer=False)
    peers = [Contender(peer.name, peer.module, task=peers_task) for peer in (POLARS, PANDAS)]
    return Case(name, about, name, (ours, *peers), in_memory, check)


CASES: tuple[Case, ...] = (
    Case(
        "whole_job",
        "From JSONL to chatml text in two JSONL files, without exact duplicates, split 9 to 1 by category.",
        "whole_job",
        (
            FORGE,
            FORGE_CHECKED,
            POLARS,
            Contender("polars by hash", "benchmarks.peers.polars", task="whole_job_hashed"),
            DUCKDB,
            PANDAS,
            DATASETS,
            Contender("datasets plain", "benchmarks.peers.hf_datasets", task="whole_job_plain"),
            SIMDJSON,
            READ,
            COPY,
            MEMCPY,
        ),
        job,
        oracle.job,
        writes=True,
    ),
    Case(
        "gzip_job",
        "The same whole job from JSON lines compressed with gzip.",
        "whole_job",
        (FORGE, POLARS, DUCKDB, DATASETS, GUNZIP, READ),
        gzipped,
        oracle.job,
        writes=True,
    ),
    Case(
        "zstd_job",
        "The same from lines compressed with Zstandard, which datasets reads with one more library.",
        "whole_job",
        (FORGE, POLARS, DUCKDB, UNZSTD, READ),
        zstandard,
        oracle.job,
        writes=True,
    ),
    Case(
        "parquet_job",
        "The same whole job from Parquet (Snappy, groups of 20,000 rows) to Parquet (Zstandard, level 1).",
        "whole_job_to_parquet",
        (FORGE, POLARS, DUCKDB, DATASETS, DECODE, ENCODE, READ),
        parquet,
        oracle.job_to_parquet,
        writes=True,
        on_disk=True,
    ),
    frame_case("read_jsonl", "From JSONL to columns of text.", oracle.columns, SIMDJSON, READ),
    frame_case("render_flat", "From columns to one chatml text for each row.", oracle.texts, MEMCPY),
    Case(
        "render_chat",
        "From parsed messages of three-turn conversations to text, with chat templates in Jinja.",
        "render_chat",
        (FORGE, JINJA, TRANSFORMERS),
        chats,
        oracle.chats,
    ),
    Case(
        "chat_from_json",
        "The same from lines of JSON, including parsing; peers parse with orjson.",
        "chat_from_json",
        (FORGE, JINJA),
        chats,
        oracle.chats,
    ),
    frame_case("write_jsonl", "From text and category to JSONL.", oracle.written, COPY, writes=True),
    frame_case("exact_dedup", "From texts to the distinct texts.", oracle.unique),
    Case(
        "near_dedup",
        "Near-duplicates by MinHash: 128 permutations of character 5-grams, 16 bands of 8, Jaccard 0.8.",
        "near_dedup",
        (
            FORGE,
            Contender("rensa", "benchmarks.peers.rensa"),
            Contender("datasketch", "benchmarks.peers.datasketch"),
            Contender("datatrove", "benchmarks.peers.datatrove"),
            Contender("Data-Juicer", "benchmarks.peers.data_juicer", environment="data-juicer"),
            Contender("text-dedup", "benchmarks.peers.text_dedup", environment="text-dedup"),
        ),
        near,
        oracle.near_duplicates,
    ),
    frame_case("split", "One in ten rows of every category goes to validation.", oracle.strata),
    method_case("frames_render", "From a frame's rows to one chatml text each.", "render_flat", oracle.texts),
    method_case("frames_dedup", "A frame without its repeated texts.", "exact_dedup", oracle.unique),
    method_case(
        "frames_split",
        "A frame split nine to one; Forge splits by seeded keys of the contents, peers shuffle and slice.",
        "shuffled_split",
        oracle.two_frames,
    ),
    Case(
        "start",
        "Starting up: `forge --help`, compared with Python itself.",
        "start",
        (
            command("forge", ["forge", "--help"]),
            command("import forge_gpu", ["python", "-c", "import forge_gpu"]),
            command("floor: python", ["python", "-c", "pass"]),
        ),
        smallest,
        oracle.anything,
        rounds=9,
    ),
    Case(
        "cold_small_job",
        "The whole job as a command, including imports, on a small file; Forge's kernels are compiled.",
        "prepare",
        (FORGE_COMMAND, *FRAME_COMMANDS),
        smallest,
        oracle.job,
        writes=True,
    ),
    Case(
        "first_run",
        "The first job ever on a machine: every kernel is compiled.",
        "prepare",
        (
            Contender(
                "forge", "benchmarks.launch", peer=False, task="first_prepare", arguments={"plan": "bare"}
            ),
        ),
        smallest,
        oracle.job,
        writes=True,
        rounds=2,
    ),
    Case(
        "memory",
        "The whole job as a command on more and more rows: time and peak memory.",
        "prepare",
        (FORGE_COMMAND, *FRAME_COMMANDS[:2]),
        multiples,
        oracle.job,
        writes=True,
        rounds=3,
    ),
    Case(
        "threads",
        "The whole job, warm, on more and more cores.",
        "whole_job",
        (FORGE, FORGE_CHECKED, POLARS, DUCKDB, DATASETS),
        over_cores,
        oracle.job,
        writes=True,
    ),
    Case(
        "resume",
        "The whole job as a command: uninterrupted, and killed half-way and run again (both parts counted).",
        "prepare",
        (
            FORGE_COMMAND,
            Contender(
                "forge, killed and resumed",
                "benchmarks.launch",
                peer=False,
                task="resumed",
                arguments={"plan": "bare"},
            ),
        ),
        flat,
        oracle.job,
        writes=True,
    ),
)
