"""From the goal, the data and the machine to a plan: a config, and why each of its values was chosen."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from forge_gpu.config.layers import Layer, build
from forge_gpu.config.load import environment_layer, override_layer
from forge_gpu.config.schema import Config, LinkedRecords, TableDialect
from forge_gpu.errors import ConfigError, InputError, TemplateError
from forge_gpu.hardware.budget import Budget, cpu_budget
from forge_gpu.hardware.probe import Hardware, probe
from forge_gpu.hardware.rates import read_rates
from forge_gpu.hardware.stack import read_stack
from forge_gpu.io.dialects import Dialect
from forge_gpu.io.inputs import STDIN
from forge_gpu.io.linked import Links
from forge_gpu.io.urls import is_url
from forge_gpu.media.token_counts import family_of, settings_in
from forge_gpu.models.choose import GIB, best_method, recommended_batch_size
from forge_gpu.models.locate import locate
from forge_gpu.plain import frozen
from forge_gpu.planner import fit
from forge_gpu.planner.conversations import SampledConversations, read_conversations
from forge_gpu.planner.engine import decide_engine
from forge_gpu.planner.hardware import hardware_values
from forge_gpu.planner.inspect import Inspection, inspect, nothing
from forge_gpu.planner.media import sampled_media
from forge_gpu.planner.model import Decision, Template, asked_template, decide, settings_of
from forge_gpu.planner.splits import given_splits
from forge_gpu.planner.threads import decide_threads
from forge_gpu.planner.trial import Trial, try_sample
from forge_gpu.templates.builtin import builtin
from forge_gpu.templates.environment import ChatTemplate
from forge_gpu.templates.forms import FORMS
from forge_gpu.templates.forms.prompt import ASKING
from forge_gpu.templates.probes import Probes
from forge_gpu.templates.probes import probe as probe_template
from forge_gpu.templates.shapes import SHAPES, shape_named_by
from forge_gpu.templates.shapes.base import RecordShape
from forge_gpu.templates.validate import validate_renderer, validate_template

Values = dict[str, Any]


@frozen
class Plan:
    """config: what prepare runs. reasons: dotted key -> why. notes, warnings: one line each, for the user.
    probes: what the chat template does, where it is a Jinja template. trial: what came of the sample.

    notes are what plan found and chose; warnings what is lost, and faults of the configuration that were put
    right.
    """

    config: Config
    reasons: dict[str, str]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    hardware: Hardware
    budget: Budget
    data: Inspection
    probes: Probes | None = None
    trial: Trial | None = None

    def _repr_html_(self) -> str:
        """What a notebook shows: what `forge plan` prints."""
        from forge_gpu.planner.describe import describe

        return "".join(
            f"<b>{escape(title)}</b><ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"
            for title, lines in describe(self)
        )

    def save(self, path: Path | str = "forge.yaml") -> Path | None:
        """Write forge.yaml; a different file that was there is kept, and the path of that backup returned."""
        from forge_gpu.config.write import save

        return save(Path(path), self.config, self.reasons)


def make_plan(
    goal: str | None = None,
    *,
    data: Sequence[str | Path] | str | Path = (),
    model: str | Path | None = None,
    template: str | Path | None = None,
    engine: str | None = None,
    overrides: Sequence[str] = (),
    environ: Mapping[str, str] = os.environ,
    hardware: Hardware | None = None,
    folder: Path | str = ".",
    settled: Layer | None = None,
    force: bool = False,
) -> Plan:
    """Look at machine, data and goal, and choose everything else.

    Without data, model, hardware and preprocessing are chosen, and `prepare` looks at the data it is given.
    settled: what an earlier plan says, which is heeded as if the user had set it. data: files, folders,
    globs, lists, URLs. model: a name or a folder. template: a built-in's name, a file, or a format string.
    engine: auto, cpu or gpu. overrides: `section.key=value`, which always win; environ: the same as
    FORGE_CONFIG__SECTION__KEY. hardware: what was probed, None to probe now. folder: where forge.yaml will
    stand. force: make a plan by which most of the sample would be rejected. Nothing is written or printed.
    Raises ForgeError: InputError for data that cannot be used, TemplateError for a template that does not
    fit, ConfigError for a bad override.
    """
    for option, value in (("--model", model), ("--template", template)):
        if value is not None and not str(value).strip():
            raise ConfigError(f"{option}: is empty; name one, or leave the option out")
    layers = [*([] if settled is None else [settled]), environment_layer(environ), override_layer(overrides)]
    given = _given(layers)
    given_data = _section(given, "data")
    named = [str(path) for path in ([data] if isinstance(data, (str, Path)) else data)]
    paths, base = (named, None) if named else (given_data.get("inputs"), Path(folder))
    if not (paths or goal or model or template or settled):
        raise InputError("no data: name it with --data PATH, or say what the model should become")
    machine = hardware or probe(folder)
    name, text = settings_of(_section(given, "model"))
    text = _text(template) or text
    named_model = _text(model) or name
    own_names_of = named_model if _text(template) else None
    asked = asked_template(text, given.get("templates") or {}, own_names_of) if text else None
    result = nothing()
    if paths:
        result = inspect(
            paths,
            _section(given_data, "mapping"),
            given_data.get("format", "auto"),
            given_data.get("encoding"),
            any_columns=asked is not None and asked.kind == "format",
            base=base,
            convert=_section(given_data, "convert"),
            named=_named_columns(_section(given, "preprocessing"), _section(given, "output")),
            dialect=_given_dialect(given_data),
            links=Links.of(LinkedRecords(**_section(given_data, "linked"))),
            scripted=bool(_section(given_data, "transform").get("script")),
        )
    chooser = _Chooser(goal, given, machine, result)
    chooser.folder = Path(folder).absolute()
    if named:
        chooser.seen_from = lambda path: _seen_from(path, Path(folder))
    if paths:
        chooser.data([_seen_from(path, Path(folder)) for path in named] or paths)
    else:
        chooser.shape_by_name()
    chooser.model(named_model, asked)
    if paths:
        chooser.fit()
    chooser.hardware(engine)
    chooser.preprocessing(engine)
    loaded = build([Layer(chooser.values), *layers])
    for path in loaded.where:
        chooser.reasons[".".join(path)] = f"as set by {loaded.where[path]}"
    budget = _budget(loaded.config, machine)
    if not chooser.set_by_user("preprocessing", "memory", "threads"):
        measured = decide_threads(loaded.config, result.files, budget.threads, read_rates())
        if measured is not None:
            chooser.put("preprocessing.memory.threads", *measured)
            loaded = build([Layer(chooser.values), *layers])
            budget = _budget(loaded.config, machine)
    trial = None
    if paths:
        _columns_exist(loaded.config, result)
        validate_renderer(loaded.config, result.columns)
        trial = try_sample(loaded.config, result.samples)
    if trial is not None and trial.line is not None:
        if trial.is_hopeless and not force:
            raise InputError(f"{trial.line}; mend that, or plan anyway with --force")
        chooser.notes.append(trial.line)
    if trial is not None and trial.advice is not None and loaded.config.output.mode != "private":
        chooser.notes.append(trial.advice)
    return Plan(
        loaded.config,
        chooser.reasons,
        tuple(chooser.notes),
        (*result.warnings, *loaded.warnings),
        machine,
        budget,
        result,
        chooser.probes,
        trial,
    )


def _budget(config: Config, machine: Hardware) -> Budget:
    memory = config.preprocessing.memory
    return cpu_budget(machine.memory, machine.cores, memory.budget, memory.threads)


def _given(layers: Sequence[Layer]) -> Values:
    """What the user set, checked on its own before anything is looked at."""
    loaded = build(layers)
    dumped = loaded.config.model_dump()
    return _only(dumped, loaded.where)


def _only(dumped: Values, where: Mapping[tuple[str, ...], str]) -> Values:
    given: Values = {}
    for path in where:
        source, target = dumped, given
        for name in path[:-1]:
            source, target = source[name], target.setdefault(name, {})
        target[path[-1]] = source[path[-1]]
    return given


def _seen_from(path: str, folder: Path) -> str:
    """An input as forge.yaml names it: relative paths start at the plan's folder, not at the current one."""
    here, mark = path.removeprefix("@"), path[: path.startswith("@")]
    if path == STDIN or is_url(here) or here.startswith("~") or Path(here).is_absolute():
        return path
    if folder.absolute().resolve() == Path.cwd():
        return path
    return mark + os.path.relpath(here, folder)


def _section(values: Values, *names: str) -> Values:
    for name in names:
        values = values.get(name, {})
    return values


def _given_dialect(data: Values) -> Dialect | None:
    """The dialect that the user set, with what it is by default; None where he set none."""
    section = data.get("dialect")
    return Dialect.of(TableDialect(**section)) if section else None


def _named_columns(preprocessing: Values, output: Values) -> list[str]:
    """The columns that the user names elsewhere than in the mapping."""
    split, dedup = _section(preprocessing, "split"), _section(preprocessing, "dedup")
    strata, key = split.get("stratify") or [], dedup.get("key", [])
    return [
        *output.get("columns", []),
        *([strata] if isinstance(strata, str) else strata),
        *(split[name] for name in ("time", "group") if split.get(name)),
        *(key if isinstance(key, list) else []),
        *([near] if (near := _section(dedup, "near").get("keep")) else []),
    ]


def _text(value: str | Path | None) -> str | None:
    return None if value is None else str(value)


class _Chooser:
    """Fills `values` section by section; what the user has set is never chosen, only heeded."""

    def __init__(self, goal: str | None, given: Values, machine: Hardware, inspection: Inspection) -> None:
        self.goal, self.given, self.machine, self.found = goal, given, machine, inspection
        self.values: Values = {}
        self.reasons: dict[str, str] = {}
        self.notes: list[str] = []
        self.decision = Decision()
        self.conversations: SampledConversations | None = None
        self.probes: Probes | None = None
        self.has_data = bool(inspection.files)
        self.seen_from: Callable[[str], str] = str
        self.folder = Path()
        self.has_media = False
        if goal:
            self.put("goal", goal, "as given")

    def put(self, key: str, value: Any, why: str) -> None:
        *sections, name = key.split(".")
        target = self.values
        for section in sections:
            target = target.setdefault(section, {})
        target[name] = value
        self.reasons[key] = why

    @property
    def _shape(self) -> RecordShape:
        return SHAPES[self.found.picked.shape]

    def set_by_user(self, *names: str) -> Any:
        section = _section(self.given, *names[:-1])
        return section.get(names[-1])

    def data(self, paths: Sequence[str]) -> None:
        result = self.found
        self.put("data.inputs", list(paths), _size_of(result))
        self._splits(paths)
        kinds = sorted({sample.format.kind for sample in result.samples})
        self.reasons["data.format"] = f"auto: told by content; here {', '.join(kinds)}"
        if result.encoding != "utf-8" and not self.set_by_user("data", "encoding"):
            self.put("data.encoding", result.encoding, "told by a detector: the text is not UTF-8")
        self._dialect()
        if result.links is not None:
            for key, value in result.links._asdict().items():
                self.put(
                    f"data.linked.{key}", value, "each record names the one before it: they become trees"
                )
        for key, value in result.picked.convert.items():
            self.put(f"data.convert.{key}", value, result.picked.reasons["shape"])
        for key, value in result.picked.values.items():
            self.put(f"data.mapping.{key}", value, result.picked.reasons.get(key, "as set"))
        self._media()
        self.notes += result.notes

    def shape_by_name(self) -> None:
        """The shape that the columns tell of which the user names for data that is not here."""
        shape = shape_named_by(_section(self.given, "data", "mapping"))
        if shape is not None:
            self.put("data.mapping.shape", shape.name, "the shape of the columns that are named")

    def _media(self) -> None:
        """What records refer to, and whether it is here."""
        result = self.found
        folders = [str(self.folder / each) for each in self.set_by_user("data", "media", "folders") or ()]
        media = sampled_media(result.samples, result.picked, folders)
        for kind, column in media.marked.items():
            self.put(f"data.media.{kind}", column, "texts name what it holds by marks")
        if media.beside:
            self.put("data.media.beside", dict(media.beside), "they hold media, which no text names")
        if media.parts:
            self.put("data.media.parts", True, "parts of messages bring their own media")
        self.has_media = media.is_any
        if media.is_any:
            self.put("preprocessing.dedup.media", True, "rows with other media are others")
        if media.files and not media.here:
            why = f"none of the {media.files} files that were looked for is here"
            self.put("preprocessing.quality_checks.media_missing", "warn", why)
            self.notes.append(
                f"{why}: paths start at the data file's folder; name another with --set "
                "data.media.folders=[DIR]"
            )

    def _media_tokens(self) -> None:
        """By whose rules tokens of media are counted, where the model is one that takes them."""
        decision = self.decision
        family = family_of(decision.kind_of_model, str(decision.values.get("name", "")))
        if not self.has_media or family is None:
            return
        settings = settings_in(family, decision.processors)
        self.put("model.media_tokens", family, "the model's family; media count in its lengths")
        if settings:
            self.put("model.media_settings", settings, "from the model's own files")

    def _dialect(self) -> None:
        """How tables of text are written, so that prepare reads them as they were looked at."""
        dialects = self.found.dialects
        if len(dialects) == 1:
            for key, value in dialects[0].planned.items():
                self.put(f"data.dialect.{key}", value, "told from the first records")
        elif dialects:
            self.notes.append(
                "tables of text are written in several ways: how each is is told anew when it is read; plan "
                "them apart to settle it"
            )

    def _splits(self, paths: Sequence[str]) -> None:
        """Files that are a split by their names stay that split."""
        result = given_splits(self.found.files)
        if not result or any(self.set_by_user("data", "splits", split) for split in result):
            return
        split = self.set_by_user("preprocessing", "split") or {}
        near = (self.set_by_user("preprocessing", "dedup") or {}).get("near") or {}
        is_other_near = near.get("action", "remove") != "remove" or near.get("keep", "first") != "first"
        if split.get("group") or split.get("mode") == "temporal" or is_other_near:
            named = ", ".join(file.path for each in ("validation", "test") for file in result.get(each, ()))
            self.notes.append(
                f"{named}: named as a split for evaluation, and split anew with the rest, as the settings of "
                "groups, times or near-duplicates ask; leave it out of --data to keep it apart"
            )
            return
        for each, files in result.items():
            names = [self.seen_from(file.path) for file in files]
            self.put(f"data.splits.{each}", names, "by its name; the split stays as it is")
        messages = ", ".join(f"{len(files)} for {each}" for each, files in result.items())
        self.notes.append(
            f"the data comes with its splits, by the names of files ({messages}): rows stay in them; "
            "of equal rows the one in test stays, then validation"
        )

    def model(self, model: str | None, template: Template | None) -> None:
        has_turns = not self.has_data or self._shape.has_turns
        if self.has_data and has_turns:
            self.conversations = read_conversations(self.found.records, self.found.picked)
        form = self._form(model is not None or template is not None)
        self.decision = decide(
            self.goal,
            model,
            template,
            self._vram(),
            tools=self.conversations is not None and self.conversations.with_tools > 0,
            own=has_turns,
            needed=has_turns and FORMS[form].is_rendered,
            tokens=self.set_by_user("model", "special_tokens") or {},
        )
        for key, value in self.decision.values.items():
            self.put(f"model.{key}", value, self.decision.reasons[key])
        self.notes += self.decision.notes
        self._media_tokens()
        if FORMS[form].is_encoded and model is not None and not self.set_by_user("tokens", "tokenizer"):
            place, _ = locate(model)
            if place is not None and place.is_dir():
                self.put("tokens.tokenizer", str(place), "the model's own")

    def _form(self, is_named: bool) -> str:
        """What is written: what the user said, else what the records are fit for."""
        form = self.set_by_user("output", "form")
        if form:
            return str(form)
        if not self.has_data:
            return "text"
        is_pair = self._shape.is_pair
        if self._needs_own_template() and not is_named:
            form, what = ("source", "as they came") if is_pair else ("messages", "as messages")
            why = "no model's own template is at hand"
            self.notes.append(
                f"rows are written {what}: some conversations have several turns, a system message, tools or "
                "media, which each model writes in its own way; --model DIR takes that, --template NAME a "
                "built-in"
            )
        elif is_pair:
            form, why = "preference", "each record is a pair of answers"
        elif self._shape.is_prompt:
            form, why = "prompt", "the template's text up to where an answer begins"
        else:
            form, why = "text", "the template's text, ready for the tokenizer"
        self.put("output.form", form, why)
        return form

    def _needs_own_template(self) -> bool:
        sampled = self.conversations
        if sampled is None:
            return False
        return sampled.several_turns + sampled.with_system + sampled.with_tools + sampled.with_media > 0

    def _vram(self) -> int | None:
        given = self.set_by_user("hardware", "vram_gb")
        if given:
            return int(given * GIB)
        return self.machine.best_gpu.vram_total if self.machine.best_gpu else None

    def fit(self) -> None:
        """Try the template on the sample."""
        kind = self.decision.kind
        form = self.set_by_user("output", "form") or self.values["output"]["form"]
        if kind == "format":
            validate_template(self.decision.values["chat_template"], self.found.columns)
            in_columns = self._shape.in_columns or self.found.picked.values.get("query")
            if not (in_columns or self._shape.is_pair):
                label = self.found.picked.values.get("label")
                self.values["data"]["mapping"] = {"shape": "columns", **({"label": label} if label else {})}
                self.reasons["data.mapping.shape"] = "the template names columns of the data itself"
        elif self.conversations is not None and FORMS[form].is_rendered:
            asking = ASKING if self._shape.is_prompt else {}
            if kind == "builtin":
                chat = builtin(self.decision.values["chat_template"]).chat_template()
                self.notes += fit.fit_jinja(chat, self.conversations, **asking)
            elif kind == "jinja":
                self.notes += fit.fit_jinja(self._chat_template(), self.conversations, **asking)
        if kind == "jinja":
            self._probe(form)

    def _chat_template(self) -> ChatTemplate:
        try:
            return fit.chat_template({**self.decision.values, **_section(self.given, "model")})
        except TemplateError as error:
            raise TemplateError(f"{self.decision.values['template_source']}: {error}") from None

    def _probe(self, form: str) -> None:
        """Ask the template what it does, and say where the data has what it does not write."""
        try:
            result = self.probes = probe_template(self._chat_template())
        except TemplateError as error:
            if FORMS[form].is_rendered:
                raise
            self.notes.append(f"{error}; it is not used for the form {form!r}")
            return
        if self.conversations is not None:
            self.notes += fit.lost(result, self.conversations)
        if result.writes_bos:
            origin = self.reasons.get("model.special_tokens", "as set")
            self.reasons["model.special_tokens"] = (
                f"{origin}; the template writes bos_token itself: the tokenizer must not add another"
            )

    def hardware(self, engine: str | None) -> None:
        requested = engine or self.set_by_user("preprocessing", "engine") or "auto"
        if requested not in ("auto", "cpu", "gpu"):
            raise ConfigError(f"--engine {requested}: choose auto, cpu or gpu")
        size = self.found.bytes if self.has_data else None
        use, why = decide_engine(requested, self.machine, read_stack(self.machine.gpus), size)
        for name, (value, reason) in hardware_values(self.machine, use, why).items():
            self.put(f"hardware.{name}", value, reason)
        self._batch()

    def _batch(self) -> None:
        vram, entry = self._vram(), self.decision.entry
        method = best_method(entry, vram) if vram and entry else None
        if vram is None or entry is None or method is None:
            return
        batch = recommended_batch_size(entry, vram, method)
        name = {"lora": "LoRA", "qlora": "QLoRA", "full": "full"}[method]
        self.put(
            "hardware.recommended_batch_size",
            batch,
            f"sequences, for {name} in {vram / GIB:.1f} GiB; an estimate",
        )

    def preprocessing(self, engine: str | None) -> None:
        if engine:
            self.put("preprocessing.engine", engine, self.reasons["hardware.use_gpu_preprocessing"])
        else:
            self.reasons["preprocessing.engine"] = self.reasons["hardware.use_gpu_preprocessing"]
        if not self.has_data:
            return
        picked = self.found.picked
        label = picked.values.get("label")
        mode = _section(_section(self.given, "preprocessing"), "split").get("mode", "exact")
        if label and self.found.columns[label].kind != "text" and mode == "exact":
            self.put("preprocessing.split.stratify", label, f"every split gets its share of each {label!r}")
        keep = dict.fromkeys(picked.media, "what the messages refer to")
        if label:
            keep[label] = "the label"
        if keep:
            self.put("output.columns", list(keep), "; ".join(dict.fromkeys(keep.values())))


def _size_of(inspection: Inspection) -> str:
    files = f"{len(inspection.files)} file{'s' if len(inspection.files) != 1 else ''}"
    size = "" if inspection.bytes is None else f", {inspection.bytes / 2**20:.1f} MiB"
    about = "" if inspection.exact else "about "
    rows = ", rows not counted" if inspection.rows is None else f", {about}{inspection.rows} rows"
    return files + size + rows


def _columns_exist(config: Config, inspection: Inspection) -> None:
    """Columns that the user named elsewhere than in the mapping."""
    from forge_gpu.job.rows.rows import ranking_column
    from forge_gpu.planner.names import missing_column

    key = config.preprocessing.dedup.key
    named: dict[str, list[str] | list[str | None]] = {
        "output.columns": config.output.columns,
        "preprocessing.split.stratify": list(config.preprocessing.split.strata),
        "preprocessing.split.time": [config.preprocessing.split.time],
        "preprocessing.split.group": [config.preprocessing.split.group],
        "preprocessing.dedup.near.keep": [ranking_column(config.preprocessing.dedup.near)],
        "preprocessing.dedup.key": key if isinstance(key, list) else [],
    }
    faults = [
        f"{where}: {missing_column(name, inspection.columns)}"
        for where, names in named.items()
        for name in names
        if name is not None and name not in inspection.columns
    ]
    if faults:
        raise ConfigError("\n".join(faults))
