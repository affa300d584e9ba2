"""Text for Prometheus: read back by a reader of its grammar, whatever the labels hold; written whole or not at all."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.report.exposition import samples_of

from pointline.errors import ConfigError
from pointline.report import prometheus
from pointline.report.prometheus import Gauge, check_text_file, exposition_text, write_text_file

if TYPE_CHECKING:
    from pathlib import Path


def test_the_text_is_this() -> None:
    gauge = Gauge("a_value", 'What "it" is,\nin two lines \\ one.', [({"pair": 'x"y\\z\n'}, 1.5), ({"pair": "b"}, 2)])
    assert exposition_text([gauge, Gauge("b", "Nothing.", [])]) == (
        '# HELP a_value What "it" is,\\nin two lines \\\\ one.\n'
        "# TYPE a_value gauge\n"
        'a_value{pair="x\\"y\\\\z\\n"} 1.5\n'
        'a_value{pair="b"} 2.0\n'
        "# HELP b Nothing.\n"
        "# TYPE b gauge\n"
    )


def test_times_are_milliseconds() -> None:
    text = exposition_text([Gauge("a", "A.", [({"x": "y"}, 1.0)])], at_us=1_714_521_600_123_456)
    assert samples_of(text)[0].ms == 1_714_521_600_123


WORDS = st.text("abcXYZ_019", min_size=1, max_size=6).map("l{}".format)
LABELS = st.dictionaries(WORDS, st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=3)


@given(LABELS, st.floats())
def test_what_is_written_is_read_again(labels: dict[str, str], value: float) -> None:
    (found,) = samples_of(exposition_text([Gauge("pointline_x", "X.", [(labels, value)])]))
    assert (found.name, found.labels, found.ms) == ("pointline_x", labels, None)
    assert found.value == value or (math.isnan(value) and math.isnan(found.value))


@pytest.mark.parametrize(("name", "label"), [("1a", "x"), ("a-b", "x"), ("", "x"), ("a", "x-y"), ("a", "__x"), ("a", "x:y"), ("a\n", "x")])
def test_names_that_prometheus_does_not_take_are_refused(name: str, label: str) -> None:
    with pytest.raises(ConfigError, match="no such name"):
        Gauge(name, "A.", [({label: "v"}, 1.0)])


def test_a_file_is_replaced_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pair.prom"
    write_text_file("old 1\n", path)
    write_text_file("new 2\n", path)
    assert path.read_text(encoding="utf-8") == "new 2\n"

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(prometheus, "write_atomically", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_text_file("newer 3\n", path)
    assert [one.name for one in tmp_path.iterdir()] == ["pair.prom"]
    assert path.read_text(encoding="utf-8") == "new 2\n"


def test_the_temporary_file_is_none_that_the_collector_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr("pointline.lake.durable.sync", lambda path: seen.append(path.name))
    write_text_file("a 1\n", tmp_path / "pair.prom")
    assert len(seen) == 2  # the temporary file, then the folder
    assert not seen[0].endswith(".prom")


def test_places_where_it_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "folder.prom").mkdir()
    for name in ("pair.txt", "pair", "missing/pair.prom", "folder.prom"):
        with pytest.raises(ConfigError, match="cannot be written there"):
            check_text_file(tmp_path / name)
