"""JSON that is neither a record a line nor an array of records: where its records are, and these as lines.

A job reads such a file as lines of records, which are spooled. A record keeps the bytes that spell it, but
for line ends between them, which become carriage returns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

from forge_gpu.io.json_cursor import Cursor, JsonFault, text_of
from forge_gpu.io.json_stream import stream_records
from forge_gpu.io.stores import ByteStore, MemoryStore
from forge_gpu.plain import frozen

Kind = Literal["stream", "list", "ids", "columns", "numbered", "split"]
ID = b'"id"'
"""The column that holds the key under which a record stood."""


@frozen
class Layout:
    """stream: records one after another, however they are separated. list: the elements of a list. ids: the
    members of an object. columns: an object of lists, one a column. numbered: an object of objects, one a
    column, of which each has its rows by number or name. split: `columns` and `data`, a list of lists. path:
    the keys of objects under which that stands."""

    kind: Kind
    path: tuple[str, ...] = ()

    @property
    def about(self) -> str:
        """In words."""
        where = f"under {'.'.join(self.path)!r}" if self.path else "of the file"
        return {
            "stream": "records stand several on a line, or on several lines each",
            "list": f"records are the list {where}",
            "ids": f"records are the members of the object {where}; column 'id' holds their keys",
            "columns": f"columns are the lists {where}",
            "numbered": f"columns are the objects {where}, of values by row",
            "split": f"columns are named beside the rows {where}",
        }[self.kind]


def records(store: ByteStore, layout: Layout, max_row_bytes: int, begin: int = 0) -> Iterator[bytes]:
    """Each record as a line without its end. begin: the first byte of the text. Raises JsonFault."""
    if layout.kind == "stream":
        spelled = stream_records(store, max_row_bytes, begin)
    else:
        spelled = _inside(store, layout, begin)
    for record in spelled:
        yield record.replace(b"\n", b"\r")


def _inside(store: ByteStore, layout: Layout, begin: int) -> Iterator[bytes]:
    cursor = Cursor(store, begin)
    read: Callable[[ByteStore, Cursor], Iterator[bytes]] = {
        "list": _list,
        "ids": _by_id,
        "columns": _columns,
        "numbered": _numbered,
        "split": _split,
    }[layout.kind]
    yield from _below(store, cursor, layout.path, read)
    if cursor.peek():
        raise JsonFault("something follows the end of the object", cursor.offset)


def _below(
    store: ByteStore,
    cursor: Cursor,
    path: tuple[str, ...],
    read: Callable[[ByteStore, Cursor], Iterator[bytes]],
) -> Iterator[bytes]:
    """What `read` makes of the value at a path; other lists of records beside it are a fault."""
    if not path:
        yield from read(store, cursor)
        return
    is_past = False
    for key in cursor.members():
        if text_of(key) == path[0] and not is_past:
            yield from _below(store, cursor, path[1:], read)
            is_past = True
        elif is_past and _is_list_of_objects(cursor):
            raise JsonFault(
                f"records stand under {path[0]!r} and under {text_of(key)!r}: make a file of each with "
                "jq -c '.KEY[]'",
                cursor.offset,
            )
        else:
            cursor.skip()
    if not is_past:
        raise JsonFault(f"nothing stands under {path[0]!r}", cursor.offset)


def _is_list_of_objects(cursor: Cursor) -> bool:
    return cursor.peek() == b"[" and cursor.after() == b"{"


def _list(store: ByteStore, cursor: Cursor) -> Iterator[bytes]:
    for _ in cursor.elements():
        yield cursor.value()


def _by_id(store: ByteStore, cursor: Cursor) -> Iterator[bytes]:
    for key in cursor.members():
        yield _with_id(key, cursor.value())


def _with_id(key: bytes, record: bytes) -> bytes:
    """A record with the key that it stood under, unless it has an `id`."""
    if not record.startswith(b"{"):
        return record
    try:
        has_id = ID in record and any(_names(record))
    except JsonFault:
        return record  # it will be rejected
    rest = record[1:]
    comma = b"" if rest.lstrip(b" \t\r\n") == b"}" else b","
    return record if has_id else b"{" + ID + b":" + key + comma + rest


def _names(record: bytes) -> Iterator[bool]:
    """Whether each key of a record is `id`."""
    cursor = Cursor(MemoryStore(record))
    for key in cursor.members():
        yield key == ID
        cursor.skip()


def _columns(store: ByteStore, cursor: Cursor) -> Iterator[bytes]:
    keys, columns = [], []
    for key in cursor.members():
        if cursor.peek() != b"[":
            raise JsonFault(f"{text_of(key)!r} is not a list as the other columns are", cursor.offset)
        keys.append(key)
        columns.append(Cursor(store, cursor.offset))
        cursor.skip()
    values = [_list(store, column) for column in columns]
    yield from _rows(keys, values, columns)


def _rows(keys: list[bytes], values: list[Iterator[bytes]], columns: list[Cursor]) -> Iterator[bytes]:
    """Records of the values of each column, which have to be equally many."""
    row = 0
    while True:
        fields = [next(column, None) for column in values]
        if all(field is None for field in fields):
            return
        for key, field, column in zip(keys, fields, columns, strict=True):
            if field is None:
                raise JsonFault(
                    f"column {text_of(key)!r} has {row} values, and another has more", column.offset
                )
        yield _record(keys, [field for field in fields if field is not None])
        row += 1


def _record(keys: list[bytes], fields: list[bytes]) -> bytes:
    return b"{" + b",".join(key + b":" + field for key, field in zip(keys, fields, strict=True)) + b"}"


def _numbered(store: ByteStore, cursor: Cursor) -> Iterator[bytes]:
    keys, columns = [], []
    for key in cursor.members():
        keys.append(key)
        columns.append(Cursor(store, cursor.offset))
        cursor.skip()
    rows = [column.members() for column in columns]
    yield from _rows(keys, _by_same_row(rows, columns), columns)


def _by_same_row(rows: list[Iterator[bytes]], columns: list[Cursor]) -> list[Iterator[bytes]]:
    """The values of each column, whose rows have to be named like those of the first."""
    named: list[bytes] = []

    def values(number: int) -> Iterator[bytes]:
        for row, name in enumerate(rows[number]):
            if number == 0:
                named[:] = [name]
            elif named and name != named[0]:
                raise JsonFault(
                    f"row {row + 1} is {text_of(named[0])!r} in one column and {text_of(name)!r} in another",
                    columns[number].offset,
                )
            yield columns[number].value()

    return [values(number) for number in range(len(rows))]


def _split(store: ByteStore, cursor: Cursor) -> Iterator[bytes]:
    names: list[bytes] = []
    data: Cursor | None = None
    for key in cursor.members():
        if text_of(key) == "columns":
            names = list(_list(store, cursor))
        elif text_of(key) == "data":
            data = Cursor(store, cursor.offset)
            cursor.skip()
        else:
            cursor.skip()
    if data is None:
        raise JsonFault("there is no 'data'", cursor.offset)
    for row in _list(store, data):
        fields = list(_list(store, Cursor(MemoryStore(row))))
        if len(fields) != len(names):
            raise JsonFault(f"a row has {len(fields)} values for {len(names)} columns", data.offset)
        yield _record(names, fields)
