"""The one line of the provisioned datasource that `thresholds.yaml` sets: where the exemplars of the heatmaps lead."""

from __future__ import annotations

import re
from pathlib import Path

from grafana.thresholds import Thresholds, load

FILE = Path(__file__).parent / "provisioning" / "datasources" / "videotask.yaml"

_INSTANCE = "$${__data.fields.instance:raw}"
"""The address of the scrape, as Grafana fills it in; $$ is a $ that it takes for no environment variable."""

_LINK = re.compile(r"(?m)^( +url: ).*(/tasks/\$\$.*)$")


def files(thresholds: Thresholds | None = None) -> dict[Path, str]:
    """What the file holds. Raises ThresholdsError."""
    base = (thresholds or load()).links.tasks.rstrip("/").replace("{instance}", _INSTANCE)
    return {FILE: _LINK.sub(lambda line: f"{line[1]}{base}{line[2]}", FILE.read_text(encoding="utf-8"))}
