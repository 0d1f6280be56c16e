"""The design's classes, under its names and with its signatures, over the code that the rest of Forge runs.

Each is a few lines that call it; `docs/design-map.md` says where everything of the design is.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forge_gpu.config.schema import ForgeConfig, PreprocessingConfig
from forge_gpu.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

    from forge_gpu.audit.quality_report import QualityReport
    from forge_gpu.audit.validation_report import ValidationReport
    from forge_gpu.container.choose import Found
    from forge_gpu.container.engines import ContainerEngine
    from forge_gpu.job.output.result import Result


def _templates() -> dict[str, str]:
    from forge_gpu.templates.builtin import builtins

    return {name: chosen.template for name, chosen in builtins().items()}


def _mappings() -> dict[str, str]:
    from forge_gpu.models.registry import families, table

    known = families()
    return {prefix: str(known[family].template) for prefix, family in table()["prefixes"].items()}


class ChatTemplateRegistry:
    """Chat templates by their names, and by those of models."""

    TEMPLATES = _templates()

    @classmethod
    def get_template(cls, model_name: str) -> str:
        """The text of the template of that name, or of the one of a model. Raises TemplateError."""
        from forge_gpu.planner.model import read_template
        from forge_gpu.planner.template_names import is_named

        if not is_named(model_name, {}):
            model_name = ModelDetector().detect_template(model_name)
        return cls.TEMPLATES.get(model_name) or read_template(model_name).text

    @classmethod
    def validate_template(cls, template: str, sample_data: Mapping[str, Any]) -> bool:
        """Whether a template, by its name or its text, gives a text for a record."""
        from forge_gpu.errors import ForgeError
        from forge_gpu.library import open_engine

        try:
            return open_engine("cpu").render([dict(sample_data)], template)[0] is not None
        except ForgeError:
            return False


class ModelDetector:
    """The template of a model. MODEL_MAPPINGS: how repositories of a family begin, and its built-in."""

    MODEL_MAPPINGS = _mappings()

    def detect_template(self, model_name: str) -> str:
        """The built-in that comes near, or the text of its own template where the model's folder is at hand.
        Raises TemplateError where neither is known."""
        from forge_gpu.planner.template_names import detect

        return str(detect(model_name).values["chat_template"])


class ModelAwareScriptGenerator:
    """One Python file that does what a plan says. template_engine: the templates that there are."""

    def __init__(self, config: ForgeConfig) -> None:
        self.config = config
        self.template_engine = ChatTemplateRegistry()

    def generate_script(self, metadata: Mapping[str, Any], analysis: str) -> str:
        """metadata: `inputs` to read instead of the plan's. analysis: lines for the script's head."""
        from forge_gpu.scripts.generate import ModelAwareScriptGenerator as Generator

        unknown = sorted(metadata.keys() - {"inputs"})
        if unknown:
            raise ConfigError(f"metadata: {', '.join(unknown)}: unknown; it may have inputs")
        inputs = metadata.get("inputs", self.config.data.inputs)
        data = self.config.data.model_copy(update={"inputs": list(map(str, inputs))})
        config = self.config.model_copy(update={"data": data})
        return Generator(Path.cwd()).generate_script(config, analysis.splitlines())

    def get_preprocessing_prompt(self, wish: str = "", rows: Sequence[Mapping[str, Any]] = ()) -> str:
        """The prompt for a model that is to write a transform. wish: what rows must become; rows: some."""
        from forge_gpu.scripts.prompt import get_preprocessing_prompt

        return get_preprocessing_prompt(self.config, wish or self.config.goal or "not said", rows)


class DataQualityValidator:
    """Looks at data before a job, and at an output folder after one."""

    def __init__(self, config: PreprocessingConfig) -> None:
        self.config = config

    def validate_input(self, data_path: Path | str) -> QualityReport:
        """Missing values, duplicates, encodings and texts of a file or folder. Raises InputError."""
        from forge_gpu.audit.inputs import check_inputs

        return check_inputs([str(data_path)])

    def validate_output(self, output_path: Path | str) -> ValidationReport:
        """Every file, count and hash of an output folder, derived anew. Raises InputError."""
        from forge_gpu.audit.folder import verify_folder

        return verify_folder(Path(output_path))


class AdvancedSplitter:
    """Train and validation frames of the sizes of a plan, as `prepare` splits them."""

    def __init__(self, config: PreprocessingConfig) -> None:
        if config.test_split:
            raise ConfigError("test_split must be 0: here are two frames; open_engine().split gives three")
        self.config = config

    def stratified_split(self, data: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """By the columns of `split.stratify`; each stratum has its share in both. Raises InputError."""
        return self._split(data, stratify=self.config.split.strata or None, group=self.config.split.group)

    def temporal_split(self, data: pd.DataFrame, time_column: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        """The oldest rows train, the newest validation. Raises InputError for a row without a time."""
        return self._split(data, time=time_column)

    def _split(self, data: pd.DataFrame, **how: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
        from forge_gpu.library import open_engine

        sizes = (self.config.train_split, self.config.validation_split, 0.0)
        with open_engine(self.config.engine) as engine:
            parts = engine.split(data, *sizes, seed=self.config.seed, **how)
        return parts["train"], parts["validation"]


class StreamingProcessor:
    """Prepared rows as frames, without an output folder. chunk_size: rows of one frame at most."""

    def __init__(self, config: ForgeConfig) -> None:
        self.config = config
        self.chunk_size = self._calculate_chunk_size()

    def process_large_dataset(self, data_path: Path | str, split: str = "train") -> Iterator[pd.DataFrame]:
        """The rows of one split, in the order of the input. Raises ForgeError."""
        from forge_gpu.library import stream

        return stream(self.config, data=data_path, split=split, batch_rows=self.chunk_size, as_="pandas")

    def _calculate_chunk_size(self) -> int:
        """The plan's, or as many rows of 1 KiB as fit a chunk of the memory budget."""
        from forge_gpu.hardware.budget import cpu_budget
        from forge_gpu.hardware.host import read_cores, read_memory

        given, memory = self.config.preprocessing.chunk_size, self.config.preprocessing.memory
        if given != "auto":
            return given
        return max(
            1, cpu_budget(read_memory(), read_cores(), memory.budget, memory.threads).chunk_bytes // 1024
        )


class ProgressTracker:
    """How far a loop is, shown on a terminal. checkpoint: the file of `save_checkpoint`."""

    def __init__(self, total_samples: int, checkpoint: Path | str = "checkpoint.json") -> None:
        self.total_samples = total_samples
        self.processed_samples = 0
        self.checkpoint = Path(checkpoint)
        self._began = time.monotonic()

    @property
    def eta(self) -> float | None:
        """Seconds to go at the rate so far; None before the first samples."""
        if not self.processed_samples:
            return None
        left = max(self.total_samples - self.processed_samples, 0)
        return left * (time.monotonic() - self._began) / self.processed_samples

    def update(self, batch_size: int) -> None:
        """Note that so many samples more are done."""
        self.processed_samples += batch_size
        if sys.stderr.isatty():
            share = min(self.processed_samples / max(self.total_samples, 1), 1)
            bar = "#" * round(30 * share)
            print(
                f"\r[{bar:30}] {share:4.0%}, {self.eta or 0:.0f} s to go", end="", file=sys.stderr, flush=True
            )

    def save_checkpoint(self, state: Mapping[str, Any]) -> None:
        """Write the state, and the samples done, as JSON: whole or not at all. Raises OSError."""
        import orjson

        from forge_gpu.io.atomic import write_atomic

        write_atomic(self.checkpoint, orjson.dumps({"processed_samples": self.processed_samples, **state}))


class ModelAwarePreprocessor:
    """Runs a plan. result: of the last run, None before."""

    def __init__(self, config: ForgeConfig) -> None:
        self.config = config
        self.result: Result | None = None

    def process_dataset(self, path: Path | str, output: Path | str = "prepared") -> bool:
        """Prepare the data at a path; whether there are rows to train on. Raises ForgeError."""
        from forge_gpu.library import prepare

        self.result = prepare(self.config, data=path, output=output, allow_empty=True)
        return self.result.counts["train"] > 0


class DockerPreprocessor:
    """Runs a preprocessing script in the container of the plan's GPU architecture, without rights: it reads
    the data, writes the output folder, and sees nothing else of the machine.

    A job itself needs none of this: `forge_gpu.prepare(config, settings=["container.use=auto"])`.
    """

    def __init__(self, config: ForgeConfig) -> None:
        from forge_gpu.container.images import arch_of, get_container_for_arch

        hardware = config.hardware
        arch = arch_of(hardware.compute_capability) if hardware.use_gpu_preprocessing else None
        self.config = config
        self.container_name = get_container_for_arch(arch)
        self._prepared: tuple[ContainerEngine, Found] | None = None

    def prepare_container(self) -> None:
        """Find the engine and the image. Raises ContainerError where one of them is not there."""
        from forge_gpu.container.choose import find, machine_choice
        from forge_gpu.container.engines import open_engine
        from forge_gpu.container.images import CPU, Choice

        machine = machine_choice()
        choice = machine if self.container_name == machine.image else Choice(self.container_name, CPU)
        engine = open_engine(self.config.container.engine)
        self._prepared = engine, find(engine, choice)

    def execute_preprocessing(
        self,
        script: str,
        data_path: Path | str,
        output: Path | str = "prepared",
        on_line: Callable[[str], None] = print,
    ) -> bool:
        """Run a Python script and return whether it ended with 0. Its arguments are the data and the output
        folder, each under the name it has here; on_line gets each line it prints.

        Raises InputError for a path that no container gets, ContainerError as `prepare_container` does.
        """
        from forge_gpu.container.leftovers import owner
        from forge_gpu.container.mounts import mount_of
        from forge_gpu.container.rights import Surroundings, arguments, memory_limit
        from forge_gpu.io.atomic import make_folder

        if self._prepared is None:
            self.prepare_container()
        assert self._prepared is not None
        engine, result = self._prepared
        mounts = [mount_of(Path(data_path)), mount_of(make_folder(Path(output)), writable=True)]
        limit = memory_limit(self.config.container.memory)
        made = Surroundings(result.name, mounts, limit, self.config.container.network, result.gpus)
        name = f"forge-{os.urandom(4).hex()}"
        command = ("python3", "-P", "-", *(str(mount.target) for mount in mounts))
        try:
            engine.create(arguments(engine, made, name, owner(), command))
            return self._run(engine.command("start", "--attach", "--interactive", name), script, on_line)
        finally:
            engine.remove(name)

    def _run(self, command: Sequence[str], script: str, on_line: Callable[[str], None]) -> bool:
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as child:
            assert child.stdin and child.stdout
            try:
                with child.stdin as stdin:
                    stdin.write(script)
            except BrokenPipeError:
                pass  # it has ended already, and says why
            for line in child.stdout:
                on_line(line.rstrip("\n"))
        return child.returncode == 0
