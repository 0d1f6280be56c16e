"""The names under which the design's document knows the parts of the pipeline."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from forge_gpu.config.schema import Config

if TYPE_CHECKING:
    from forge_gpu.container.choose import Found
    from forge_gpu.container.engines import ContainerEngine


class DockerPreprocessor:
    """Runs a preprocessing script in the container of the plan's GPU architecture, without rights: it reads
    the data, writes the output folder, and sees nothing else of the machine.

    A job of Forge itself needs none of this: `forge_gpu.prepare(config, settings=["container.use=auto"])`.
    """

    def __init__(self, config: Config) -> None:
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
        engine, found = self._prepared
        mounts = [mount_of(Path(data_path)), mount_of(make_folder(Path(output)), writable=True)]
        limit = memory_limit(self.config.container.memory)
        made = Surroundings(found.name, mounts, limit, self.config.container.network, found.gpus)
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
