"""What the functions of this room accept, and how they refuse the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pointline.clock import is_whole
from pointline.errors import ConfigError
from pointline.evaluation.ranks import METHODS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

FEWEST_ROWS = 32  # the variance then has four cosines
ROWS_PER_BAR_OF_OVERLAP = 5


def rows_needed(overlap: int) -> int:
    """The fewest rows with feature and label from which an information coefficient is computed.

    Args:
        overlap: bars over which labels depend on each other: the horizon, or the memory of the label if it is longer.

    Returns:
        At least 32, and five times the overlap. With fewer, labels that share most of their bars give a standard error that is too small.

    Examples:
        >>> rows_needed(1), rows_needed(50)
        (32, 250)
    """
    return max(FEWEST_ROWS, ROWS_PER_BAR_OF_OVERLAP * overlap)


def series(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """Values as float64, NaN where missing.

    Raises:
        ConfigError: they are no numbers, have more than one dimension, or one of them is infinite.
    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name} does not hold numbers", where=name, value=str(error), expected="numbers, NaN where missing") from error
    if array.ndim != 1:
        raise ConfigError(f"{name} is not one series", where=name, value=array.shape, expected="an array of one dimension")
    infinite = np.flatnonzero(np.isinf(array))
    if len(infinite):
        raise ConfigError(
            f"{name} holds infinite values",
            where=f"{name}, row {infinite[0]}",
            value=float(array[infinite[0]]),
            expected="finite numbers, NaN where missing",
            hint=f"{len(infinite):,} rows are infinite; replace them with NaN if they mean that nothing is known",
        )
    return array


def check_method(method: str) -> None:
    """Refuses an unknown kind of correlation.

    Raises:
        ConfigError: it is none of "spearman" and "pearson".
    """
    if method not in METHODS:
        raise ConfigError("the method is unknown", where="method", value=method, expected=" or ".join(METHODS))


def check_confidence(confidence: float) -> None:
    """Refuses a level that is no probability.

    Raises:
        ConfigError: it is not between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ConfigError("the confidence is not a probability", where="confidence", value=confidence, expected="0.95 for 95 %")


def check_memory(memory: int) -> None:
    """Refuses a memory that is no count of bars.

    Raises:
        ConfigError: it is no whole number above zero.
    """
    if not is_whole(memory) or memory < 1:
        raise ConfigError("the memory is no number of bars", where="memory", value=memory, expected="1 for returns, a larger whole number")


def check_horizons(horizons: Sequence[int], rows: int) -> None:
    """Refuses horizons that are no counts of bars or reach beyond the data.

    Raises:
        ConfigError: none is given, one is given twice, is not a whole number above zero, or leaves no row a label.
    """
    whole = all(is_whole(horizon) and horizon > 0 for horizon in horizons)
    if not horizons or not whole or len(set(horizons)) != len(horizons):
        raise ConfigError("the horizons cannot be used", where="horizons", value=list(horizons), expected="distinct whole numbers of bars")
    longest = max(horizons)
    if longest >= rows:
        raise ConfigError(
            "a horizon reaches beyond the data",
            where="horizons",
            value=int(longest),
            expected=f"below {rows:,}, the number of bars",
            hint=f"a horizon of {longest:,} bars needs at least {rows_needed(longest) + longest:,} bars",
        )
