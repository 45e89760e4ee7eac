"""A Prometheus that has the history of a scene, and nothing to scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from grafana.rules_files import ALERTS, RECORDINGS
from tests.drawn import history, scenes
from tests.drawn.scenes import Scene
from tests.stack import servers


@contextmanager
def remembering(scene: Scene, folder: Path, program: Callable[[str], str]) -> Iterator[str]:
    """Its URL. What is recorded is made in the folder."""
    data = folder / "data"
    files = scenes.recorded(scene, folder / "recorded")
    history.blocks(program("promtool"), files, data)
    for file in files:
        file.unlink()  # hundreds of megabytes
    config = {"global": {"evaluation_interval": "1d"}, "rule_files": [str(ALERTS), str(RECORDINGS)]}
    flags = {"storage.tsdb.path": str(data), "storage.tsdb.retention.time": "100y"}
    with servers.served(program("prometheus"), folder / "prometheus", config, flags) as address:
        yield f"http://{address}"


def span(scene: Scene) -> tuple[float, float]:
    """What a dashboard shows of it, in Unix seconds."""
    return scenes.END - scene.shown, scenes.END
