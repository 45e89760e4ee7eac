"""Programs beside the one that measures, and what they use."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 120.0
"""Seconds to wait for what must come."""
STOPS_WITHIN = 10.0
DEPLOYED = {"MALLOC_ARENA_MAX": "1"}
"""What the image and the unit of systemd set in the exporter's environment."""


@dataclass(frozen=True)
class Running:
    """A program that runs, and what it wrote when it was ready: its address, for one that serves."""

    pid: int
    told: str

    def memory(self) -> float:
        """MiB of memory in use."""
        return memory(self.pid)

    def processor_time(self) -> float:
        """Seconds that it has taken of the processors."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def python(*arguments: str, tells: str = r"(\S+)") -> AsyncIterator[Running]:
    """A Python with these arguments, such as "-m", "benchmarks.vendor", until the end of the block.

    It is ready when it writes a line in which the pattern `tells` is found, whose first group is kept.
    """
    async with program(sys.executable, *arguments, tells=tells) as running:
        yield running


@asynccontextmanager
async def program(*command: str, tells: str) -> AsyncIterator[Running]:
    """Any program, like `python`."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env={**os.environ, **DEPLOYED}
    )
    told: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    reading = asyncio.create_task(_read(process, re.compile(tells), told))
    try:
        async with asyncio.timeout(PATIENCE):
            running = Running(process.pid, await told)
        yield running
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            async with asyncio.timeout(STOPS_WITHIN):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        await reading


async def _read(process: asyncio.subprocess.Process, tells: re.Pattern[str], told: asyncio.Future[str]) -> None:
    """Reads what a program writes, so that it never waits for a reader."""
    lines: list[str] = []
    while process.stdout and (line := (await process.stdout.readline()).decode()):
        lines.append(line)
        if not told.done() and (found := tells.search(line)):
            told.set_result(found[1])
    if not told.done():
        told.set_exception(RuntimeError(f"a program ended before it was ready:\n{''.join(lines)}"))


async def until(holds: Callable[[], Awaitable[bool]], pause: float = 0.05, patience: float = PATIENCE) -> None:
    """Waits until something holds, for so many seconds. Raises TimeoutError."""
    async with asyncio.timeout(patience):
        while True:
            if await holds():
                return
            await asyncio.sleep(pause)


def memory(pid: int | None = None) -> float:
    """MiB of memory that a process uses, this one by default."""
    pages = int(Path(f"/proc/{pid or os.getpid()}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
