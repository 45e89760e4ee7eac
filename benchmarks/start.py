"""How long the demo takes from its exec to the first complete body. Goal: at most 1 s.

Complete is a body in which every feed has its series, so that its first sweep is in it. What any Python takes to
import the libraries that the exporter stands on is the baseline.
"""

from __future__ import annotations

import re
import time

import httpx

from benchmarks.goals import Result, at_most, in_turns, runs
from benchmarks.processes import PATIENCE, python, until
from exporter import simulator
from exporter.simulator import fakes

DEMO = ("-m", "exporter", "demo", "--web.listen-address=127.0.0.1:0", "--log.level=error")
FEEDS = len(simulator.profiles_of(fakes.DEMO))
IN_FLIGHT = re.compile(r'^videotask_tasks\{.*state="queued"', re.MULTILINE)
IMPORTS = "import httpx, jinja2, prometheus_client, pydantic, sqlite3, starlette.applications, uvicorn, yaml"


async def run(quick: bool) -> list[Result]:
    firsts: list[float] = []

    async def demo() -> float:
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            began = time.monotonic()
            async with python(*DEMO, tells=r"metrics +(http\S+)") as exporter:

                async def complete() -> bool:
                    return len(IN_FLIGHT.findall((await client.get(exporter.told)).text)) == FEEDS

                await client.get(exporter.told)
                firsts.append(time.monotonic() - began)
                await until(complete, pause=0.01)
                return time.monotonic() - began

    async def imports() -> float:
        began = time.monotonic()
        async with python("-c", f"{IMPORTS}; print('done', flush=True)"):
            return time.monotonic() - began

    complete, imported = await in_turns(runs(quick), demo, imports)
    return [
        Result("demo: first body with all feeds", "s", complete, at_most(1.0), "libraries imported", imported),
        Result("demo: first body", "s", firsts, None, "libraries imported", imported),
    ]
