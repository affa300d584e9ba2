"""The sections of a report about trading: funding forecast, costs, backtest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointline.report.page import PageSection


def trading_sections(*, forecast: Any, costs: Any, backtest: Any) -> Iterator[PageSection | tuple[str, str]]:  # noqa: ANN401 - their shapes are told in the docstring
    """The sections of what is given; a name and the reason for what is not.

    Args:
        forecast, costs, backtest: as `pointline.Study.report`.
    """
    for name, part in (("Funding forecast", forecast), ("Costs and opportunities", costs), ("Backtest", backtest)):
        if part is None:
            yield name, "it was not given"
