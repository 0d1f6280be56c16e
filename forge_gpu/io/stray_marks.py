"""What stands before and after records and means nothing: byte order marks of files that were joined, zeros
where a writer was cut off."""

from __future__ import annotations

import numpy as np

from forge_gpu.fates import Reason
from forge_gpu.kernels.layout import U8, Records

_MARK = (0xEF, 0xBB, 0xBF)
_ZERO = 0
_BLANK = 32


def without_marks(records: Records) -> U8 | None:
    """The chunk with blanks for such bytes around its records that are not JSON, to be scanned again; None
    where there are none. Most chunks have no such record, and cost nothing."""
    data = None
    for row in np.flatnonzero(records.reason == Reason.INVALID_JSON).tolist():
        begin = int(records.start[row])
        end = begin + int(records.length[row])
        source = records.data[begin:end]
        if _ZERO not in (source[0], source[-1]) and tuple(source[:3]) != _MARK:
            continue
        data = records.data.copy() if data is None else data
        _blank(data[begin:end])
    return data


def _blank(record: U8) -> None:
    """Write over the zeros before and after all other bytes, and over a mark before them."""
    others = np.flatnonzero(record != _ZERO)
    first, last = (int(others[0]), int(others[-1]) + 1) if len(others) else (len(record), len(record))
    if tuple(record[first : first + 3]) == _MARK:
        first += 3
    record[:first] = _BLANK
    record[last:] = _BLANK
