"""Every query of every document has data in a stack in which everything happens."""

from __future__ import annotations

import math
import time

import pytest

from docs.tools.reader import ROOT, Block, blocks
from tests.harness import wait_for

from .running import Stack

pytestmark = pytest.mark.slow

SHORTER = {"offset 1d": "offset 5s", 'le="60.0"': 'le="20.0"'}
"""The stack is a minute old, and its buckets are few: what stands in the place of a day before, and of a minute."""

OF_REPLICAS = "videotask_lease_held"
"""The exporters of the stack share no ledger, so that they have no such series."""

QUERIES = [pytest.param(block, id=str(block)) for block in blocks("promql") if OF_REPLICAS not in block.text]
COOKBOOK = ROOT / "docs" / "cookbook.md"


def asked(block: Block) -> str:
    query = block.text
    for told, here in SHORTER.items():
        query = query.replace(told, here)
    return query


@pytest.mark.parametrize("block", QUERIES)
def test_a_query_of_a_document_has_data(stack: Stack, block: Block) -> None:
    """A finite number at least once: the wait for a queue that nothing leaves may be infinite."""

    def answer() -> bool:
        rows = stack.prometheus.api("query", query=asked(block), time=time.time())["result"]
        return any(math.isfinite(float(row["value"][1])) for row in rows)

    wait_for(f"data for {asked(block)}", answer, patience=stack.patience, pause=0.2)


def test_what_is_shortened_stands_in_a_document() -> None:
    for told in SHORTER:
        assert any(told in block.text for block in blocks("promql"))


def test_the_query_for_exemplars_has_some(stack: Stack) -> None:
    (block,) = [one for one in blocks("promql") if one.page == COOKBOOK and "histogram_quantile(0.99" in one.text]
    wait_for("exemplars", lambda: stack.prometheus.exemplars(block.text), patience=stack.patience, pause=0.2)
    (first, *_) = stack.prometheus.exemplars(block.text)
    assert all(point["labels"]["task_id"] for point in first["exemplars"])
