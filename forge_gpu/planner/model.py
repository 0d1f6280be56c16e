"""Which model and which chat template: named by the user, found in a folder, or chosen for the goal."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import field
from datetime import date
from pathlib import Path
from typing import Any

from forge_gpu.errors import TemplateError
from forge_gpu.models import choose, registry
from forge_gpu.models.folder import ModelFolder, read_folder, templates_in
from forge_gpu.models.gguf_file import GgufFile, is_gguf
from forge_gpu.models.locate import locate
from forge_gpu.models.several import DEFAULT, TOOL_USE, template_of
from forge_gpu.plain import frozen, mutable
from forge_gpu.planner.fit import variables_of
from forge_gpu.templates import builtin
from forge_gpu.templates.named import JINJA_SUFFIXES, kind_of, user_templates

ASSUMED_VRAM_GIB = 16
SPECIAL_TOKENS = {f"{kind}_token" for kind in ("bos", "eos", "pad", "unk", "sep", "cls", "mask")}
MOST_TEMPLATE_BYTES = 4 * 2**20


@frozen
class Template:
    """kind: builtin, format or jinja. text: its source, or the built-in's name. source: where it is from.

    special_tokens: those that stand beside it, in a tokenizer_config.json.
    """

    kind: str
    text: str
    source: str
    why: str
    special_tokens: dict[str, str] = field(default_factory=dict)


@mutable
class Decision:
    """values: keys of the section `model`. reasons: key -> why. entry: the registry's, where it is known.
    kind_of_model, processors: see `ModelFolder`."""

    values: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    entry: registry.Model | None = None
    kind_of_model: str | None = None
    processors: Sequence[Mapping[str, Any]] = ()

    def put(self, key: str, value: Any, why: str) -> None:
        if value is not None:
            self.values[key] = value
            self.reasons[key] = why

    @property
    def kind(self) -> str:
        return str(self.values.get("template_kind", "none"))


def decide(
    goal: str | None,
    model: str | None,
    template: Template | None,
    vram: int | None,
    tools: bool,
    own: bool,
    needed: bool,
    tokens: Collection[str] = (),
) -> Decision:
    """The section `model` of the plan.

    template: the one that the user named; tokens: the special tokens that the user set. vram: bytes, None
    without a GPU. tools: the data has tools.
    own: the data can be put into the model's own chat template. needed: what is to be written depends
    on a template; where none can be had, TemplateError says what to pass.
    """
    decision = Decision()
    folder, match = _model(decision, goal, model, vram, approximate=needed and template is None)
    if template is not None:
        _put_template(decision, template)
        if template.kind == "jinja" and folder is None and needed:
            _own_tokens(decision, template, model is not None, tokens)
    elif folder is not None and folder.templates and own:
        chosen = _of_folder(decision, folder, tools)
        if needed:
            _own_tokens(decision, chosen, True, tokens)
    elif needed:
        _approximate(decision, model, match, folder)
    _finish(decision)
    return decision


def _model(
    decision: Decision, goal: str | None, model: str | None, vram: int | None, approximate: bool
) -> tuple[ModelFolder | None, registry.Match | None]:
    if model is None:
        return None, _best(decision, goal, vram, advise=approximate)
    place, how = locate(model)
    if how:
        decision.notes.append(how)
    if place is not None:
        folder = read_folder(place)
        _facts_of_folder(decision, folder)
        return folder, None
    try:
        match = registry.find(model)
    except TemplateError:  # the name fits several families, which matters only where a template hangs on it
        if approximate:
            raise
        match = None
    decision.put(
        "name", match.model.name if match and match.model else model, match.reason if match else "as named"
    )
    if match and match.model:
        _facts_of_entry(decision, match.model)
    return None, match


def _best(decision: Decision, goal: str | None, vram: int | None, advise: bool) -> registry.Match | None:
    """advise: the template depends on the model, so that it matters which one was chosen."""
    assumed = vram is None and advise
    room = ASSUMED_VRAM_GIB * choose.GIB if vram is None else vram
    best = choose.choose(goal, room)
    if assumed:
        decision.notes.append(
            f"no GPU here: the model was chosen for one of {ASSUMED_VRAM_GIB} GiB; "
            "say what will train it with --set hardware.vram_gb=N, or name the model"
        )
    if best.model is None:
        decision.notes.append(f"no model was chosen: {best.arithmetic}")
        return None
    why = f"the largest for {best.use} that can be fine-tuned: {best.arithmetic}"
    decision.put("name", best.model.name, why)
    _facts_of_entry(decision, best.model)
    return registry.Match(best.model, registry.families()[best.model.family], True, why)


def _facts_of_entry(decision: Decision, entry: registry.Model) -> None:
    decision.entry = entry
    why = "from the registry; the model's folder would say for certain"
    decision.put("architecture", entry.architecture, why)
    decision.put("max_length", entry.context, f"tokens; {why}")
    decision.put("special_tokens", entry.special_tokens, why)


def _facts_of_folder(decision: Decision, folder: ModelFolder) -> None:
    decision.put("name", folder.name, f"the model in {folder.path}")
    decision.put("architecture", folder.architecture, f"from {folder.path / 'config.json'}")
    decision.put("max_length", folder.max_length, f"tokens; from {folder.path / 'config.json'}")
    decision.kind_of_model, decision.processors = folder.type, folder.processors
    if folder.special_tokens:
        decision.put("special_tokens", folder.special_tokens, f"from {folder.path / 'tokenizer_config.json'}")
    decision.notes += folder.notes
    try:
        match = registry.find(folder.name)
    except TemplateError:
        return  # only the size of the model is wanted here
    decision.entry = match.model if match else None


def asked_template(template: str, registered: Mapping[str, str], model: str | None) -> Template:
    """`--template`: as `read_template`, or one of the model's own by the name that transformers knows it by.
    Raises TemplateError, InputError."""
    known = template in builtin.builtins() or template in registered or template in user_templates()
    place = locate(model)[0] if model and not known and template.isidentifier() else None
    folder = None if place is None else read_folder(place)
    if folder is None or template not in folder.templates:
        return read_template(template, registered)
    why = f"the model's own, named {template!r}"
    return Template("jinja", folder.templates[template], folder.sources[template], why)


def read_template(template: str, registered: Mapping[str, str] | None = None) -> Template:
    """`--template`: a name, of a built-in or of one's own, a file, or a text with braces. registered: the
    section `templates` of the plan. Raises TemplateError."""
    if template in builtin.builtins():
        return Template("builtin", template, f"built-in {template}", "the built-in that was named")
    if registered and template in registered:
        text = registered[template]
        return Template(
            kind_of(text), text, f"templates.{template} of the plan", "the template that was named"
        )
    own = user_templates()
    if template in own:
        text = _file_text(own[template])
        return Template(
            _kind_of(text, own[template]), text, str(own[template]), "the template that was named"
        )
    is_name = len(template) < 4096 and "\n" not in template and "\0" not in template
    path = Path(template).expanduser()
    if is_name and path.is_file():
        if path.suffix == ".json":
            return _of_named(path, *templates_in(path))
        if is_gguf(path):
            file = GgufFile(path)
            return _of_named(path, file.templates(), file.special_tokens())
        text = _file_text(path)
        return Template(_kind_of(text, path), text, str(path), f"the file {path}")
    if "{" in template:
        return Template(_kind_of(template, None), template, "--template", "the text that was given")
    if is_name and (path.suffix or len(path.parts) > 1):
        raise TemplateError(f"--template {template}: there is no such file")
    builtin.builtin(template, (*(registered or ()), *own))  # names the nearest one
    raise AssertionError("unreachable")


def _of_named(path: Path, templates: Mapping[str, str], tokens: dict[str, str]) -> Template:
    """The chat template in a tokenizer_config.json, a file like it, or a GGUF file."""
    text = template_of(templates, tools=True)
    if text is None:
        names = f"chat templates ({', '.join(templates)}), none the default" if templates else "none"
        raise TemplateError(f"--template {path}: it has {names}; write the one to use to a file of its own")
    return Template("jinja", text, str(path), f"the file {path}", tokens)


def _file_text(path: Path) -> str:
    try:
        if path.stat().st_size > MOST_TEMPLATE_BYTES:
            raise TemplateError(f"--template {path}: too large for a template")
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise TemplateError(f"--template {path}: not UTF-8 at byte {error.start}") from None
    except OSError as error:
        raise TemplateError(f"--template {path}: cannot be read: {error.strerror}") from None


def _kind_of(text: str, path: Path | None) -> str:
    """Jinja by its suffix or by its statements; all else is a format string."""
    return "jinja" if path is not None and path.suffix in JINJA_SUFFIXES else kind_of(text)


def _own_tokens(decision: Decision, template: Template, named: bool, tokens: Collection[str]) -> None:
    """Special tokens for a template without its model's folder. Those of a model that was only chosen are not
    the template's. Raises TemplateError where it writes one that is not known."""
    if template.special_tokens:
        decision.put("special_tokens", template.special_tokens, f"from {template.source}")
    elif not named:
        decision.values.pop("special_tokens", None)
    known = {*decision.values.get("special_tokens", {}), *tokens}
    unknown = [token for token in variables_of(template.text) if token in SPECIAL_TOKENS - known]
    if unknown:
        raise TemplateError(
            f"{template.source}: the template writes {' and '.join(unknown)}, which only its model's "
            "tokenizer_config.json tells; name the model's folder with --model DIR, or set it, as "
            f"--set model.special_tokens.{unknown[0]}=TEXT"
        )


def _of_folder(decision: Decision, folder: ModelFolder, tools: bool) -> Template:
    text = folder.template_for(tools)
    if text is None:
        raise TemplateError(
            f"{folder.path}: none of its chat templates ({', '.join(folder.templates)}) is the default; name "
            "the one to use with --template"
        )
    names = [name for name, own in folder.templates.items() if own == text] or [DEFAULT, TOOL_USE]
    sources = ", ".join(dict.fromkeys(folder.sources[name] for name in names if name in folder.sources))
    why = f"the model's own, {sources}"
    if len(names) > 1:
        why += f"; rows with tools take the one named {TOOL_USE!r}"
    template = Template("jinja", text, sources, why)
    _put_template(decision, template)
    return template


def _approximate(
    decision: Decision, model: str | None, match: registry.Match | None, folder: ModelFolder | None
) -> None:
    """A built-in by the family's name: an approximation, which is printed and recorded."""
    if folder is not None:
        match = registry.find(folder.name)
    advice = "give the model's folder (--model DIR) or a template (--template NAME or FILE)"
    name = decision.values.get("name", model)
    if match is None:
        if model is None:
            raise TemplateError(f"no model fits and none was named: {advice}")
        where = (
            f"the folder {folder.path} has no chat template, and"
            if folder
            else f"{model!r} is no folder, and"
        )
        raise TemplateError(f"{where} its name belongs to no family that Forge knows; {advice}")
    template = match.model.template if match.model else match.family.template
    if template is None:
        raise TemplateError(f"no built-in template comes near that of {name} ({match.family.name}); {advice}")
    why = f"an approximation: the built-in of the {match.family.name} family; {name}'s own may differ"
    _put_template(decision, Template("builtin", template, f"built-in {template}", why))
    decision.put("template_is_approximate", True, "chosen by the family's name, not read from the model")
    decision.notes.append(
        f"the built-in template {template!r} is an approximation of {name}'s own; "
        "--model DIR takes the model's own"
    )


def _put_template(decision: Decision, template: Template) -> None:
    spelled = builtin.builtin(template.text).template if template.kind == "builtin" else template.text
    decision.put("chat_template", template.text, template.why)
    decision.put("template_kind", template.kind, "builtin, format (columns in braces) or jinja")
    decision.put("template_source", template.source, "where the template was read from")
    decision.put("template_sha256", hashlib.sha256(spelled.encode()).hexdigest(), "of the template's text")


def _finish(decision: Decision) -> None:
    text = decision.values.get("chat_template", "")
    if decision.kind == "jinja" and "strftime_now" in text:
        today = date.today().isoformat()
        decision.put("date", today, "the template writes the date: this one, whenever prepare runs")


def settings_of(given: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Model and template that the user set as keys instead of options."""
    name, template = given.get("name"), given.get("chat_template")
    return (name if isinstance(name, str) else None), (template if isinstance(template, str) else None)
