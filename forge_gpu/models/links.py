"""Links in a model's folder: one that leads out of it is not followed, whoever made the folder."""

from __future__ import annotations

from pathlib import Path

from forge_gpu.errors import InputError


def require_own(file: Path, folder: Path) -> None:
    """Raise InputError where a file of a folder lies elsewhere: neither below it nor, of a snapshot in a
    Hugging Face cache, among the files of its repository, which snapshots link to."""
    try:
        real, own = file.resolve(), folder.resolve()
    except (OSError, RuntimeError) as fault:
        raise InputError(f"{file} cannot be read: {fault}") from None
    roots = [own]
    if own.parent.name == "snapshots" and own.parent.parent.name.startswith("models--"):
        roots.append(own.parent.parent / "blobs")
    if not any(real.is_relative_to(root) for root in roots):
        raise InputError(
            f"{file} is a link that leads out of its folder, which is not followed; copy the file"
        )
