"""Turn a bucket of pictures and videos into a table that a researcher can trust."""

__version__ = "0.1.0"

__all__ = ["__version__"]
