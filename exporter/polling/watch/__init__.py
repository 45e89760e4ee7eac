"""The ids of tasks to follow in feeds that cannot be listed, and where they come from.

settings  ->
files     ->  Watch  ->  Following  <-  asked for: the HTTP API, vendors' callbacks
URLs      ->  (a provider)  (a feed)
"""

from __future__ import annotations

from exporter.polling.watch.following import Callbacks, Following
from exporter.polling.watch.sources import Watch
from exporter.tasks import Verdict

__all__ = ["Callbacks", "Following", "Verdict", "Watch"]
