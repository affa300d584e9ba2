"""Colours of charts, as readers see them who see all colours or lack one kind of cone, on a light and on a dark ground."""

from __future__ import annotations

import re
from itertools import combinations, pairwise

import numpy as np
import pytest

from pointline.report import colours
from pointline.report.colours import Colour

ROLES = {"perp": colours.PERP, "spot": colours.SPOT, "basis": colours.BASIS, "funding": colours.FUNDING}
# Machado, Oliveira and Fernandes 2009, table of severity 1.0; linear RGB.
SEEN_BY = {
    "all": np.eye(3),
    "protanopes": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    "deuteranopes": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    "tritanopes": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]),
}
APART = 15.0  # in CIELAB, where about 2.3 is just noticed


def linear(colour: str) -> np.ndarray:
    channels = np.array([int(colour[n : n + 2], 16) for n in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ np.clip(rgb, 0, 1)
    x, y, z = (np.cbrt(v) if v > 0.008856 else 7.787 * v + 16 / 116 for v in xyz / np.array([0.9505, 1, 1.089]))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def distance(one: str, other: str, seen: np.ndarray) -> float:
    return float(np.linalg.norm(lab(seen @ linear(one)) - lab(seen @ linear(other))))


def contrast(one: str, other: str) -> float:
    dark, light = sorted(float(np.array([0.2126, 0.7152, 0.0722]) @ linear(colour)) for colour in (one, other))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("reader", SEEN_BY)
def test_roles_are_told_apart(reader: str, scheme: str) -> None:
    near = {
        (first, second): found
        for (first, one), (second, other) in combinations(ROLES.items(), 2)
        if (found := distance(getattr(one, scheme), getattr(other, scheme), SEEN_BY[reader])) < APART
    }
    assert near == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("reader", SEEN_BY)
def test_neighbours_among_dated_contracts_are_told_apart(reader: str, scheme: str) -> None:
    around = [getattr(colour, scheme) for colour in (*colours.DATED, colours.DATED[0])]
    perp = getattr(colours.PERP, scheme)
    pairs = [*pairwise(around), *((colour, perp) for colour in around)]
    assert [pair for pair in pairs if distance(*pair, SEEN_BY[reader]) < APART] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_lines_stand_out_from_the_ground(scheme: str) -> None:
    ground = getattr(colours.GROUND, scheme)
    lines = (*ROLES.values(), *colours.DATED)
    assert [colour for colour in lines if contrast(getattr(colour, scheme), ground) < 3] == []
    assert contrast(getattr(colours.INK, scheme), ground) > 7
    assert contrast(getattr(colours.MUTED, scheme), ground) > 4.5


def test_each_light_colour_has_one_dark_twin() -> None:
    found = [value for value in vars(colours).values() if isinstance(value, Colour)]
    found += [one for value in vars(colours).values() if isinstance(value, tuple) and not isinstance(value, Colour) for one in value]
    assert len(found) > 20
    assert [colour for colour in found if not all(re.fullmatch(r"#[0-9a-f]{6}", text) for text in colour)] == []
    assert colours.twins() == dict(found)
    assert len(set(found)) == len(colours.twins())
