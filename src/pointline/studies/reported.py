"""What a report reads of a study."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from pointline.studies.compared import Compared

if TYPE_CHECKING:
    from pointline.bars.rules import BarRule


class Reported(Compared, Protocol):
    """What a report reads of a `pointline.Study`, whose module imports the report."""

    @property
    def rule(self) -> BarRule:
        """When bars close."""
        ...

    def ic(self, features: None = None) -> Any:  # noqa: ANN401 - an Evaluation
        """Whether the features predict anything."""
        ...

    def checklist(self, *, evaluation: Any = None) -> Any:  # noqa: ANN401 - a Checklist
        """Whether the study is ready for use."""
        ...

    def next_funding(self) -> Any:  # noqa: ANN401 - a FundingForecast
        """How well the settlements of the window can be told before."""
        ...

    def costs(self) -> Any:  # noqa: ANN401 - a CostStudy
        """What a round trip costs, and when the basis was larger."""
        ...

    def backtest(self) -> Any:  # noqa: ANN401 - a Backtest
        """What the guide's strategy would have earned."""
        ...
