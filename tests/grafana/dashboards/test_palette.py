"""The colours can be seen on both of Grafana's themes, and told apart by readers who see colours otherwise."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping

import pytest

from exporter.client.errors import CALL_ERRORS
from exporter.tasks import ENDS, IN_FLIGHT, Reason, State
from grafana import palette
from grafana.boards.api import CODES, ENDPOINT_COLOURS
from tests.drawn.colours import Triple, ciede2000, contrast, difference, linear, times

LEAST_CONTRAST = 3.0
"""What WCAG 2.2 asks for graphics (success criterion 1.4.11)."""
LEAST_DIFFERENCE = 20.0
"""CIEDE2000, for readers who see colours as most do."""
LEAST_DISTANCE = 0.055
"""In OKLab; differences from about 0.02 on are just seen side by side."""

SIGHT: Mapping[str, tuple[Triple, Triple, Triple]] = {
    "usual": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.01182, 0.04294, 0.968881)),
}
"""How linear RGB is seen: the matrices of Machado, Oliveira and Fernandes (2009) for the full deficiency."""

RANKS = {f"rank {rank}": colour for rank, colour in enumerate(palette.LINES, 1)}
ALL = {**palette.STATES, **palette.REASONS, **palette.ERRORS, **RANKS, "warning": palette.WARNING}

ON_ONE_PANEL = {
    "states in flight": [palette.STATES[state] for state in IN_FLIGHT],
    "ends": [palette.STATES[state] for state in ENDS],
    "reasons": list(palette.REASONS.values()),
    "errors": list(palette.ERRORS.values()),
    "judgements": [palette.GOOD, palette.WARNING, palette.BAD],
    "ranks": list(palette.LINES),
    "statuses": [colour for _, colour in CODES.values()],
    "endpoints": list(ENDPOINT_COLOURS.values()),
}


def oklab(colour: Triple) -> Triple:
    cones = times(
        (
            (0.4122214708, 0.5363325363, 0.0514459929),
            (0.2119034982, 0.6806995451, 0.1073969566),
            (0.0883024619, 0.2817188376, 0.6299787005),
        ),
        colour,
    )
    long, middle, short = (math.cbrt(max(0.0, each)) for each in cones)
    return times(
        (
            (0.2104542553, 0.7936177850, -0.0040720468),
            (1.9779984951, -2.4285922050, 0.4505937099),
            (0.0259040371, 0.7827717662, -0.8086757660),
        ),
        (long, middle, short),
    )


def nearest(colours: Collection[str], sight: str) -> float:
    seen = [oklab(times(SIGHT[sight], linear(colour))) for colour in colours]
    return min(math.dist(one, other) for one, other in itertools.combinations(seen, 2))


def test_every_state_reason_and_error_has_a_colour() -> None:
    assert set(palette.STATES) == set(State)
    assert set(palette.REASONS) == set(Reason)
    assert set(palette.ERRORS) == {error.error for error in CALL_ERRORS}


def test_the_measure_of_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_the_measure_of_distance_finds_what_some_readers_confuse() -> None:
    assert nearest(["#6b8e23", "#a57c20"], "deuteranopia") < nearest(["#6b8e23", "#a57c20"], "usual")
    assert nearest(["#ffffff", "#000000"], "usual") == pytest.approx(1, abs=0.001)


@pytest.mark.parametrize("theme", palette.BACKGROUNDS)
@pytest.mark.parametrize("name", ALL)
def test_a_colour_stands_out_from_the_panel(name: str, theme: str) -> None:
    assert contrast(ALL[name], palette.BACKGROUNDS[theme]) >= LEAST_CONTRAST


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("group", ON_ONE_PANEL)
def test_colours_on_one_panel_can_be_told_apart(group: str, sight: str) -> None:
    colours = ON_ONE_PANEL[group]
    assert len(set(colours)) == len(colours)
    assert nearest(colours, sight) >= LEAST_DISTANCE
    assert min(difference(one, other) for one, other in itertools.combinations(colours, 2)) >= LEAST_DIFFERENCE


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ((50.0, 2.6772, -79.7751), (50.0, 0.0, -82.7485), 2.0425),
        ((50.0, -1.0, 2.0), (50.0, 0.0, 0.0), 2.3669),
        ((50.0, 2.5, 0.0), (61.0, -5.0, 29.0), 22.8977),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((2.0776, 0.0795, -1.135), (0.9033, -0.0636, -0.5514), 0.9082),
    ],
)
def test_the_measure_of_difference_is_that_of_ciede2000(one: Triple, other: Triple, apart: float) -> None:
    assert ciede2000(one, other) == pytest.approx(apart, abs=1e-4)
