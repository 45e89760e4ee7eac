"""Foundry end to end: look-ups of many ids at once and nothing else, every counter exact."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from exporter.simulator import HandClock
from tests.declared.fake_foundry import PASSWORD, USER, Foundry, castings
from tests.declared.fake_orbit import served
from tests.harness import NOW, Rig, load

STATES = {30: "succeeded", 40: "failed", 50: "cancelled", 0: "lost"}
VENDOR = """\
foundry:
  credentials: [user, password]
  auth: {type: basic, credential: user, password: password}
  feeds:
    casting:
      detail:
        method: POST
        path: /v1/query
        json: {keys: "{ids[]}"}
        batch: 20
        row: values(items)
      fields:
        id: key
        state: state
        progress: {path: share, unit: ratio}
        submitted: "at[0]"
        started: "at[1]"
        ended: {path: "at[2]", when: end}
        output: {path: length.ms, unit: ms}
        code: fault
      states: {queued: ["10"], running: ["20"], succeeded: ["30"], failed: ["40"], cancelled: ["50"]}
      reasons: {moderation: ["101"], timeout: ["102"], invalid_input: ["103"]}
"""


@pytest.mark.parametrize("storms", [0.0, pytest.param(0.15, marks=pytest.mark.slow)])
async def test_every_counter_is_exact(tmp_path: Path, storms: float) -> None:
    clock = HandClock(NOW)
    foundry = Foundry(clock, [*castings(1, 60, NOW - 100, 1), *castings(2, 200, NOW, 8)])
    ids = tmp_path / "ids.json"
    (tmp_path / "foundry.yaml").write_text(VENDOR)
    lot = random.Random(1)
    with served(foundry.app) as url:
        config = tmp_path / "config.yaml"
        config.write_text(
            f"vendor_files: [foundry.yaml]\nledger: {{path: {tmp_path / 'ledger'}}}\nproviders:\n"
            f"  - {{name: f, type: foundry, base_url: '{url}', user: {USER}, password: '{PASSWORD}', "
            f"rate_limit: 2000/s, watch: {{files: [{ids}]}}}}\n"
        )
        read = load(config)

        def opened() -> Rig:
            rig = Rig(clock, read.ledger.path)
            rig.add(read.providers[0], read.types)
            rig.pass_pauses()
            return rig

        rig = opened()
        for turn in range(180):
            foundry.storms = storms if 2 < turn < 140 else 0.0
            clock.now += max(15.0, rig.client.limit.pause_left)
            ids.write_text(json.dumps({"casting": [*foundry.known, "bad key", "unknown-1", "unknown-2"]}))
            if lot.random() < 0.05:
                await rig.aclose()
                rig = opened()
            await rig.sweep(after=0)
        counts = rig.tracker.counts
        ends = {key[1]: count for key, count in counts.items() if key[0] == "finished_total"}
        reasons = {key[1]: count for key, count in counts.items() if key[0] == "failures_total"}
        assert ends == {STATES[outcome]: count for outcome, count in foundry.ends().items()}
        assert reasons == foundry.reasons()
        for outcome in (30, 40):
            seconds = counts["total_duration_seconds", STATES[outcome], "sum"]
            assert seconds == pytest.approx(foundry.milliseconds(outcome) / 1000)
        assert rig.tracker.in_flight == {}
        assert sum(ends.values()) == 260
        unmapped = [key for key in counts if key[0] in ("unmapped_values_total", "rejected_timestamps_total")]
        assert unmapped == []
        assert sum(foundry.calls) / len(foundry.calls) > 2
        await rig.aclose()
