"""What a report reads of a study."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import polars as pl

    from pointline.bars.request import VenueEvents
    from pointline.bars.rules import BarRule
    from pointline.features import PairParams
    from pointline.instruments import Pair
    from pointline.lake.store import Lake
    from pointline.studies.summary import Summary


class Reported(Protocol):
    """What a report reads of a `pointline.Study`, whose module imports the report."""

    @property
    def pair(self) -> Pair:
        """The two instruments."""
        ...

    @property
    def rule(self) -> BarRule:
        """When bars close."""
        ...

    @property
    def rule_text(self) -> str:
        """The same in words."""
        ...

    @property
    def start_us(self) -> int:
        """Start of the window."""
        ...

    @property
    def end_us(self) -> int:
        """End of the window."""
        ...

    @property
    def join(self) -> str:
        """Which bars are kept."""
        ...

    @property
    def params(self) -> PairParams:
        """Of the features."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Warnings about the study."""
        ...

    @property
    def title(self) -> str:
        """The two instruments and why they belong together."""
        ...

    @property
    def summary(self) -> Summary:
        """Figures by name."""
        ...

    @property
    def columns(self) -> list[str]:
        """Of the features."""
        ...

    @property
    def _rows(self) -> pl.LazyFrame: ...
    @property
    def _sides(self) -> dict[str, VenueEvents]: ...
    @property
    def _lake(self) -> Lake: ...

    def ic(self, features: None = None) -> Any:  # noqa: ANN401 - an Evaluation
        """Whether the features predict anything."""
        ...

    def checklist(self, *, evaluation: Any = None) -> Any:  # noqa: ANN401 - a Checklist
        """Whether the study is ready for use."""
        ...
