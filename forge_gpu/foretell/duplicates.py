"""How many rows will go as duplicates: bounds from those of a sample, which sees few of the pairs there are.

Of two equal rows both are in a share p of the rows with probability p^2, where copies lie apart, and with p
where they stand side by side. So 992 of 1,000 rows of a sample can be distinct where half of all are copies.
"""

from __future__ import annotations

from math import sqrt

from forge_gpu.foretell.interval import Interval


def duplicates(seen: int, rows: int, share: float, together: float, known: float | None = None) -> Interval:
    """Rows that go as duplicates. seen: of a sample of `rows` rows, a share of all, of which so many stand
    `together` at each place. known: of all, as the last run of this data with these settings had them.

    low: those that were seen. high: as many as there can be of pairs of which no more were seen, allowing for
    whole pieces that are copies of others; at most all rows that were not seen to be distinct. value: as in
    the sample.
    """
    if known is not None:
        return Interval.exact(known)
    if share >= 1:
        return Interval.exact(seen)
    all_rows = rows / share
    most = all_rows - (rows - seen)
    pairs = (seen + 2 * sqrt(seen * max(together, 1.0)) + 3 * max(together, 1.0)) / share**2
    return Interval(seen / share, seen, max(min(most, pairs), min(most, seen / share)))
