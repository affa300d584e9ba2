"""The variance of a mean of dependent values: equal-weighted cosines.

Lazarus, Lewis, Stock and Watson (2018), HAR inference: recommendations for practice, Journal of Business & Economic Statistics 36(4),
doi:10.1080/07350015.2018.1506926. The cosine coefficients of a series at low frequencies are nearly independent, each with the
long-run variance of the series. Their mean square estimates it, and the mean over its standard error has a t distribution.

Where this differs from the paper: the number of cosines also falls with the horizon of a label, see `degrees_of_freedom`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pointline.errors import MissingExtraError

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

_FEWEST = 4


def special() -> ModuleType:
    """The distribution functions of scipy.

    Raises:
        MissingExtraError: scipy is not installed.
    """
    try:
        import scipy.special as functions
    except ImportError as error:
        raise MissingExtraError("inference needs scipy", hint="pip install 'pointline[research]'") from error
    return functions  # type: ignore[no-any-return]


def degrees_of_freedom(n: int, horizon: int = 1) -> int:
    """How many cosines the variance of a mean is estimated from.

    min(0.4 n^(2/3), max(4, 0.4 n / h)), rounded down. The first term is the paper's rule. The second keeps the average inside the flat
    part of the spectrum that h-bar labels have, because labels of neighbouring bars share h - 1 of their increments.

    Args:
        n: values of the series.
        horizon: bars over which neighbouring values overlap.

    Returns:
        At least 1.

    Examples:
        >>> degrees_of_freedom(2_000), degrees_of_freedom(2_000, 50), degrees_of_freedom(2_000, 1_000)
        (63, 16, 4)
    """
    by_length = int(2 * n ** (2 / 3) / 5)
    # In whole numbers k is at most 0.4 n^(2/3) where 125 k³ is at most 8 n²; floats can be one off where both are equal.
    by_length += (125 * (by_length + 1) ** 3 <= 8 * n**2) - (125 * by_length**3 > 8 * n**2)
    return max(1, min(by_length, max(_FEWEST, 2 * n // (5 * horizon))))


def cosine_coefficients(values: NDArray[np.float64], nu: int) -> NDArray[np.float64]:
    """The first cosine coefficients of one series, or of many at once.

    q_j = sqrt(2/n) Σ_t (v_t - mean v) cos(πj(t - ½)/n) for t = 1…n and j = 1…ν: an orthonormal DCT-II without its first term.

    Args:
        values: shape (…, n), no missing values.
        nu: number of coefficients, below n.

    Returns:
        Shape (…, ν), in the unit of the values.

    Raises:
        MissingExtraError: scipy is not installed.

    Examples:
        >>> import numpy as np
        >>> cosine_coefficients(np.array([0.0, 0.0, 3.0]), 2).round(3)
        array([-2.121,  1.225])
    """
    special()
    from scipy.fft import dct

    centred = values - values.mean(axis=-1, keepdims=True)
    return np.asarray(dct(centred, type=2, norm="ortho", axis=-1, overwrite_x=True)[..., 1 : nu + 1]).copy()


def long_run_variance(cosines: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean square of the cosine coefficients.

    Args:
        cosines: shape (…, ν).

    Returns:
        Shape (…): the variance of the mean times n.

    Examples:
        >>> import numpy as np
        >>> float(long_run_variance(np.array([1.0, -2.0])))
        2.5
    """
    return np.asarray(np.mean(np.square(cosines), axis=-1))


def t_ratio(mean: float, se: float) -> float:
    """A mean over its standard error; infinite where the error is zero, NaN where both are.

    Examples:
        >>> t_ratio(0.5, 0.25), t_ratio(-1.0, 0.0), t_ratio(0.0, 0.0)
        (2.0, -inf, nan)
    """
    if se > 0:
        return mean / se
    return math.copysign(math.inf, mean) if mean else math.nan


def two_sided(t: float, nu: int) -> float:
    """The chance of a larger absolute t when the true mean is zero.

    Args:
        t: the t statistic.
        nu: its degrees of freedom.

    Raises:
        MissingExtraError: scipy is not installed.

    Examples:
        >>> round(two_sided(2.228, 10), 4)
        0.05
    """
    return math.nan if math.isnan(t) else float(2 * special().stdtr(nu, -abs(t)))


def critical_value(confidence: float, nu: int) -> float:
    """Standard errors on each side of an interval.

    Raises:
        MissingExtraError: scipy is not installed.

    Examples:
        >>> round(critical_value(0.95, 10), 3)
        2.228
    """
    return float(special().stdtrit(nu, 0.5 + confidence / 2))
