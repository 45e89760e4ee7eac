"""What the tests of the HTTP side share."""

from .houses import house, http
from .serving import authority, folder

__all__ = ["authority", "folder", "house", "http"]
