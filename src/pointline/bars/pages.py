"""Bar sums that may be many more than memory should hold: a page at a time is counted, finished pages wait in memory or in a file."""

from __future__ import annotations

import tempfile
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from pointline.kernels.slots import BAR_INTS

if TYPE_CHECKING:
    from pointline.bars.amounts import Ints

PAGE_BARS = 1 << 14
SPILL_BARS = 1 << 18
_WIDTH = len(BAR_INTS)
_BAR_BYTES = 8 * _WIDTH


class FiledBars:
    """Accumulators of bars in a file without a name, which goes with the last reference; slices and ``len`` as of the array."""

    def __init__(self) -> None:
        self._file: Any = tempfile.TemporaryFile(prefix="pointline-")  # noqa: SIM115 - it is open as long as the bars are used
        weakref.finalize(self, self._file.close)
        self._bars = 0

    def __len__(self) -> int:
        return self._bars

    def __getitem__(self, bars: slice) -> Ints:
        first, end, _ = bars.indices(self._bars)
        self._file.seek(first * _BAR_BYTES)
        return np.frombuffer(self._file.read((end - first) * _BAR_BYTES), dtype=np.int64).reshape(-1, _WIDTH)

    def append(self, ints: Ints) -> None:
        """Adds bars at the end."""
        self._file.seek(self._bars * _BAR_BYTES)
        self._file.write(ints.tobytes())
        self._bars += len(ints)


class Pages:
    """Finished bars, collected; in a file once they are more than `SPILL_BARS`."""

    def __init__(self) -> None:
        self._waiting: list[Ints] = []
        self._bars = 0
        self._filed: FiledBars | None = None

    def append(self, ints: Ints) -> None:
        """Adds bars at the end; the array must not change afterwards."""
        self._waiting.append(ints)
        self._bars += len(ints)
        if self._bars > SPILL_BARS:
            self._filed = self._filed or FiledBars()
            for page in self._waiting:
                self._filed.append(page)
            self._waiting = []

    def __len__(self) -> int:
        return self._bars

    def together(self) -> Ints | FiledBars:
        """All bars, one row each."""
        return np.concatenate(self._waiting) if self._filed is None else self._filed
