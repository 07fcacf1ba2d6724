"""`python -m stress NAME`: what the server promises, tried out. Ends with 1 if it is broken."""

import argparse
import sys
import time
from random import SystemRandom

from harness.figures import SHORT, Figures, Form, table
from harness.subjects import DATABASES, subject
from stress import parity
from stress.programs import PROGRAMS, cores, missing, run


def main() -> int:
    given = _arguments()
    form = Form(SHORT if given.short else given.share, given.seed)
    asked = DATABASES if given.database == "both" else (given.database,)
    broken = []
    for name in PROGRAMS if given.name == "all" else (given.name,):
        if (reason := missing(name)) is not None:
            print(f"{name} is left out: it {reason}", file=sys.stderr)
            continue
        databases = [database for database in asked if database in PROGRAMS[name].databases]
        columns = {database: timed(name, database, form) for database in databases}
        if name == "model" and len(databases) == 2:
            columns["side by side"] = _side_by_side(form)
        print(table(name, columns), end="\n\n", flush=True)
        broken += [f"{name}, {where}: {what}" for where, found in columns.items() for what in found.broken]
    for promise in broken:
        print(f"broken: {promise}", file=sys.stderr)
    return 1 if broken else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m stress", description=__doc__)
    parser.add_argument("name", choices=(*PROGRAMS, "all"))
    parser.add_argument("--short", action="store_true", help=f"the same as --share {SHORT}")
    parser.add_argument("--share", type=float, default=1.0, help="how much of the full form (1)")
    parser.add_argument("--database", choices=(*DATABASES, "both"), default="both")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(10_000))
    return parser.parse_args()


def timed(name: str, database: str, form: Form) -> Figures:
    print(f"{name}, {database} ...", file=sys.stderr, flush=True)
    with cores(name), subject(database) as (url, folder):
        start = time.perf_counter()
        figures = run(name, url, folder, form)
        _conclude(figures, form, start)
    return figures


def _side_by_side(form: Form) -> Figures:
    print("model, side by side ...", file=sys.stderr, flush=True)
    with subject("sqlite") as sqlite, subject("postgresql") as postgresql:
        start = time.perf_counter()
        figures = parity.measure(sqlite, postgresql, form)
        _conclude(figures, form, start)
    return figures


def _conclude(figures: Figures, form: Form, start: float) -> None:
    figures.note("seed", form.seed)
    figures.note("seconds", time.perf_counter() - start)


if __name__ == "__main__":
    sys.exit(main())
