"""HEADLINE

What `forge prepare` makes of the plan below, in plain Python: python prepare_data.py [OUTPUT]. It holds all
rows in memory, is slow, and is made to be read: a specification that runs. It needs xxhash, nothing of Forge.
"""

from __future__ import annotations

import json
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

import xxhash

# plan: begin
PLAN: dict[str, Any] = {}
# plan: end

MASK = 2**64 - 1


class Rejected(Exception):
    """A row that is left out; the text is the reason."""


class Spelled(str):
    """A number as the input spells it."""


def record(line: bytes) -> dict[str, Any]:
    """One line as a record. NaN, lone surrogates, and all that is not an object, are rejected."""

    def no_number(name: str) -> NoReturn:
        raise ValueError(name)

    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        raise Rejected("invalid_utf8") from None
    try:
        row = json.loads(text, parse_constant=no_number, parse_int=Spelled, parse_float=Spelled)
    except ValueError:
        raise Rejected("invalid_json") from None
    if not isinstance(row, dict):
        raise Rejected("not_an_object")
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Rejected("lone_surrogate") from None
    return row


def text_of(value: Any) -> str:
    """A value as a template shows it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        raise SystemExit("a list or an object stands where a text is shown: not in this script's reach")
    return value


def required(row: dict[str, Any], column: str) -> str:
    if column not in row:
        raise Rejected("missing_field")
    if row[column] is None:
        raise Rejected("null_field")
    return text_of(row[column])


def render(row: dict[str, Any]) -> str:
    """The text that the model is trained on."""
    query, response = required(row, PLAN["query"]), required(row, PLAN["response"])
    if PLAN["reject_empty"] and not (query.strip() and response.strip()):
        raise Rejected("empty_field")
    extra = row.get(PLAN["input"]) if PLAN["input"] else None
    if extra is not None and text_of(extra):
        query = f"{query}\n{text_of(extra)}"
    before, rest = PLAN["template"].split("{query}", 1)
    between, after = rest.split("{response}", 1)
    return f"{before}{query}{between}{response}{after}{PLAN['eos']}"


def line_of(text: str) -> bytes:
    return json.dumps({"text": text}, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def key_of(line: bytes) -> bytes:
    """What makes two rows duplicates: the text as JSON spells it, and a byte that no text has."""
    return line[len(b'{"text":"') : -len(b'"}\n')] + b"\xff"


def draw(key: bytes) -> int:
    """The number by which a row is drawn: SplitMix64's finaliser over the seed and the key's XXH3-128."""

    def mixed(number: int) -> int:
        number = (number ^ (number >> 30)) * 0xBF58476D1CE4E5B9 & MASK
        number = (number ^ (number >> 27)) * 0x94D049BB133111EB & MASK
        return number ^ (number >> 31)

    digest = xxhash.xxh3_128_intdigest(key)
    seed = mixed(mixed((PLAN["seed"] + 0x9E3779B97F4A7C15) & MASK) + 1 & MASK)
    return mixed(mixed(digest & MASK ^ seed) ^ digest >> 64)


def size_of(rows: int, share: str) -> int:
    """The rows of a split: its share, halves rounded up."""
    exact = Fraction(share)
    return (2 * rows * exact.numerator + exact.denominator) // (2 * exact.denominator)


def write(path: Path, data: bytes) -> None:
    """A new file: what had the name goes, and where it is a link, what that leads to stays as it is."""
    path.unlink(missing_ok=True)
    with path.open("xb") as file:
        file.write(data)


def main() -> None:
    seen: set[bytes] = set()
    lines: list[bytes] = []
    fates: dict[str, int] = {}
    for name in PLAN["inputs"]:
        for line in Path(name).read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n"):
            if not line.strip(b" \t\r"):
                continue
            try:
                made = line_of(render(record(line)))
            except Rejected as why:
                fates[str(why)] = fates.get(str(why), 0) + 1
                continue
            if PLAN["drop_duplicates"] and key_of(made) in seen:
                fates["duplicate"] = fates.get("duplicate", 0) + 1
                continue
            seen.add(key_of(made))
            lines.append(made)
    drawn = sorted(range(len(lines)), key=lambda row: (draw(key_of(lines[row])), row))
    tests = size_of(len(lines), PLAN["test"])
    validations = min(size_of(len(lines), PLAN["validation"]), len(lines) - tests)
    splits = dict.fromkeys(drawn[:tests], "test")
    splits |= dict.fromkeys(drawn[tests : tests + validations], "validation")
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "prepared")
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "validation", "test"):
        chosen = [line for row, line in enumerate(lines) if splits.get(row, "train") == split]
        fates[split] = len(chosen)
        if chosen or split != "test":
            write(folder / f"{split}.jsonl", b"".join(chosen))
    print(json.dumps(fates))


if __name__ == "__main__":
    main()
