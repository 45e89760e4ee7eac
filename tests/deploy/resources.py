"""What a resource of Kubernetes may hold.

The kinds of Kubernetes itself are checked against its schemas, as kubernetes-validate carries them. No package carries
those of the Prometheus operator by themselves; its two kinds are held against models of the fields that it documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import kubernetes_validate  # type: ignore[import-untyped]  # it carries no types
from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

OF_OPERATOR = "monitoring.coreos.com/v1"


def check(content: Mapping[str, Any]) -> None:
    """Raises an error that names what is wrong."""
    if content["apiVersion"] != OF_OPERATOR:
        kubernetes_validate.validate(content, kubernetes_validate.latest_version(), strict=True)
        return
    assert set(content) == {"apiVersion", "kind", "metadata", "spec"}
    KINDS[content["kind"]].model_validate(content["spec"])


class Documented(BaseModel):
    """A part of a resource of the operator: fields that its API reference documents, no others."""

    model_config = ConfigDict(extra="forbid", strict=True, alias_generator=to_camel)


Duration = Field(default=None, pattern=r"^(\d+(y|w|d|h|m|s|ms))+$")


class Relabeling(Documented):
    action: Literal["replace", "keep", "drop", "labeldrop", "labelkeep", "labelmap"] = "replace"
    source_labels: list[str] | None = None
    separator: str | None = None
    regex: str | None = None
    target_label: str | None = None
    replacement: str | None = None


class Endpoint(Documented):
    port: str
    path: str | None = None
    scheme: Literal["http", "https"] | None = None
    interval: str | None = Duration
    scrape_timeout: str | None = Duration
    honor_labels: bool | None = None
    relabelings: list[Relabeling] = Field(default_factory=list)
    metric_relabelings: list[Relabeling] = Field(default_factory=list)


class LabelSelector(Documented):
    match_labels: dict[str, str]


class ServiceMonitor(Documented):
    job_label: str | None = None
    selector: LabelSelector
    endpoints: list[Endpoint]


class Rule(Documented):
    model_config = ConfigDict(alias_generator=None)

    record: str | None = None
    alert: str | None = None
    expr: str
    hold: str | None = Field(default=None, alias="for", pattern=r"^(0|\d+(d|h|m|s))+$")
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class RuleGroup(Documented):
    name: str = Field(min_length=1)
    interval: str | None = Duration
    rules: list[Rule] = Field(min_length=1)


class PrometheusRule(Documented):
    groups: list[RuleGroup]


KINDS: Mapping[str, type[Documented]] = {one.__name__: one for one in (ServiceMonitor, PrometheusRule)}
"""Of the operator, by name."""
