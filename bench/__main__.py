"""make bench: everything in one go, a table on the screen, JSON and a plot in bench/results.

What is compared stands in `rows.py`; `--only claims,beats` measures some groups, `--quick` takes one short pair each.
"""

import argparse
import json
import os
import platform
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from bench import machine, plot, rows
from bench.ground import Ground
from bench.rows import GROUPS, Effort, Row

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(GROUPS), help="groups, with commas between them")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    effort = Effort(pairs=1, seconds=2) if arguments.quick else Effort(pairs=3, seconds=3)
    found: list[Row] = []
    with machine.postgres() as url:
        ground = Ground(url)
        for name in arguments.only.split(","):
            try:
                measured, seconds = rows.timed(name, ground, effort)
            except (RuntimeError, OSError, KeyError, ZeroDivisionError) as problem:
                print(f"{name} could not be measured: {problem!r}", file=sys.stderr, flush=True)
                continue
            found += measured
            print(f"--- {name}, {seconds:.0f} s", flush=True)
            for row in measured:
                print(line(row), flush=True)
    print("\n" + "\n".join(line(row) for row in found))
    keep(found, effort)


def line(row: Row) -> str:
    verdict = "aim" if meets(row, row.aim) else "floor" if meets(row, row.floor) else "SHORT"
    return f"{row.name:<78} {row.value:9.2f} {row.unit:<3} floor {row.floor:<5g} aim {row.aim:<5g} {verdict}"


def meets(row: Row, bound: float) -> bool:
    return row.value <= bound if row.less_is_better else row.value >= bound


def keep(found: list[Row], effort: Effort) -> None:
    RESULTS.mkdir(exist_ok=True)
    now = datetime.now(UTC)
    path = RESULTS / f"{now:%Y-%m-%dT%H%MZ}.json"
    document = {
        "at": now.isoformat(),
        "machine": {"cores": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version(),
                    "load_average_at_the_end": os.getloadavg()},
        "postgres": machine.PG_SETTINGS,
        "effort": asdict(effort),
        "rows": [asdict(row) for row in found],
    }  # fmt: skip
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    path.with_suffix(".svg").write_text(plot.bars(found))
    print(f"\nwritten to {path} and {path.with_suffix('.svg').name}")


if __name__ == "__main__":
    main()
