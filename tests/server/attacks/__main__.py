"""Attacks a simulated lake and prints the outcomes of each kind of statement."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from tests.server.attacks.attacked_lake import GUARDED, UNGUARDED, AttackedLake, Tally
from tests.server.attacks.engine import read_lists
from tests.server.attacks.kinds_of_attack import all_kinds

from pointline.ingest.run import ingest
from pointline.lake.store import open_lake
from pointline.simulate import MarketConfig, write_archives
from pointline.sources.base import Hints
from pointline.sources.families import all_sources

_ENDS = ("guard", "syntax", "engine", "ran", "ended")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Prints the table; 1 where something went wrong."""
    only, wrong = sys.argv[1:], 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = write_archives(MarketConfig(days=2, perp_trades_per_day=2_000), folder, datasets=("trades", "klines", "fundingRate"))
        lake = open_lake(folder / "made", create=True)
        ingest(lake, paths, sources=all_sources(), hints=Hints())
        attacked = AttackedLake(lake, folder / "attacked")
        sums = {mode: Tally() for mode in (GUARDED, UNGUARDED)}
        _say(
            f"{'':26}{'':>7}   {'behind the guard':^35}   {'the sandbox alone':^35}\n{'kind':26}{'number':>7}"
            + 2 * ("   " + "".join(f"{end:>7}" for end in _ENDS))
        )
        try:
            for kind in [kind for kind in all_kinds(read_lists()) if not only or kind.name in only]:
                began = time.monotonic()
                tallies = {mode: attacked.try_kind(kind, mode) for mode in (GUARDED, UNGUARDED)}
                _say(_line(kind.name, len(kind.attempts), tallies) + f"   {time.monotonic() - began:.1f} s")
                for mode, tally in tallies.items():
                    for end, count in tally.counts.items():
                        sums[mode].counts[end] = sums[mode].counts.get(end, 0) + count
                    for text, what in tally.wrong.items():
                        _say(f"  WRONG {mode}: {text}\n    {what}")
                        wrong = 1
            with attacked.no_side_effects():
                _say(_line("all", sum(sums[GUARDED].counts.values()), sums))
        finally:
            attacked.close()
    return wrong


def _line(name: str, number: int, tallies: dict[str, Tally]) -> str:
    return f"{name:26}{number:7}" + "".join("   " + "".join(f"{tally.counts.get(end, 0):7}" for end in _ENDS) for tally in tallies.values())


if __name__ == "__main__":
    sys.exit(main())
