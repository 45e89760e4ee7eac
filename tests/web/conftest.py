"""What the tests of the HTTP side share."""

from .serving import authority, folder

__all__ = ["authority", "folder"]
