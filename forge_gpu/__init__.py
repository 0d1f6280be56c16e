"""Forge prepares data for fine-tuning language models, at the speed of the hardware."""

__version__ = "0.1.0"
