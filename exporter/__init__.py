"""Prometheus exporter for the video-generation tasks of vendors' asynchronous APIs."""

import sys
from typing import cast

__version__ = "0.1.0"

# httpx imports its command line wherever rich is installed: 6 MiB and a twentieth of a second that nothing here uses.
cast("dict[str, None]", sys.modules).setdefault("httpx._main", None)
