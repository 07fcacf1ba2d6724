"""`python -m fuzz`: every operation of the OpenAPI document with requests made up from it.

Schemathesis does all its checks and phases, the stateful one too. Ends with 1 if an answer is not as it is
documented.
"""

import argparse
import sys
from random import SystemRandom

from fuzz.run import EXAMPLES, RUNS, SHORT, measure
from harness.figures import table

_DATABASES = ("sqlite", "postgresql")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--run", choices=(*RUNS, "all"), default="all")
    parser.add_argument("--database", choices=(*_DATABASES, "both"), default="both")
    parser.add_argument("--examples", type=int, default=EXAMPLES, help="for each operation and phase")
    parser.add_argument("--short", action="store_const", const=SHORT, dest="examples")
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(10_000))
    given = parser.parse_args()
    databases = _DATABASES if given.database == "both" else (given.database,)
    broken = []
    for name in RUNS if given.run == "all" else (given.run,):
        columns = {database: measure(name, database, given.examples, given.seed) for database in databases}
        print(table(f"fuzz, {name}", columns), end="\n\n", flush=True)
        broken += [f"{name}, {where}: {what}" for where, found in columns.items() for what in found.broken]
    print(*(f"broken: {what}" for what in broken), sep="\n", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
