"""The schema of forge.yaml. Every key of the file is a field here; nothing else is a setting.

What must hold between several keys stands in `rules`. A key says here whether a byte of what a job writes
depends on it: where none does it is `Annotated` with WITHOUT_EFFECT, and so is a section of such keys.

Annotations are not postponed here: pydantic would compile each of them again, at every start.
"""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from forge_gpu.plain import frozen

VERSION = 1
"""Version of the schema. A change that an old file does not fit adds one, and a step in `migrate`."""


@frozen
class WithoutEffect:
    """The mark of a key that changes how a job runs, but not one byte of its output."""


WITHOUT_EFFECT = WithoutEffect()

Action = Literal["off", "warn", "reject"]
Fraction = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Cap = Annotated[int, Field(ge=0)]
Repeat = Annotated[int, Field(ge=1, le=10_000)]


class Section(BaseModel):
    """Base of all sections: unknown keys are refused, values are never changed after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=False)


class Mapping(Section):
    """Which columns of a record hold what. `shape` says which of the other keys are read.

    flat: query (and input, appended to query after a newline where it is not empty), response, system.
    conversation: messages (a list of {role, content} or {from, value}), system, tools.
    preference: query or messages, chosen, rejected.
    text: text.
    columns: none; a format-string template names the columns itself.
    """

    shape: Literal["flat", "conversation", "prompt", "preference", "text", "columns"] = "flat"
    query: str | None = None
    input: str | None = None
    response: str | None = None
    system: str | None = None
    messages: str | None = None
    tools: str | None = None
    chosen: str | None = None
    rejected: str | None = None
    text: str | None = None
    label: str | None = None  # a class; part of what dedup compares
    roles: dict[str, str] = {}  # a role's name in the data -> system, user, assistant or tool


class Transform(Section):
    """A script of other people's over every row, in a sandbox: see docs/transforms.md."""

    script: str | None = (
        None  # a Python file with `def transform(row)`; its content counts, not its name alone
    )
    seconds: Annotated[float, Field(gt=0, le=3600), WITHOUT_EFFECT] = 10.0  # for one answer
    memory: Annotated[int, Field(ge=64 * 2**20), WITHOUT_EFFECT] = 2**30  # bytes, a process
    processes: Annotated[Literal["auto"] | Annotated[int, Field(ge=1)], WITHOUT_EFFECT] = "auto"


class Convert(Section):
    """What makes records that `mapping` reads of other ones: see docs/records.md."""

    by: str | None = None  # a converter's name
    columns: dict[str, str] = {}  # what it takes -> a column of the data, or a path into it
    answers: Literal["each", "best", "all", "pairs"] | None = None  # of several; null: as it says itself


class LinkedRecords(Section):
    """Keys by which records name the one before them, so that trees are made of them: see docs/records.md."""

    id: str | None = None
    parent: str | None = None


MediaKind = Literal["images", "audios", "videos", "files"]


class MediaColumns(Section):
    """Columns that hold what texts name by a mark, as <image>, or by a part: see docs/media.md."""

    images: str | None = None
    audios: str | None = None
    videos: str | None = None
    beside: dict[str, MediaKind] = {}  # other columns of media, which no text names; files: of any kind
    parts: bool = False  # whether parts of messages bring their own
    folders: list[str] = []  # where paths are looked up, behind the data file's own folder

    @property
    def are_there(self) -> bool:
        """Whether records refer to any."""
        return bool(self.images or self.audios or self.videos or self.beside or self.parts)


class GivenSplits(Section):
    """Files of `inputs` that are splits already: see docs/records.md."""

    train: list[str] = []
    validation: list[str] = []
    test: list[str] = []


OneSign = Annotated[str, Field(pattern=r"^[\x01-\x09\x0b\x0c\x0e-\x7f]$")]


class TableDialect(Section):
    """How tables of text are written: see docs/records.md."""

    delimiter: OneSign = ","
    quote: OneSign | None = '"'  # null: quotes mean nothing
    escape: OneSign | None = None  # before a quote in a field; null: quotes are doubled
    blanks: bool = False  # those after delimiters are no part of a field
    header: bool = True  # the first record names the columns


class DataConfig(Section):
    """Which files are read, and what their records mean. See docs/records.md."""

    inputs: Annotated[list[str], WITHOUT_EFFECT] = []  # the files they name have one, by their content
    format: Literal["auto", "jsonl", "json", "csv", "tsv", "parquet", "arrow", "tar"] = "auto"
    encoding: str = "utf-8"
    dialect: TableDialect | None = None  # of csv and tsv; null: told from the content of each file
    on_corrupt: Literal["stop", "keep_prefix"] = "stop"
    max_row_bytes: Annotated[int, Field(ge=1)] = 64 * 2**20
    max_rejected: Annotated[Annotated[int, Field(ge=0)] | Fraction | None, WITHOUT_EFFECT] = (
        None  # rows, or a fraction of them
    )
    linked: LinkedRecords = LinkedRecords()
    transform: Transform = Transform()
    convert: Convert = Convert()
    splits: Annotated[GivenSplits, WITHOUT_EFFECT] = GivenSplits()  # which files they name has one
    mapping: Mapping = Mapping()
    media: MediaColumns = MediaColumns()
    weights: list[Weight] | dict[str, Weight] | None = None  # the share of each input, of any sum
    weights_by: Literal["rows", "tokens"] = "rows"  # what has these shares: rows, or tokens that are trained
    caps: list[Cap | None] | dict[str, Cap] | None = None  # rows of an input to use at most
    repeats: list[Repeat | None] | dict[str, Repeat] | None = None  # how often its rows may come; null: once
    against: Annotated[
        list[str], WITHOUT_EFFECT
    ] = []  # evaluation files: rows near or equal to one of theirs are left out
    against_mapping: Mapping | None = None  # columns of the evaluation files; null: those of `mapping`

    @property
    def is_mapped(self) -> bool:
        """Whether any column has a meaning: it has none in a plan that was made without data."""
        return self.mapping != Mapping()


MediaSetting = int | float | list[list[int]]


class ModelConfig(Section):
    """The model that the data is for: its chat template, special tokens and length. See docs/templates.md."""

    name: str | None = None
    architecture: str | None = None
    chat_template: str | None = None  # a built-in's name, a format string, or Jinja source
    template_kind: Literal["none", "builtin", "format", "jinja"] = "none"
    template_source: Annotated[str | None, WITHOUT_EFFECT] = None  # where it was read from
    template_sha256: str | None = None
    template_is_approximate: bool = False  # chosen by a family's name: not the model's own
    template_kwargs: dict[str, object] = {}  # variables of a Jinja template, e.g. enable_thinking
    compile: bool = True  # a Jinja template becomes programs; false renders every row with Jinja itself
    date: str | None = None  # what strftime_now sees, YYYY-MM-DD; part of what output depends on
    append_eos: bool = False
    max_length: Annotated[int, Field(ge=1)] | None = None  # tokens
    special_tokens: dict[str, str] = {}  # bos_token, eos_token, ...
    media_tokens: str | None = None  # the family whose rules count tokens of images and sounds
    media_settings: dict[str, MediaSetting] = {}  # what its rules take, where it is not the usual


class HardwareConfig(Section):
    """What plan found. `prepare` looks again; nothing of this affects a byte of the output."""

    gpu_arch: str | None = None
    vram_gb: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    compute_capability: str | None = None
    recommended_batch_size: Annotated[int, Field(ge=1)] | None = None
    use_gpu_preprocessing: bool = False


class Checks(Section):
    """Quality checks: off, warn (counted) or reject. They come before dedup."""

    empty: Action = "reject"
    too_short: Action = "warn"
    too_long: Action = "warn"  # exact in the form tokens; else an estimate, which can only warn
    mojibake: Action = "warn"
    replacement_character: Action = "warn"
    control_character: Action = "warn"
    repetition: Action = "warn"
    control_tokens: Action = "warn"  # contents that spell a token of the template, as <|im_start|>
    language: Action = "off"  # answers in none of `languages`
    media: Action = "reject"  # a text names another number of media than its row has
    media_missing: Action = "reject"  # a file is not there, or may not be looked at
    media_files: Action = "reject"  # a file cannot be read, is of another kind, or has too many pixels
    media_size: Action = "warn"  # an image, or a sound, of an odd size
    secrets: Action = "off"
    personal_data: Action = "off"
    gopher: Action = "off"  # the rules for web pages of Gopher's makers, and of C4's
    c4: Action = "off"
    languages: list[str] = []  # as ISO 639-1 has them, for language
    min_characters: Annotated[int, Field(ge=0)] = 3  # of the response, for too_short
    max_repetition: Fraction = 0.6  # share of a text's bytes in repeated 8-byte shingles
    max_pixels: Annotated[int, Field(ge=1)] = 89_478_485  # of an image, for media_files: Pillow's own bound
    min_side: Annotated[int, Field(ge=1)] = 8  # pixels of an image, for media_size
    max_ratio: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 200.0  # of its sides
    min_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.01  # of a sound
    max_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 3600.0


Role = Literal["query", "input", "system", "response", "chosen", "rejected", "text"]
ShingleSize = Annotated[int, Field(ge=1, le=32)]
Similarity = Annotated[float, Field(gt=0, le=1)]


class Near(Section):
    """Near-duplicates: rows whose contents have a Jaccard similarity of at least `threshold`."""

    threshold: Similarity = 0.8
    permutations: Annotated[int, Field(ge=1, le=4096)] = 128
    unit: Literal["characters", "words"] = "characters"
    size: ShingleSize = 5  # units in a shingle
    case: bool = True  # normalisation, see dedup.shingling: letters that differ in case are equal
    white_space: bool = True  # a run of white space is one blank
    punctuation: bool = False  # punctuation and symbols count as white space
    roles: Annotated[list[Role], Field(min_length=1)] = ["query", "response"]
    keep: str = "first"  # of a cluster: the first row, the longest, or that of the largest number in a column
    action: Literal["remove", "group"] = "remove"  # group: all rows stay, and no cluster is torn by the split


class Dedup(Section):
    """Duplicates: what makes two rows equal, and whether near ones count. See docs/near-duplicates.md."""

    exact: bool = True
    key: Literal["rendered"] | list[str] = "rendered"  # all rendered fields and the label, or columns
    media: bool = False  # the media of a row, by their content, are part of that
    near: Near | None = None


class Decontamination(Section):
    """How queries are compared with those of `data.against`: a row goes when a rule that is on says so."""

    ngram: ShingleSize | None = 13  # words in a row that both have
    threshold: Similarity | None = 0.8  # Jaccard similarity of their character 5-grams


class Split(Section):
    """How rows are shared out between train, validation and test."""

    mode: Literal["exact", "threshold", "temporal"] = "exact"
    stratify: str | Annotated[list[str], Field(min_length=1)] | None = None  # a column, or several
    time: str | None = None  # a column, for temporal: the oldest rows go to train
    group: str | None = None  # a column: rows with the same value all go to one split

    @property
    def strata(self) -> tuple[str, ...]:
        """The columns of `stratify`."""
        named = self.stratify or ()
        return (named,) if isinstance(named, str) else tuple(named)


class Memory(Section):
    """How much of the machine a job may take."""

    budget: Literal["auto"] | Annotated[int, Field(ge=16 * 2**20)] = "auto"  # bytes beyond the imports' own
    threads: Literal["auto"] | Annotated[int, Field(ge=1)] = "auto"


class PreprocessingConfig(Section):
    """What is done to rows: checks, duplicates and splits, and what that may take of the machine."""

    engine: Annotated[Literal["auto", "cpu", "gpu"], WITHOUT_EFFECT] = "auto"
    train_split: Fraction = 0.9
    validation_split: Fraction = 0.1
    test_split: Fraction = 0.0
    chunk_size: Annotated[Literal["auto"] | Annotated[int, Field(ge=1)], WITHOUT_EFFECT] = "auto"  # rows
    streaming_threshold_gb: Annotated[
        Annotated[float, Field(ge=0, allow_inf_nan=False)] | Literal["auto"], WITHOUT_EFFECT
    ] = "auto"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 42
    quality_checks: Checks = Checks()
    dedup: Dedup = Dedup()
    decontamination: Decontamination | None = None  # null: the usual rules, where there are evaluation files
    split: Split = Split()
    memory: Annotated[Memory, WITHOUT_EFFECT] = Memory()


Cut = Literal["none", "turns_start", "turns_end", "cut_start", "cut_end", "split"]


class TokensConfig(Section):
    """How texts become ids, where `output.form` is tokens: see docs/tokens.md."""

    tokenizer: Annotated[str | None, WITHOUT_EFFECT] = (
        None  # a model's folder or tokenizer; its content counts
    )
    control_text: Literal["plain", "reject", "keep"] = "plain"  # what a text is that spells a control token
    markup_text: Literal["keep", "plain", "reject"] = "keep"  # and another added token, as <think>
    allow: list[str] = []  # added tokens that contents may write
    train: Literal["assistant", "last", "completion", "all"] = "assistant"
    answers: Literal["labels", "apart", "none"] = (
        "labels"  # apart: prompt_ids and completion_ids, for KTO; none: prompt_ids alone
    )
    thinking: bool = True  # false: what the model thinks before it answers is read, and not trained
    min_trained: Annotated[int, Field(ge=0)] = 1  # tokens of a row; with fewer it is rejected
    cut: Cut = "none"  # of rows of more than model.max_length tokens, before too_long is asked


Trainer = Literal["trl", "axolotl", "hf"]
if TYPE_CHECKING:
    _WithFor = Section
else:  # a word of Python's own can be a field, but not be written as one
    _WithFor = create_model("_WithFor", __base__=Section, **{"for": (list[Trainer], [])})


class OutputConfig(_WithFor):
    """What is written: the form of a row, the format of the files, packs. See docs/outputs.md."""

    form: Literal["text", "prompt_completion", "prompt", "messages", "preference", "source", "tokens"] = (
        "text"
    )
    format: Literal[
        "jsonl",
        "parquet",
        "automodel",
        "litdata",
        "llamafactory",
        "mds",
        "megatron",
        "megatron_bridge",
        "nanogpt",
        "olmo",
        "skyrl",
        "swift",
        "together",
        "verl",
    ] = "jsonl"
    columns: list[str] = []  # noqa: RUF012 (of the input, to keep, spelled as they came)
    media: Literal["keep", "link", "copy", "embed"] = "keep"  # what becomes of files: see docs/media.md
    rows_per_shard: Annotated[int, Field(ge=1)] | None = None
    order: Literal["input", "shuffled"] = "input"
    packing: Literal["none", "bfd", "wrapped"] = "none"  # of rows of tokens: see docs/packs.md
    pack_length: Annotated[int, Field(ge=1, lt=2**31)] | None = None  # in tokens; null: model.max_length
    pack_within: Literal["split", "file", "length"] = "split"  # no pack of rows of two files, or lengths
    pad_rows_to: Annotated[int, Field(ge=1, lt=2**31)] = 1  # tokens of a row in a pack: a multiple of these
    pad_to: Annotated[int, Field(ge=1, lt=2**31)] = 1  # tokens of a pack: a multiple of these
    pad_id: Annotated[int, Field(ge=0, lt=2**31)] | None = None  # the token that is put there
    turns: Literal["all", "each"] = "all"  # each: a row for each turn of the assistant, as at inference
    spans: bool = False  # beside a text of a Jinja template: [start, end) of what the assistant wrote
    unknown_spans: Literal["null", "reject"] = "null"  # of rows where they cannot be told exactly
    trained_roles: list[str] = ["assistant"]  # noqa: RUF012 (whose messages have spans)
    bos: Literal["keep", "strip"] = "keep"  # of rendered texts: what a template writes and a tokenizer adds
    eos: Literal["keep", "strip"] = "keep"
    mode: Annotated[Literal["umask", "group", "private"], WITHOUT_EFFECT] = "umask"  # who may read the files
    verify: bool = True  # read the output back, check every row, record each file's SHA-256
    report: Annotated[bool, WITHOUT_EFFECT] = True  # leave report.html beside the output

    @property
    def trainers(self) -> list[Trainer]:
        """What `for` lists: the trainers that are to load the files."""
        named: list[Trainer] = getattr(self, "for")
        return named


ContainerImage = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:@-]*$", max_length=255)]
VolumeName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]+$", max_length=128)]


class ContainerConfig(Section):
    """Whether a job runs in a container, and in which. Not one byte of the output depends on it."""

    use: Literal["off", "auto"] | ContainerImage = "off"  # auto: the image of this machine's GPU architecture
    engine: Literal["auto", "docker", "podman"] = "auto"
    memory: Literal["auto"] | Annotated[int, Field(ge=256 * 2**20)] = "auto"  # bytes; auto: what is available
    network: Literal["none", "bridge", "host"] = "none"
    cache: Literal["auto", "off"] | VolumeName = "auto"  # kernels that the image lacks for this processor


LicenseName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+_ -]*$", max_length=96)]


class ForgeConfig(Section):
    """A whole forge.yaml."""

    version: int = VERSION
    goal: Annotated[str | None, WITHOUT_EFFECT] = None
    license: Annotated[LicenseName | None, WITHOUT_EFFECT] = None  # of the data, for its card
    templates: Annotated[dict[str, str], WITHOUT_EFFECT] = {}  # own ones by name, for model.chat_template
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    hardware: Annotated[HardwareConfig, WITHOUT_EFFECT] = HardwareConfig()
    preprocessing: PreprocessingConfig = PreprocessingConfig()
    tokens: TokensConfig = TokensConfig()
    output: OutputConfig = OutputConfig()
    container: Annotated[ContainerConfig, WITHOUT_EFFECT] = ContainerConfig()


Config = ForgeConfig
"""The name within the package. `forge_gpu.Config` is the old one of `forge_gpu.ForgeConfig`."""
