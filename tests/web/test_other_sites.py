"""What pages of other sites can do with a browser that reaches the exporter: nothing but be refused."""

from __future__ import annotations

import httpx
import pytest

from tests.harness import Rig

from .serving import served

STRANGER = "https://stranger.example"


@pytest.mark.parametrize("origin", [STRANGER, "http://127.0.0.1:10186", "null"])
async def test_no_page_makes_a_browser_reload_the_configuration(rig: Rig, origin: str) -> None:
    reloads = []

    async def reload() -> None:
        reloads.append(origin)

    async with served(rig.app(reload)) as http:
        answer = await http.post("/-/reload", headers={"Origin": origin})
        assert (answer.status_code, reloads) == (403, [])
        assert answer.text == "Web pages may not request this. Send no Origin header, as curl does.\n"
        assert (await http.post("/-/reload")).status_code == 200


async def test_no_page_of_another_site_may_read_an_answer_or_send_what_needs_leave(rig: Rig) -> None:
    async with served(rig.app(takes_tasks=lambda: True)) as http:
        for path in ("/", "/tasks", "/metrics", "/api/v1/tasks", "/api/v1/providers", "/-/healthy", "/nothing"):
            answer = await http.get(path, headers={"Origin": STRANGER})
            assert not [name for name in answer.headers if name.startswith("access-control-")], path
        asks = {"Origin": STRANGER, "Access-Control-Request-Method": "POST"}
        asks["Access-Control-Request-Headers"] = "content-type"
        for path in ("/api/v1/tasks", "/-/reload"):
            leave: httpx.Response = await http.options(path, headers=asks)
            assert leave.status_code == 405
            assert not [name for name in leave.headers if name.startswith("access-control-")], path
