"""What an alert is, and the words that its texts are made of."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from grafana.identity import ACCOUNTS, EXPORTER, PROVIDER
from grafana.thresholds import Choice, Thresholds

PREFIX = "VideoTask"

PROVIDER_NAME = "{{ $labels.provider }}"
FEED_NAME = "{{ $labels.kind }} of {{ $labels.provider }}"
INSTANCE_NAME = "{{ $labels.instance }}"
JOB_NAME = "{{ $labels.job }}"
FIELD_NAME = "{{ $labels.field }}"
SOURCE_NAME = "{{ $labels.source }}"
UNIT_NAME = "{{ $labels.unit }}"
COUNT = '{{ $value | printf "%.0f" }}'
PERCENT = "{{ $value | humanizePercentage }}"
LENGTH = "{{ $value | humanizeDuration }}"
TIMES = '{{ $value | printf "%.1f" }}'
AMOUNT = f'{{{{ $value | printf "%.2f" }}}} {UNIT_NAME}'


class Subject(Enum):
    """Whom an alert is about: the dashboard that shows it, and the labels that choose it there."""

    FEED = (PROVIDER, ("provider", "kind"))
    ACCOUNT = (PROVIDER, ("provider",))
    BALANCE = (ACCOUNTS, ("provider",))
    INSTANCE = (EXPORTER, ("job", "instance"))
    JOB = (EXPORTER, ("job",))


@dataclass(frozen=True)
class Alert:
    """It fires for each series of `query` whose value is above `limit`, or below it, for as long as `choice` says.

    `summary` is the same for every series; `description` is a template in Prometheus' own language.
    """

    name: str
    about: Subject
    choice: Choice
    query: str
    summary: str
    description: str
    limit: float = 0
    below: bool = False

    @property
    def title(self) -> str:
        """Its name as Prometheus, the runbook and people use it."""
        return PREFIX + "".join(word.capitalize() for word in self.name.split("_"))

    def annotations(self, thresholds: Thresholds) -> dict[str, str]:
        dashboard, labels = self.about.value
        chosen = "&".join(f"var-{label}={{{{ $labels.{label} | urlquery }}}}" for label in labels)
        return {
            "summary": self.summary,
            "description": self.description,
            "runbook_url": f"{thresholds.links.runbook}/{self.title}",
            "dashboard_url": f"{thresholds.links.grafana}/d/{dashboard}?{chosen}",
        }
