"""What is trained, over every chat template of a folder, beside what Hugging Face's places of tokens say.

    python -m benchmarks.acceptance.masks [FOLDER]

FOLDER is as for `benchmarks.acceptance.templates`. Each template is rendered on every shape, and each kind of
tokenizer, which knows the control tokens of all templates, encodes the texts. Hugging Face's rule trains a
token that overlaps a trained span; where that says otherwise, there is a cause, or the exit status is 1. The
library decodes the trained ids, too: they are the trained text.
Prints a table of the tokenizers, and by name the templates that each cause is in.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from forge_gpu.quality.control_tokens import pattern
from forge_gpu.templates.jinja_renderer import JinjaRenderer
from forge_gpu.tokens.definition import Definition
from forge_gpu.tokens.settings import Guard
from forge_gpu.tokens.tokenizer import Tokenizer, TokenizerPlan
from tests.templates.agent_shapes import SHAPES, rows_of
from tests.templates.chat_support import all_templates, chat_template, render
from tests.templates.differential import SHAPE
from tests.tokens.decoded import differing
from tests.tokens.made import MAKERS, document
from tests.tokens.overlaps import laid_out, overlapping

SEED, SHOWN = 31, 3
WHITE_SPACE = "a control token takes the white space that an answer begins with"
NO_END = "no token ends a turn: the next turn's first one does, and is not trained"


@dataclass(frozen=True)
class Written:
    """A row as a template writes it. spans: what is trained of the text, in characters."""

    template: str
    text: str
    spans: list[tuple[int, int]]


def written(template: tuple[str, str, dict[str, str]]) -> tuple[list[Written], set[str]]:
    """The rows of one template whose spans are known, and its control tokens."""
    name, source, tokens = template
    renderer = JinjaRenderer(chat_template(source, tokens), (SHAPE,), ("text", "spans"))
    rows = []
    for shape in SHAPES:
        for made in render(renderer, rows_of(shape, 1, SEED)):
            spans = None if isinstance(made, tuple) else json.loads(made["spans"])
            if spans is not None:
                rows.append(Written(name, made["text"], [(begin, end) for begin, end in spans]))
    return rows, {*pattern().findall(source), *filter(None, tokens.values())}


def without_end(rows: Iterable[Written], control: set[str]) -> set[str]:
    """Templates whose trained turns end without a control token, where the next turn begins with one: most of
    them, for contents may spell one at their end."""
    ends: Counter[str] = Counter()
    lacks: Counter[str] = Counter()
    for row in rows:
        for begin, end in row.spans:
            if any(row.text[begin:end].rstrip().endswith(token) for token in control):
                ends[row.template] += 1
            elif begin < end and any(row.text.startswith(token, end) for token in control):
                lacks[row.template] += 1
    return {template for template, count in lacks.items() if count > ends[template]}


def with_tokens(name: str, control: set[str]) -> Tokenizer:
    """One of the tests' tokenizers, that knows some control tokens as it knows its own."""
    from tokenizers import AddedToken
    from tokenizers import Tokenizer as Library

    added = Definition.of(document(name), Path(name)).added
    like = [token for token in added if token.special][-1]
    flags = {
        flag: getattr(like, flag) for flag in ("special", "lstrip", "rstrip", "single_word", "normalized")
    }
    made = Library.from_str(document(name))
    others = sorted(control - {token.content for token in added})
    made.add_special_tokens([AddedToken(content, **flags) for content in others])
    return Tokenizer(TokenizerPlan.of(Definition.of(made.to_str(), Path(name)), Guard()))


def compare(
    name: str, rows: list[Written], control: set[str]
) -> tuple[Counter[str], dict[str, set[str]], list[str]]:
    """(sums of one tokenizer; the templates of each cause; what has no cause)"""
    tokenizer = with_tokens(name, control)
    sums: Counter[str] = Counter()
    causes: dict[str, set[str]] = defaultdict(set)
    faults: list[str] = []
    texts, literals, trained = laid_out([(row.text, row.spans) for row in rows])
    tokens = tokenizer.encode(texts, literals, trained)
    takes = {token.id for token in tokenizer.plan.definition.added if token.lstrip or token.rstrip}
    for number, row in enumerate(rows):
        own = slice(tokens.offsets[number], tokens.offsets[number + 1])
        ids, expected = overlapping(tokenizer, row.text, row.spans)
        weights = tokens.weights[own].tolist()
        sums.update(rows=1, tokens=len(ids), trained=sum(weights))
        if tokens.ids[own].tolist() != ids:
            faults.append(f"{name}, {row.template}: other ids of {row.text!r}")
            continue
        for token, weight, of_overlap in zip(ids, weights, expected, strict=True):
            if weight == of_overlap:
                continue
            if token in takes and not weight:
                sums["by a cause"] += 1
                causes[WHITE_SPACE].add(row.template)
            else:
                faults.append(f"{name}, {row.template}: token {token} of {row.text!r}")
    sums["decoded"], differ = differing(name, tokenizer, tokens, [(row.text, row.spans) for row in rows])
    faults += [f"{name}: the trained ids of {want!r} decode to {have!r}" for have, want in differ]
    sums["differ"] = len(faults)
    return sums, causes, faults


def main(folder: str | None) -> int:
    if folder is not None:
        os.environ["FORGE_TEMPLATES"] = folder
    rows: list[Written] = []
    control: set[str] = set()
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for some, tokens in pool.map(written, all_templates()):
            rows += some
            control |= tokens
    templates = {row.template for row in rows}
    print(f"{len(templates)} templates, {len(SHAPES)} shapes, {len(rows):,} rows\n")
    print("| tokenizer | tokens | trained | rows decoded | differ by a cause | differ without |")
    print("|---|---|---|---|---|---|")
    causes: dict[str, set[str]] = {NO_END: without_end(rows, control)}
    failed = False
    for name in MAKERS:
        sums, by_cause, faults = compare(name, rows, control)
        columns = (f"{sums[key]:,}" for key in ("tokens", "trained", "decoded", "by a cause", "differ"))
        print(f"| {name} | {' | '.join(columns)} |", flush=True)
        for cause, named in by_cause.items():
            causes[cause] = causes.get(cause, set()) | named
        for fault in faults[:SHOWN]:
            print(f"DIFFERS: {fault}", file=sys.stderr, flush=True)
        failed |= bool(faults)
    for cause, named in causes.items():
        print(f"\n{cause}: {len(named)} templates\n{', '.join(sorted(named))}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else None))
