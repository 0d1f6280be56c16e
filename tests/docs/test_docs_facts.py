"""What the documentation states of settings, files, fates and exit codes is what the code has."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest

import forge_gpu
from forge_gpu import errors
from forge_gpu.config import keys
from forge_gpu.config.schema import Config, Section
from forge_gpu.fates import Fate, Reason, name
from tests.docs import docs_pages
from tests.docs.docs_pages import PAGES, ROOT, prose

DOCS = ROOT / "docs"
README = ROOT / "README.md"
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)(?:#[^)]*)?\)")


@cache
def table_rows(page: str) -> dict[str, list[str]]:
    """The cells of every table row of a page whose first cell is code, by that code."""
    rows = {}
    for line in (DOCS / page).read_text().splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and re.fullmatch(r"`[^`]+`", cells[0]):
            rows[cells[0].strip("`")] = cells
    return rows


def settings(section: type[Section], prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """Dotted key -> (annotation, default) of every key of forge.yaml.

    A section that may be null is a key as well. One that is like a section before it, as a second mapping,
    has no keys of its own in the page.
    """
    result: dict[str, tuple[Any, Any]] = {}
    reported: set[Any] = set()
    for key, field in section.model_fields.items():
        default = field.get_default(call_default_factory=True)
        inner = inner_section(field.annotation)
        if inner is None or default is None:
            result[prefix + key] = (field.annotation, default)
        if inner is not None and inner not in reported:
            result |= settings(inner, f"{prefix}{key}.")
            reported.add(inner)
    return result


def inner_section(annotation: Any) -> type[Section] | None:
    kinds = (annotation, *get_args(annotation))
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Section)), None)


def words(annotation: Any) -> set[str]:
    """The words that a key may have as its value, or in the list that is its value."""
    if get_origin(annotation) is Literal:
        return {word for word in get_args(annotation) if isinstance(word, str)}
    return set().union(*map(words, get_args(annotation)))


def shown(default: Any) -> str:
    if default is None:
        return "null"
    return str(default).lower() if isinstance(default, bool) else str(default)


def test_every_setting_is_in_the_page_and_no_other():
    assert set(table_rows("configuration.md")) == set(settings(Config))


@pytest.mark.parametrize("key", settings(Config))
def test_a_setting_has_its_default_and_its_words(key):
    annotation, default = settings(Config)[key]
    cells = table_rows("configuration.md")[key]
    assert cells[1] == f"`{shown(default)}`"
    missing = {word for word in words(annotation) if f"`{word}`" not in " ".join(cells[1:])}
    assert not missing


def test_settings_without_effect_on_the_output_are_marked():
    marked = {key for key, cells in table_rows("configuration.md").items() if cells[-1].endswith("†")}
    assert marked == {".".join(path) for path in keys.without_effect()} & set(settings(Config))


def test_every_fate_and_reason_is_explained():
    explained = table_rows("outputs.md")
    required = [name(fate) for fate in Fate] + [name(reason) for reason in Reason if reason]
    assert [word for word in required if word not in explained] == []


def test_every_column_of_the_ledger_is_explained():
    from forge_gpu.job.facts.registry import all_columns

    declared = [
        [f"`{column.name}`", column_type(column.type), column.doc]
        for columns in all_columns()
        for column in columns.columns
    ]
    section = (DOCS / "outputs.md").read_text().split("## ledger.parquet")[1].split("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line[:1] == "|"
    ]
    assert [row for row in rows if row[0].startswith("`")] == declared


def column_type(arrow: Any) -> str:
    return "text" if str(arrow).startswith("dictionary<values=string") else str(arrow)


@pytest.mark.slow
def test_every_key_of_the_manifest_and_of_rejected_is_explained(tmp_path):
    data = ROOT / "examples" / "support.jsonl"
    settings = [
        "preprocessing.dedup.near.threshold=0.8",
        "preprocessing.split.group=category",
        f"data.against={data}",
    ]
    plan = forge_gpu.plan(data=data, template="chatml", settings=settings)
    result = forge_gpu.prepare(plan.config, output=tmp_path / "out", allow_empty=True)
    explained = table_rows("outputs.md")
    assert [key for key in result.manifest if key not in explained] == []
    of_run = {key.removeprefix("run.") for key in explained if key.startswith("run.")}
    assert of_run == set(result.manifest["run"])
    assert isinstance(result.rejected_path, Path)
    for line in result.rejected_path.read_text().splitlines():
        assert [key for key in json.loads(line) if key not in explained] == []


def test_every_exit_code_is_explained():
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.ForgeError)
    ]
    codes = {str(kind.exit_code) for kind in kinds if kind is not errors.Interrupted} | {"0", "130", "143"}
    explained = table_rows("when-something-goes-wrong.md")
    assert [code for code in sorted(codes) if code not in explained] == []
    names = "\n".join(cells[1] + cells[2] for code, cells in explained.items() if code.isdecimal())
    public = [kind.__name__ for kind in kinds if kind is not errors.ForgeError]
    assert [kind for kind in public if f"`{kind}`" not in names] == []


def test_every_public_name_is_in_the_library_page():
    text = (DOCS / "library.md").read_text()
    unexplained = [public for public in forge_gpu.__all__ if f"`{public}" not in text]
    assert [public for public in unexplained if public != "__version__"] == []


@pytest.mark.parametrize("page", PAGES, ids=docs_pages.name_of)
def test_links_lead_somewhere(page):
    for target in LINK.findall(prose(page)):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_page_can_be_reached():
    """Each page of docs/ is linked from the README."""
    linked = {(ROOT / target).resolve() for target in LINK.findall(README.read_text())}
    assert [page.name for page in sorted(DOCS.glob("*.md")) if page.resolve() not in linked] == []


def test_lines_are_short_enough_to_read():
    for page in PAGES:
        for number, line in enumerate(prose(page).splitlines(), 1):
            assert len(line) <= 120 or line.startswith("|"), f"{page.name}: line {number} of the prose"


def test_the_figures_of_the_readme_are_those_of_the_benchmarks():
    case = (DOCS / "performance.md").read_text().split("\n## whole_job\n")[1].split("\n## ")[0]
    measured = {cells[0]: f"{cells[1]} s" for line in case.splitlines() if (cells := cells_of(line))}
    table = [cells for line in README.read_text().splitlines() if (cells := cells_of(line))]
    head = next(number for number, cells in enumerate(table) if cells[0] == "Forge")
    assert table[head + 2] == [measured[who] for who in ("forge", "polars", "datasets tuned")]
    rows, size = re.findall(r"([\d,]+) rows \((\d+) MB\)", README.read_text())[0]
    assert f"{rows} rows, {size}." in case


def cells_of(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")] if line[:1] == "|" else []


def test_the_example_data_is_as_the_pages_say():
    assert len((ROOT / "examples" / "support.jsonl").read_bytes().splitlines()) == 201
    assert len((ROOT / "examples" / "chat.jsonl").read_bytes().splitlines()) == 60
    assert Path(ROOT / "examples").is_dir()
