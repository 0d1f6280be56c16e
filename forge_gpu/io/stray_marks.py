"""What stands before and after records and means nothing: byte order marks of files that were joined, zeros
where a writer was cut off."""

from __future__ import annotations

import numpy as np

from forge_gpu.fates import Reason
from forge_gpu.kernels.layout import U8, Records

_MARK = (0xEF, 0xBB, 0xBF)
_ZERO = 0
_BLANK = 32


def blank_marks(data: U8, records: Records) -> bool:
    """Write blanks over such bytes around the records that are no JSON; whether there were any: then the
    chunk is to be scanned again. data: the chunk's, in which the records lie."""
    found = False
    for row in np.flatnonzero(records.reason == Reason.INVALID_JSON).tolist():
        begin = int(records.start[row])
        end = begin + int(records.length[row])
        first, last = data[begin], data[end - 1]
        if tuple(data[begin : begin + 3]) == _MARK:
            data[begin : begin + 3] = _BLANK
            found = True
        if _ZERO in (first, last):
            _blank_zeros(data[begin:end])
            found = True
    return found


def _blank_zeros(record: U8) -> None:
    """Those before and after all other bytes."""
    others = np.flatnonzero(record != _ZERO)
    first, last = (int(others[0]), int(others[-1]) + 1) if len(others) else (len(record), len(record))
    record[:first] = _BLANK
    record[last:] = _BLANK
