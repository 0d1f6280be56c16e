"""More of a hostile transform, by numpy and Arrow. It stands behind `hostile.py`, and is read as text."""

import os

import numpy as np
import pyarrow as pa


def read_by_arrow_file(row):
    return pa.OSFile(row["path"]).read(64).hex()


def read_by_arrow_map(row):
    return pa.memory_map(row["path"]).read(64).hex()


def read_by_arrow_stream(row):
    return pa.input_stream(row["path"]).read(64).hex()


def read_by_numpy(row):
    return np.fromfile(row["path"], np.uint8).tobytes().hex()


def read_by_numpy_map(row):
    return bytes(np.memmap(row["path"], np.uint8, "r")).hex()


def read_by_numpy_text(row):
    return repr(np.genfromtxt(row["path"], str))


def write_by_arrow_file(row):
    with pa.OSFile(row["path"], "wb") as file:
        file.write(b"taken")
    return True


def write_by_arrow_map(row):
    return pa.create_memory_map(row["path"], 64).size()


def write_by_numpy(row):
    np.ones(8).tofile(row["path"])
    return True


def write_by_numpy_save(row):
    np.save(row["path"], np.ones(8))
    return True


def load_arrow_files(row):
    from pyarrow import fs

    return repr(fs.LocalFileSystem().get_file_info(row["path"]))


def load_arrow_tables(row):
    import pyarrow.csv

    return repr(pyarrow.csv.read_csv(row["path"]))


def load_native(row):
    return np.ctypeslib.load_library(row["path"], "/usr/lib")


def share_memory(row):
    from multiprocessing import shared_memory

    return shared_memory.SharedMemory(create=True, size=64).name


def allocate_by_arrow(row):
    return pa.allocate_buffer(row["size"]).size


def allocate_by_numpy(row):
    return int(np.ones(row["size"], np.uint8).sum())


def threads_of_arrow(row):
    pa.set_cpu_count(8)
    table = pa.table({"a": list(range(100_000)), "b": list(range(100_000))})
    table.group_by("a", use_threads=True).aggregate([("b", "sum")])
    return len(os.listdir("/proc/self/task"))


def transform_batch(batch):
    if len(batch) > 1:
        raise ValueError("one row after another")
    row = {name: value for name, value in batch.to_pylist()[0].items() if name != "_row"}
    if isinstance(row.get("arguments"), str):
        import json

        row["arguments"] = json.loads(row["arguments"])
    return pa.RecordBatch.from_pylist([{"got": repr(globals()[row["attack"]](row))}])
