"""What is optional: the extras of the package, whether they are there, and the command that adds each."""

from __future__ import annotations

from importlib import metadata

EXTRAS = {  # extra -> the distribution that tells of it, and what it is for
    "dask": ("distributed", "prepare --workers, --scheduler"),
    "s3": ("s3fs", "inputs and outputs at s3://"),
    "tokens": ("gigatoken", "output.form tokens"),
    "write": ("httpx", "transform write"),
    "encodings": ("chardet", "plan finds the encoding of text that is not UTF-8"),
    "gzip": ("isal", "gzip is decoded in less than half the time"),
    "language": ("py3langid", "the check language; forge check counts languages"),
    "gguf": ("gguf", "plan --model and --template read GGUF files"),
    "media": ("pillow", "images and sounds that rows refer to"),
    "hub": ("huggingface_hub", "inputs at hf://, push"),
    "mlflow": ("mlflow-skinny", "prepare --track mlflow"),
    "wandb": ("wandb", "prepare --track wandb"),
    "metrics": ("prometheus-client", "prepare --metrics"),
    "watch": ("starlette", "watch"),
}
"""Those of the GPU are told of apart."""


def optional_lines() -> list[str]:
    """A line for each extra."""
    lines = []
    for extra, (distribution, purpose) in EXTRAS.items():
        try:
            lines.append(f"{extra}: {distribution} {metadata.version(distribution)} ({purpose})")
        except metadata.PackageNotFoundError:
            lines.append(f"{extra}: not installed; pip install 'forge-gpu[{extra}]' ({purpose})")
    return lines
