"""What rows became by Jinja, from one pass to the next: a row is rendered once, whoever asks again.

It is a cache: content decides what is found, and what has no room is rendered again. So bytes do not depend
on it, and a run that goes on from a checkpoint begins with an empty one.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import weakref
from typing import Any

MOST_BYTES = 2**30
"""Of the file, which is temporary and has no name."""

PAGE_BYTES, CACHED_PAGES = 4096, 2048


class Once:
    """Values of JSON by keys. Safe with threads; holds 8 MiB of memory, and beyond that a temporary file."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._lock = threading.Lock()
        temporary = ""  # to SQLite
        self._rows = sqlite3.connect(temporary, check_same_thread=False, isolation_level=None)
        for setting in (
            f"page_size = {PAGE_BYTES}",
            f"cache_size = {CACHED_PAGES}",
            f"max_page_count = {max(most_bytes // PAGE_BYTES, 8)}",
            "journal_mode = OFF",
            "synchronous = OFF",
        ):
            self._rows.execute(f"PRAGMA {setting}")
        self._rows.execute("CREATE TABLE rows (key BLOB PRIMARY KEY, value TEXT)")
        self._has_room = True

    def get(self, key: bytes) -> Any:
        """The value of a key, None where there is none."""
        with self._lock:
            try:
                row = self._rows.execute("SELECT value FROM rows WHERE key = ?", (key,)).fetchone()
            except sqlite3.Error:
                return None
        return None if row is None else json.loads(row[0])

    def put(self, key: bytes, value: Any) -> None:
        """Note a value, while there is room."""
        if not self._has_room:
            return
        text = json.dumps(value)
        with self._lock:
            try:
                self._rows.execute("INSERT OR REPLACE INTO rows VALUES (?, ?)", (key, text))
            except sqlite3.Error:  # the file has its size, or the disk is full
                self._has_room = False

    def __del__(self) -> None:
        self._rows.close()


_alive: weakref.WeakValueDictionary[str, Once] = weakref.WeakValueDictionary()
_making = threading.Lock()


def once() -> Once:
    """That of this process: it lasts as long as anyone holds it."""
    with _making:
        made = _alive.get("once")
        if made is None:
            made = _alive["once"] = Once()
        return made
