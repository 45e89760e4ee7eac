"""Fake vendors that speak the documented protocols over real HTTP: for the demo, the tests and the benchmarks.

A `World` has the tasks and the truth about them, `app` puts the vendors in front of it, `serve` (from a thread) and
`running` (in an event loop) make it reachable. The server's URL followed by `fake_of(type).prefix` is a provider's
base_url, and `Credentials()` has the keys that it takes.
"""

from exporter.simulator.app import IAM, Simulator, app
from exporter.simulator.fakes import SEEDS, fake_of, names, profiles_of
from exporter.simulator.server import Address, running, serve
from exporter.simulator.vendor import Credentials, hang
from exporter.simulator.world.content import MARKERS
from exporter.simulator.world.life import Life, LifeMoment
from exporter.simulator.world.profiles import DIGITAL_HUMAN, FACE_SWAP, LIP_SYNC, SORA, VIDEO, Feed
from exporter.simulator.world.world import HandClock, World

__all__ = [
    "DIGITAL_HUMAN",
    "FACE_SWAP",
    "IAM",
    "LIP_SYNC",
    "MARKERS",
    "SEEDS",
    "SORA",
    "VIDEO",
    "Address",
    "Credentials",
    "Feed",
    "HandClock",
    "Life",
    "LifeMoment",
    "Simulator",
    "World",
    "app",
    "fake_of",
    "hang",
    "names",
    "profiles_of",
    "running",
    "serve",
]
