"""The version of the package, which a checkpoint and a manifest carry."""

__version__ = "0.7.0"
