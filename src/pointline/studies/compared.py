"""What the facades read of a `pointline.Study`, whose module imports theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import polars as pl

    from pointline.bars.request import VenueEvents
    from pointline.features import PairParams
    from pointline.instruments import Pair
    from pointline.lake.store import Lake
    from pointline.lake.window_coverage import WindowCoverage
    from pointline.studies.figures import BarTotals
    from pointline.studies.summary import Summary


class Compared(Protocol):
    """A comparison."""

    @property
    def pair(self) -> Pair:
        """The two instruments."""
        ...

    @property
    def start_us(self) -> int:
        """Start of the window, µs UTC."""
        ...

    @property
    def end_us(self) -> int:
        """End of the window, excluded."""
        ...

    @property
    def join(self) -> str:
        """Which bars are kept."""
        ...

    @property
    def rule_text(self) -> str:
        """When bars close, in words."""
        ...

    @property
    def params(self) -> PairParams:
        """Limits, windows and costs of the features."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Warnings about the comparison."""
        ...

    @property
    def title(self) -> str:
        """The two instruments and why they belong together."""
        ...

    @property
    def summary(self) -> Summary:
        """Its figures."""
        ...

    @property
    def columns(self) -> list[str]:
        """Names of the columns of its features."""
        ...

    @property
    def _rows(self) -> pl.LazyFrame: ...
    @property
    def _bars(self) -> pl.DataFrame | None: ...
    @property
    def _totals(self) -> BarTotals: ...
    @property
    def _sides(self) -> dict[str, VenueEvents]: ...
    @property
    def _covered(self) -> dict[str, WindowCoverage]: ...
    @property
    def _lake(self) -> Lake: ...
