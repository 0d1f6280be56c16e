"""What a model's folder says of itself: template, special tokens, architecture, context. No weights are read.

The files are those of the Hugging Face layout. Where several hold a chat template, the order is theirs:
`chat_template.jinja` (and `additional_chat_templates/`) before `tokenizer_config.json` before
`chat_template.json` before `processor_config.json`. A file that cannot be used is an error that names it,
never a guess.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from forge_gpu.errors import InputError
from forge_gpu.models.gguf_file import GgufFile, is_gguf
from forge_gpu.models.links import require_own
from forge_gpu.models.several import template_of
from forge_gpu.plain import frozen

MOST_BYTES = 64 * 2**20
FILES = (
    "config.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "processor_config.json",
)
PROCESSORS = ("preprocessor_config.json", "processor_config.json")
LENGTHS = ("max_position_embeddings", "n_positions", "max_sequence_length", "max_seq_len", "seq_length")
TEXT_PARTS = ("text_config", "llm_config", "language_config")  # of a model that also takes images or sound
UNBOUNDED = 10**9  # tokenizers write a huge number where the model sets no bound


@frozen
class ModelFolder:
    """templates: by name, with `default` and `tool_use` the usual ones. sources: name -> file it is from.

    special_tokens: bos_token, eos_token, pad_token ... -> text. max_length: tokens. notes: one line each.
    type: `model_type` of config.json. processors: what its files say of how images and sounds are processed.
    """

    path: Path
    name: str
    architecture: str | None
    max_length: int | None
    templates: dict[str, str]
    sources: dict[str, str]
    special_tokens: dict[str, str]
    notes: tuple[str, ...] = ()
    type: str | None = None
    processors: tuple[dict[str, Any], ...] = ()

    def template_for(self, tools: bool) -> str | None:
        """The text of the template for data with tools or without; see several.py. None where there is no
        default among several."""
        return template_of(self.templates, tools)


def read_folder(path: Path | str) -> ModelFolder:
    """Read a model's folder, or GGUF file. Raises InputError with one line that names the file at fault."""
    folder = Path(path)
    if folder.is_file() and is_gguf(folder):
        return _of_gguf(folder)
    try:
        is_model = any((folder / name).is_file() for name in FILES)
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}") from None
    if not is_model:
        raise InputError(
            f"{folder} is not a model folder: it has none of {', '.join(FILES)}{_adapter_hint(folder)}"
        )
    config = _object(folder / "config.json")
    tokenizer = _object(folder / "tokenizer_config.json")
    templates, sources = _templates(folder, tokenizer)
    tokens = {**_tokens(_object(folder / "special_tokens_map.json")), **_tokens(tokenizer)}
    notes = []
    if len(templates) > 1:
        notes.append(f"{folder} has several chat templates: {', '.join(templates)}")
    stops = _stop_tokens(_object(folder / "generation_config.json"), tokenizer)
    if stops and tokens.get("eos_token") not in (None, *stops):
        notes.append(
            f"generation_config.json stops at {', '.join(stops)}, but tokenizer_config.json "
            f"names {tokens['eos_token']}"
        )
    return ModelFolder(
        path=folder,
        name=_name(folder, config),
        architecture=_architecture(config),
        max_length=_max_length(config, tokenizer),
        templates=templates,
        sources=sources,
        special_tokens=tokens,
        notes=tuple(notes),
        type=kind if isinstance(kind := config.get("model_type"), str) else None,
        processors=tuple(_processors(folder)),
    )


def _processors(folder: Path) -> Iterator[dict[str, Any]]:
    """The objects that set up processors: whole files, and the parts that newer ones are made of."""
    for name in PROCESSORS:
        said = _object(folder / name)
        yield said
        yield from (value for value in said.values() if isinstance(value, dict))


def _of_gguf(path: Path) -> ModelFolder:
    file = GgufFile(path)
    templates = file.templates()
    notes = (f"{path} has several chat templates: {', '.join(templates)}",) if len(templates) > 1 else ()
    return ModelFolder(
        path=path,
        name=file.name,
        architecture=file.architecture,
        max_length=file.max_length,
        templates=templates,
        sources=dict.fromkeys(templates, str(path)),
        special_tokens=file.special_tokens(),
        notes=notes,
    )


def _adapter_hint(folder: Path) -> str:
    if next(folder.glob("*.gguf"), None) is not None:
        return "; name one of its GGUF files"
    base = _object(folder / "adapter_config.json").get("base_model_name_or_path")
    return f"; it is an adapter of {base}: name that model" if isinstance(base, str) else ""


def _read(path: Path, encoding: str = "utf-8-sig", folder: Path | None = None) -> str | None:
    """A text file; None where there is none. A mark of the byte order is part of a template, not of JSON."""
    require_own(path, folder or path.parent)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise InputError(f"{path} is too large for what it is: over {MOST_BYTES} bytes")
        return path.read_bytes().decode(encoding)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8: byte {error.start}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None


def _object(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is no such file."""
    text = _read(path)
    if text is None:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise InputError(f"{path} must be a JSON object, not {type(value).__name__}")
    return value


def templates_in(path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """The chat templates, by name, and the special tokens of one JSON file, as a tokenizer_config.json.

    Raises InputError.
    """
    about = _object(path)
    return dict(_named(about.get("chat_template"), path)), _tokens(about)


def _templates(folder: Path, tokenizer: dict[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    result: dict[str, str] = {}
    sources: dict[str, str] = {}

    def add(name: str, text: str, path: Path) -> None:
        result[name], sources[name] = text, str(path)

    main = folder / "chat_template.jinja"
    text = _read(main, "utf-8")
    if text is not None:
        add("default", text, main)
    more = folder / "additional_chat_templates"
    require_own(more, folder)
    for path in sorted(more.glob("*.jinja")) if more.is_dir() else ():
        add(path.stem, _read(path, "utf-8", folder) or "", path)
    if not result:
        path = folder / "tokenizer_config.json"
        for name, text in _named(tokenizer.get("chat_template"), path):
            add(name, text, path)
    for file in ("chat_template.json", "processor_config.json"):
        path = folder / file
        for name, text in () if result else _named(_object(path).get("chat_template"), path):
            add(name, text, path)
    return result, sources


def _named(value: Any, path: Path) -> list[tuple[str, str]]:
    """A `chat_template` entry: one text, a list of {name, template}, or a mapping of names."""
    if value is None:
        return []
    if isinstance(value, str):
        return [("default", value)]
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        pairs = [(item.get("name"), item.get("template")) for item in value]
    else:
        pairs = list(value.items()) if isinstance(value, dict) else [(None, None)]
    named = [(name, text) for name, text in pairs if isinstance(name, str) and isinstance(text, str)]
    if len(named) < len(pairs):
        raise InputError(f"{path}: chat_template must be a text, or a list of objects with name and template")
    return named


def _tokens(about: dict[str, Any]) -> dict[str, str]:
    """Special tokens, spelled as a text or as an object with `content`."""
    result = {}
    for key, value in about.items():
        text = value.get("content") if isinstance(value, dict) else value
        if key.endswith("_token") and isinstance(text, str):
            result[key] = text
    return result


def _stop_tokens(generation: dict[str, Any], tokenizer: dict[str, Any]) -> list[str]:
    """Texts of the tokens at which the model stops, as far as the tokenizer's configuration tells."""
    ids = generation.get("eos_token_id")
    known = tokenizer.get("added_tokens_decoder")
    if not isinstance(known, dict):
        return []
    entries = [known.get(str(number)) for number in (ids if isinstance(ids, list) else [ids])]
    texts = [entry.get("content") for entry in entries if isinstance(entry, dict)]
    return [text for text in texts if isinstance(text, str)]


def _name(folder: Path, config: dict[str, Any]) -> str:
    repository = _repository(folder)
    if repository:
        return repository
    given = config.get("_name_or_path")
    resolved = folder.resolve().name
    return resolved or (given if isinstance(given, str) else str(folder))


def _repository(folder: Path) -> str | None:
    """`org/name` of a folder inside a Hugging Face cache: models--org--name/snapshots/revision."""
    parts = folder.absolute().parts
    if len(parts) >= 3 and parts[-2] == "snapshots" and parts[-3].startswith("models--"):
        return parts[-3].removeprefix("models--").replace("--", "/")
    return None


def _architecture(config: dict[str, Any]) -> str | None:
    listed = config.get("architectures")
    if isinstance(listed, list) and listed and isinstance(listed[0], str):
        return listed[0]
    kind = config.get("model_type")
    return kind if isinstance(kind, str) else None


def _max_length(config: dict[str, Any], tokenizer: dict[str, Any]) -> int | None:
    parts = [config, *(config.get(name) for name in TEXT_PARTS)]
    candidates = [part.get(key) for part in parts if isinstance(part, dict) for key in LENGTHS]
    candidates.append(tokenizer.get("model_max_length"))
    for value in candidates:
        if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < UNBOUNDED:
            return int(value)
    return None
