"""One value however it is spelled."""

from __future__ import annotations

import json

import numpy as np
import pytest

from forge_gpu.kernels.cpu.scan import scan_records
from forge_gpu.records.identity import identity_of


def identities(*values: str) -> list[bytes]:
    data = "\n".join(f'{{"x": {value}}}' for value in values).encode()
    column = scan_records(np.frombuffer(data, np.uint8), "lines", ["x"], 2**20).columns["x"]
    result = identity_of(column)
    return [result.raw(i) for i in range(len(values))]


@pytest.mark.parametrize(
    "same",
    [
        ("101", "101.0", '"101"', "1.01e2", "10100E-2"),
        ("0", "-0", "0.0", "-0.0", "0e9", '"0"'),
        ("-1.5", "-1.50", '"-1.5"', "-15e-1"),
        ("0.001", "1e-3", '"0.001"'),
        ("123456789012345678901234567890", "123456789012345678901234567890.0"),
        ('{"a": 1, "b": [2.0]}', '{"b":[2],"a":1.0}'),
        ('"é"', '"\\u00e9"'),
    ],
)
def test_equal_values(same):
    texts = [json.loads(value) if value.startswith('"') else result.decode()
             for value, result in zip(same, identities(*same), strict=True)]  # fmt: skip
    assert len(set(texts)) == 1


def test_different_values():
    values = ("7", '"007"', '"7.0"', "true", '"true"', "false", "[7]", "70", "-7", "0.7", "1e500", "1e501")
    assert len(set(identities(*values))) == len(values)


def test_nothing_is_copied_where_values_are_alike_already():
    data = np.frombuffer(b'{"x": 1}\n{"x": "a"}\n{"x": -20}\n{}\n{"x": null}', np.uint8)
    column = scan_records(data, "lines", ["x"], 2**20).columns["x"]
    assert identity_of(column) is column
