"""What must hold of settings beyond their types. Each rule names its keys, so that it is asked only where all
of them are valid, and its fault is told together with the others."""

from __future__ import annotations

import codecs
import datetime
from collections.abc import Callable, Collection, Iterator

from forge_gpu.config.keys import Path
from forge_gpu.config.schema import Config
from forge_gpu.io.sinks.registry import OF_MESSAGES, OF_TOKENS
from forge_gpu.plain import frozen
from forge_gpu.templates.forms import form_of
from forge_gpu.templates.forms.tokens import answers_of


@frozen
class Rule:
    """name: the key or section that its fault is told of. keys: dotted. fault: what is amiss, or None."""

    name: str
    keys: tuple[str, ...]
    fault: Callable[[Config], str | None]

    @property
    def paths(self) -> list[Path]:
        return [tuple(key.split(".")) for key in self.keys]


def broken(config: Config, faulty: Collection[Path]) -> Iterator[tuple[Rule, str]]:
    """The rules that a config breaks. faulty: keys whose values are told as faults of their own."""
    for rule in RULES:
        if any(path[:n] in faulty for path in rule.paths for n in range(1, len(path) + 1)):
            continue
        fault = rule.fault(config)
        if fault is not None:
            yield rule, fault


def _encoding_is_known(config: Config) -> str | None:
    name = config.data.encoding
    try:
        is_known = codecs.lookup(name)._is_text_encoding
    except (LookupError, ValueError):
        is_known = False
    return None if is_known else f"there is no encoding {name!r}; examples: utf-8, utf-16, cp1252, shift_jis"


def _links_are_two(config: Config) -> str | None:
    linked = config.data.linked
    if (linked.id is None) == (linked.parent is None):
        return None
    return f"needs both id and parent: set {'id' if linked.id is None else 'parent'} too, or neither"


def _converter_is_one(config: Config) -> str | None:
    convert = config.data.convert
    if convert.by is None:
        return None
    from forge_gpu.records.conventions import fault_of  # most plans do without

    return fault_of(convert.by, convert.columns or None, convert.answers)


def _date_is_one(config: Config) -> str | None:
    date = config.model.date
    try:
        datetime.date.fromisoformat(date or "2000-01-01")
    except ValueError:
        return f"{date!r} is not a date; write YYYY-MM-DD"
    return None


def _splits_add_up(config: Config) -> str | None:
    sizes = config.preprocessing
    shares = (sizes.train_split, sizes.validation_split, sizes.test_split)
    if abs(sum(shares) - 1) <= 1e-9:
        return None
    sum_text = " + ".join(f"{share:g}" for share in shares)
    return f"train_split + validation_split + test_split is {sum(shares):g}, not 1 ({sum_text})"


def _groups_are_exact(config: Config) -> str | None:
    split = config.preprocessing.split
    if split.group is None or split.mode == "exact":
        return None
    return f"group needs mode exact: it is {split.mode}; remove one of the two"


def _strata_are_exact(config: Config) -> str | None:
    split = config.preprocessing.split
    if split.stratify is None or split.mode == "exact":
        return None
    return f"stratify needs mode exact: it is {split.mode}; remove one of the two"


def _clusters_are_split_exactly(config: Config) -> str | None:
    near, mode = config.preprocessing.dedup.near, config.preprocessing.split.mode
    if near is None or near.action != "group" or mode == "exact":
        return None
    return f"dedup.near.action group needs split.mode exact: it is {mode}; set remove"


def _time_has_a_column(config: Config) -> str | None:
    split = config.preprocessing.split
    if split.mode != "temporal" or split.time is not None:
        return None
    return "mode temporal needs time: name the column that holds it"


def _form_has_spans(config: Config) -> str | None:
    return form_of(config).spans_fault(config)


def _columns_are_no_fields(config: Config) -> str | None:
    return form_of(config).columns_fault(config)


def _given_splits_stand_alone(config: Config) -> str | None:
    splits, settings = config.data.splits, config.preprocessing
    if not (splits.validation or splits.test):
        return None
    near = settings.dedup.near
    clash = {
        "preprocessing.split.group": settings.split.group is not None,
        "preprocessing.split.mode: temporal": settings.split.mode == "temporal",
        "preprocessing.dedup.near.action: group": near is not None and near.action == "group",
        "preprocessing.dedup.near.keep": near is not None and near.keep != "first",
    }
    named = next((key for key, clashes in clash.items() if clashes), None)
    if named is None:
        return None
    return f"splits that come with the data do not go with {named}; set data.splits to null, or remove that"


IMPORTS = 192 * 2**20
"""Bytes that Forge holds beside its budget: what it imports."""


def _container_holds_the_budget(config: Config) -> str | None:
    limit, budget = config.container.memory, config.preprocessing.memory.budget
    if limit == "auto" or budget == "auto" or limit >= budget + IMPORTS:
        return None
    return f"{limit} is too little for preprocessing.memory.budget {budget}: give {budget + IMPORTS}, or auto"


def _an_estimate_rejects_nothing(config: Config) -> str | None:
    if config.preprocessing.quality_checks.too_long != "reject" or form_of(config).is_encoded:
        return None
    return "a length in tokens is an estimate where none are made: set it to warn, or output.form to tokens"


def _languages_are_named(config: Config) -> str | None:
    checks = config.preprocessing.quality_checks
    if checks.language == "off" or checks.languages:
        return None
    return "which languages is for preprocessing.quality_checks.languages to say, as [en, de]"


def _cuts_fit(config: Config) -> str | None:
    cut = config.tokens.cut
    if cut == "none":
        return None
    if not form_of(config).is_encoded:
        return f"{cut} cuts rows of tokens: it needs output.form tokens, and it is {config.output.form}"
    if config.model.max_length is None:
        return f"{cut} cuts what is longer than model.max_length, which is not set: give a number of tokens"
    if cut in ("turns_start", "turns_end") and config.data.mapping.messages is None:
        return (
            f"{cut} leaves out messages, and {config.data.mapping.shape} records have no list of them; "
            "set cut_start, cut_end or split"
        )
    return None


def _weights_have_tokens(config: Config) -> str | None:
    if config.data.weights_by == "rows":
        return None
    if config.data.weights is None:
        return "tokens is how data.weights are meant, and there are none: give each of data.inputs a weight"
    if not form_of(config).is_encoded:
        return f"tokens needs output.form tokens, and it is {config.output.form}: set rows, or that form"
    return None


def _repeats_have_tokens(config: Config) -> str | None:
    if config.data.repeats is None or form_of(config).is_encoded:
        return None
    return f"rows of tokens can be repeated: it needs output.form tokens, and it is {config.output.form}"


def _answers_stand_apart(config: Config) -> str | None:
    """Whether what is asked of tokens goes with answers whose ids are lists of their own."""
    output, tokens = config.output, config.tokens
    if not form_of(config).is_encoded:
        if tokens.answers == "labels":
            return None
        return f"tokens.answers {tokens.answers} needs output.form tokens, and it is {output.form}"
    if config.data.mapping.shape == "prompt" and tokens.answers != "none":
        return f"tokens.answers {tokens.answers}: the records are prompts, which have no answers; set none"
    if tokens.answers == "labels" and not answers_of(config):
        return None
    other = next((trainer for trainer in output.trainers if trainer != "trl"), None)
    is_pair = len(answers_of(config)) == 2
    shape = config.data.mapping.shape
    clash = {
        "tokens.answers none: set labels": is_pair and tokens.answers == "none",
        f"data.mapping.shape {shape}: it tells no prompt from an answer": shape == "text",
        f"tokens.cut {tokens.cut}: set none, and preprocessing.quality_checks.too_long to reject": (
            tokens.cut != "none"
        ),
        "tokens.train all: answers alone are trained; set assistant": tokens.train == "all",
        "tokens.thinking false: set it to true": not tokens.thinking,
        f"output.packing {output.packing}: set none": output.packing != "none",
        f"output.format {output.format}: set jsonl or parquet": output.format in OF_TOKENS,
        f"output.for {other}: only trl takes such rows": other is not None,
    }
    named = next((text for text, clashes in clash.items() if clashes), None)
    what = "pairs of answers do" if is_pair else f"tokens.answers {tokens.answers} does"
    return None if named is None else f"{what} not go with {named}"


def _packs_fit(config: Config) -> str | None:
    output = config.output
    if output.packing == "none":
        padded = output.pad_rows_to > 1 or output.pad_to > 1
        return "padding is of packs: set output.packing to bfd or wrapped" if padded else None
    if not form_of(config).is_encoded:
        return f"{output.packing} packs rows of tokens: it needs output.form tokens, and it is {output.form}"
    if output.pack_length is None and config.model.max_length is None:
        return "a pack needs a length: set output.pack_length to the tokens that the trainer takes at once"
    if output.columns:
        return f"packs have no other columns, and output.columns lists {output.columns[0]!r}: leave it empty"
    if config.tokens.cut == "split":
        return (
            f"{output.packing} does not go with tokens.cut split: set cut_end, or packing wrapped and no cut"
        )
    return _padding_fits(config) or _pack_is_for_trainers(config)


def _media_stay_whole(config: Config) -> str | None:
    """What counts tokens of media counts those of a row: nothing may lie between them."""
    output = config.output
    if config.model.media_tokens is None:
        return None
    clash = {
        f"tokens.cut {config.tokens.cut}: set none": config.tokens.cut != "none",
        "output.packing wrapped: set bfd": output.packing == "wrapped",
        f"output.pad_rows_to {output.pad_rows_to}: set 1": output.pad_rows_to > 1,
        f"output.pad_to {output.pad_to}: set 1": output.pad_to > 1,
    }
    named = next((text for text, clashes in clash.items() if clashes), None)
    if named is None:
        return None
    return (
        f"an image or a sound is never cut, and what it becomes is not written: it does not go with {named}"
    )


def _padding_fits(config: Config) -> str | None:
    output = config.output
    if (output.pad_rows_to, output.pad_to) == (1, 1):
        return None
    if output.pad_id is None:
        return "padding needs a token: set output.pad_id to the id of the tokenizer's pad token"
    if output.pad_rows_to > 1 and output.packing != "bfd":
        return f"output.pad_rows_to pads the rows of packs bfd, and output.packing is {output.packing}"
    if output.packing == "bfd" and (output.pack_length or config.model.max_length or 0) < output.pad_rows_to:
        return f"no row that is padded to {output.pad_rows_to} tokens fits in a pack: set a greater length"
    return None


def _pack_is_for_trainers(config: Config) -> str | None:
    output = config.output
    other = next((trainer for trainer in output.trainers if trainer != "trl"), None)
    if other is None or output.packing == "wrapped":
        return None
    return (
        f"{other} does not read where the rows of a pack begin, and would train across them: "
        "set output.packing to none, or output.for to trl"
    )


def _ends_can_be_stripped(config: Config) -> str | None:
    output, form = config.output, form_of(config)
    named = next((name for name in ("bos", "eos") if getattr(output, name) == "strip"), None)
    if named is None:
        return None
    if not form.is_rendered or form.is_encoded:
        return f"output.{named} strip is for rendered texts, and output.form is {output.form}: set it to keep"
    if output.bos == "strip" and output.spans:
        return "output.bos strip would move the spans of a text: set one of output.bos and output.spans anew"
    return None


def _messages_alone(config: Config) -> str | None:
    """Whether conversations are lists of messages with a role and a text."""
    output, mapping = config.output, config.data.mapping
    if output.form != "messages":
        return f"{output.format} holds conversations: it needs output.form messages, and it is {output.form}"
    if mapping.shape == "prompt" or mapping.tools is not None:
        what = "prompts without answers" if mapping.shape == "prompt" else "tools"
        return f"{output.format} holds no {what}: set output.format to jsonl"
    return None


def _tokens_are_all(config: Config) -> str | None:
    """Whether a format of one trainer can say what is to be written."""
    output = config.output
    if output.format in OF_MESSAGES:
        return _messages_alone(config)
    holds = OF_TOKENS.get(output.format)
    if holds is None:
        return None
    if not form_of(config).is_encoded:
        return f"{output.format} holds tokens: it needs output.form tokens, and it is {output.form}"
    if not holds.labels and config.tokens.train != "all":
        return (
            f"{output.format} has no labels, so that every token is trained, and tokens.train is "
            f"{config.tokens.train}: set it to all, or output.format to parquet"
        )
    if output.columns:
        return (
            f"{output.format} holds tokens alone, and output.columns lists {output.columns[0]!r}: leave it "
            "empty"
        )
    if output.packing == "bfd" and not holds.packs:
        return f"{output.format} does not say where the rows of a pack begin: set output.packing to none"
    return None


RULES = (
    Rule(
        "preprocessing.quality_checks.language",
        ("preprocessing.quality_checks.language", "preprocessing.quality_checks.languages"),
        _languages_are_named,
    ),
    Rule("data.encoding", ("data.encoding",), _encoding_is_known),
    Rule("data.linked", ("data.linked.id", "data.linked.parent"), _links_are_two),
    Rule(
        "data.convert",
        ("data.convert.by", "data.convert.columns", "data.convert.answers"),
        _converter_is_one,
    ),
    Rule("model.date", ("model.date",), _date_is_one),
    Rule(
        "preprocessing",
        tuple(f"preprocessing.{name}_split" for name in ("train", "validation", "test")),
        _splits_add_up,
    ),
    Rule("preprocessing.split", ("preprocessing.split.group", "preprocessing.split.mode"), _groups_are_exact),
    Rule(
        "preprocessing.split", ("preprocessing.split.stratify", "preprocessing.split.mode"), _strata_are_exact
    ),
    Rule("preprocessing.split", ("preprocessing.split.time", "preprocessing.split.mode"), _time_has_a_column),
    Rule(
        "preprocessing",
        ("preprocessing.dedup.near", "preprocessing.dedup.near.action", "preprocessing.split.mode"),
        _clusters_are_split_exactly,
    ),
    Rule(
        "container.memory",
        ("container.memory", "preprocessing.memory.budget"),
        _container_holds_the_budget,
    ),
    Rule(
        "data.splits",
        ("data.splits", "preprocessing.split.group", "preprocessing.split.mode", "preprocessing.dedup.near"),
        _given_splits_stand_alone,
    ),
    Rule("output", ("output.spans", "output.form"), _form_has_spans),
    Rule("output", ("output.bos", "output.eos", "output.form", "output.spans"), _ends_can_be_stripped),
    Rule(
        "preprocessing.quality_checks.too_long",
        ("preprocessing.quality_checks.too_long", "output.form"),
        _an_estimate_rejects_nothing,
    ),
    Rule(
        "output.packing",
        (
            "output.packing",
            "output.pack_length",
            "output.pad_rows_to",
            "output.pad_to",
            "output.pad_id",
            "output.form",
            "output.columns",
            "output.for",
            "model.max_length",
            "tokens.cut",
        ),
        _packs_fit,
    ),
    Rule(
        "output.format",
        (
            "output.format",
            "output.form",
            "tokens.train",
            "output.columns",
            "output.packing",
            "data.mapping.shape",
            "data.mapping.tools",
        ),
        _tokens_are_all,
    ),
    Rule("data.weights_by", ("data.weights_by", "data.weights", "output.form"), _weights_have_tokens),
    Rule("data.repeats", ("data.repeats", "output.form"), _repeats_have_tokens),
    Rule(
        "output.form",
        (
            "output.form",
            "output.format",
            "output.for",
            "output.packing",
            "tokens.answers",
            "tokens.cut",
            "tokens.train",
            "tokens.thinking",
            "data.mapping.shape",
        ),
        _answers_stand_apart,
    ),
    Rule(
        "model.media_tokens",
        ("model.media_tokens", "tokens.cut", "output.packing", "output.pad_rows_to", "output.pad_to"),
        _media_stay_whole,
    ),
    Rule("tokens.cut", ("tokens.cut", "output.form", "model.max_length", "data.mapping.messages"), _cuts_fit),
    Rule(
        "output.columns",
        ("output.columns", "output.form", "output.spans", "data.mapping.tools"),
        _columns_are_no_fields,
    ),
)
