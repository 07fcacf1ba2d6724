"""`python -m stress.mutants`: the rules are broken one by one, and a test has to notice each time.

mutmut makes the mutants and tries them, each by the tests that come by the place, on both databases. What
came of each is kept in `mutants/`, also by a run that is stopped.
"""

import argparse
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from random import Random

from harness.postgres import postgres_server

_MUTMUT = str(Path(sys.executable).with_name("mutmut"))
_ANY = "taskwell.services.sequence.x_last_number__mutmut_1"
# Decorators have been run before a mutant is chosen, so none of theirs can be tried.
_AT_IMPORT = re.compile(r"taskwell\.api\.callers\.x_(needs|public|_declaring)__")
# Those that no test comes by are alive too.
_ALIVE = ("survived", "no tests", "suspicious")


def main() -> int:
    given = _arguments()
    with postgres_server() as postgres:
        os.environ["TEST_DATABASE_URL"] = postgres.url
        _run(given.children, [_ANY])  # which makes all of them
        names = sorted(name for name in _outcomes() if not _AT_IMPORT.match(name))
        chosen = Random(given.seed).sample(names, max(1, round(len(names) * given.share)))
        print(f"{len(chosen)} of {len(names)} mutants", file=sys.stderr)
        _run(given.children, chosen)
    outcomes = _outcomes()
    tried = {name: outcomes[name] for name in chosen}
    for name, outcome in sorted(tried.items()):
        if outcome in _ALIVE:
            print(f"{outcome}: {name}")
    counts = Counter(tried.values())
    noticed = len(tried) - sum(counts[outcome] for outcome in _ALIVE)
    found = ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common())
    print(f"{noticed / len(tried):.0%} of {len(tried)} noticed (seed {given.seed}): {found}")
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m stress.mutants", description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="how many of them (1)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--children", type=int, default=os.cpu_count(), help="tried at a time")
    return parser.parse_args()


def _run(children: int, names: Sequence[str]) -> None:
    subprocess.run([_MUTMUT, "run", "--max-children", str(children), *names], check=True)


def _outcomes() -> dict[str, str]:
    """By the name of each mutant that there is."""
    told = subprocess.run([_MUTMUT, "results", "--all", "true"], check=True, capture_output=True, text=True)
    return dict(re.findall(r"^\s*(\S+): (.+)$", told.stdout, re.MULTILINE))


if __name__ == "__main__":
    sys.exit(main())
