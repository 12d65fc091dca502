"""The former name of `inputs`."""

from probunet.models.inputs import central, read_rows, windowed

__all__ = ["central", "read_rows", "windowed"]
