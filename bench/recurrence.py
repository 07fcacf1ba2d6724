"""`python -m bench.recurrence`: what ordinary, random and hostile rules cost, and whether they are right.

CPU time of parsing a rule and moving a task's date by it, without a cache between rules. The random rules are
the same in every run. python-dateutil says what comes next in some of them too, each within a limit of time;
a difference is explained by a known fault of it, or makes the run fail.
"""

import argparse
import multiprocessing
import signal
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from random import Random
from time import process_time

from dateutil.rrule import rrulestr

from taskwell.core.recurrence.rule import MAX_TIMES_OF_DAY, RuleError, parse_rule
from taskwell.core.recurrence.series import LAST_YEAR, Series
from taskwell.services.recurring import Recurrence, advance
from taskwell.services.task_dates import Dates, recomputed

BERLIN = "Europe/Berlin"
DUE, NOW = datetime.fromisoformat("2026-11-20T09:00:00"), datetime(2026, 11, 20, 10, tzinfo=UTC)
WEEKDAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
ORDINARY = (
    "FREQ=DAILY", "FREQ=DAILY;INTERVAL=3", "FREQ=WEEKLY;BYDAY=MO", "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR",
    "FREQ=MONTHLY;BYMONTHDAY=15", "FREQ=MONTHLY;BYDAY=-1FR", "FREQ=YEARLY", "FREQ=DAILY;COUNT=10",
    "FREQ=HOURLY;INTERVAL=4",
)  # fmt: skip
MINUTES = ",".join(map(str, range(MAX_TIMES_OF_DAY)))
HOSTILE = (
    "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=31", "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
    "FREQ=YEARLY;BYWEEKNO=1;BYMONTH=7", "FREQ=WEEKLY;BYDAY=SU;BYSETPOS=-2",
    "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;BYSETPOS=200", "FREQ=YEARLY;BYDAY=SU;BYSETPOS=366",
    f"FREQ=DAILY;BYMINUTE={MINUTES};BYSETPOS=100",
    f"FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR,SA;BYMINUTE={MINUTES};BYSETPOS=-366,-1,1,366;COUNT=10000",
    f"FREQ=WEEKLY;BYDAY={','.join(WEEKDAYS)};BYMINUTE={MINUTES};BYSETPOS=366",
    f"FREQ=YEARLY;BYWEEKNO={','.join(map(str, range(1, 54)))};BYMONTHDAY=31;BYMONTH=2",
)  # fmt: skip
GOALS = {"p99": 40.0, "worst": 200.0, "ordinary": 0.1}  # ms
_LIMIT = 1.5  # seconds that python-dateutil gets


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.recurrence", description=__doc__)
    parser.add_argument("--rules", type=int, default=20_000, help="random rules to measure (20000)")
    parser.add_argument("--compared", type=int, default=3_000, help="of them, rules to compare (3000)")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    rules = list(islice(random_rules(Random(given.seed)), given.rules))
    kept = _measure_ordinary() & _measure_late() & _measure_random(rules)
    unexplained = _compare(rules[: given.compared])
    return 0 if kept and not unexplained else 1


def random_rules(random: Random) -> Iterator[tuple[str, datetime]]:
    """Rules that parse, with any parts, and an anchor each."""
    while True:
        rule = ";".join(_parts(random))
        try:
            parse_rule(rule)
        except RuleError:
            continue
        yield rule, DUE + timedelta(random.randrange(-10_000, 3_000), random.randrange(86_400))


def _parts(random: Random) -> Iterator[str]:
    frequency = random.choice(("YEARLY", "MONTHLY", "WEEKLY", "DAILY"))
    yield f"FREQ={frequency}"
    if random.random() < 0.4:
        yield f"INTERVAL={random.choice((2, 3, 4, 5, 7, 12, 52, random.randint(1, 32_767)))}"
    if random.random() < 0.3:
        yield f"WKST={random.choice(WEEKDAYS)}"
    numbered = frequency in {"YEARLY", "MONTHLY"}
    choices: dict[str, Callable[[], str]] = {
        "BYMONTH": lambda: str(random.randint(1, 12)),
        "BYWEEKNO": lambda: _signed(random, 53),
        "BYYEARDAY": lambda: _signed(random, 366),
        "BYMONTHDAY": lambda: _signed(random, 31),
        "BYDAY": lambda: _day(random, 5 if frequency == "MONTHLY" else 53 if numbered else 0),
        "BYHOUR": lambda: str(random.randrange(24)),
        "BYMINUTE": lambda: str(random.randrange(60)),
        "BYSECOND": lambda: str(random.randrange(60)),
        "BYSETPOS": lambda: _signed(random, random.choice((2, 5, 366))),
    }
    for name, choose in choices.items():
        if random.random() < 0.25:
            yield f"{name}={','.join(choose() for _ in range(random.choice((1, 1, 2, 3, 7))))}"


def _signed(random: Random, limit: int) -> str:
    return str(random.randint(1, limit) * random.choice((1, 1, -1)))


def _day(random: Random, highest: int) -> str:
    number = _signed(random, highest) if highest and random.random() < 0.3 else ""
    return number + random.choice(WEEKDAYS)


def cost(rule: str, due: datetime = DUE, repeats: int = 1) -> float:
    """Milliseconds of CPU to parse it and to move a zoned due by it."""
    dates, recurrence = recomputed(Dates(due=due.isoformat(), time_zone=BERLIN)), Recurrence(rule)
    begun = process_time()
    for _ in range(repeats):
        parse_rule.cache_clear()
        advance(dates, recurrence, NOW, BERLIN)
    return (process_time() - begun) / repeats * 1_000


def _measure_ordinary() -> bool:
    cost(ORDINARY[0])
    print("ordinary rules, ms each")
    costs = {rule: min(cost(rule, repeats=500) for _ in range(3)) for rule in ORDINARY}
    for rule, took in costs.items():
        print(f"  {took:8.3f}  {rule}")
    return max(costs.values()) <= GOALS["ordinary"]


def _measure_late() -> bool:
    print("rules that never come, or come 27 years late, ms")
    late = DUE.replace(year=DUE.year - 27)
    cases = [(rule, DUE) for rule in HOSTILE]
    cases += [("FREQ=DAILY;COUNT=10000", late), ("FREQ=MINUTELY;INTERVAL=5", late)]
    cases += [(rule, late) for rule in HOSTILE]
    costs = {(rule, due): min(cost(rule, due) for _ in range(3)) for rule, due in cases}
    for (rule, due), took in costs.items():
        print(f"  {took:8.3f}  {rule[:70]}{', late' if due == late else ''}")
    return max(costs.values()) <= GOALS["worst"]


def _measure_random(rules: list[tuple[str, datetime]]) -> bool:
    costs = [(cost(rule, due), rule) for rule, due in rules]
    figures = sorted(took for took, _ in costs)
    p99, (worst, rule) = figures[int(len(figures) * 0.99)], max(costs)
    p50, mean = statistics.median(figures), statistics.mean(figures)
    print(
        f"{len(rules):,} random rules, ms: p50 {p50:.3f}, mean {mean:.3f}, p99 {p99:.2f}, worst {worst:.2f}"
    )
    print(f"  the worst: {rule}")
    return p99 <= GOALS["p99"] and worst <= GOALS["worst"]


def _compare(rules: list[tuple[str, datetime]]) -> int:
    """How many rules python-dateutil has other dates for, without one of its known faults."""
    with multiprocessing.Pool(1) as pool:
        outcomes = Counter[str]()
        for (rule, anchor), outcome in zip(rules, pool.imap(_outcome, rules, chunksize=50), strict=True):
            outcomes[outcome] += 1
            if outcome == "different":
                print(f"  different: {rule} from {anchor}")
    print(f"{len(rules):,} rules compared with python-dateutil: {dict(outcomes.most_common())}")
    return outcomes["different"]


def _outcome(case: tuple[str, datetime]) -> str:
    rule, anchor = case
    # For what never comes python-dateutil walks to the end of the calendar: near to it, that is less far.
    anchor = anchor.replace(year=anchor.year + 7_960)
    series = Series(parse_rule(rule), anchor, "UTC")
    ours = [each.when for each in islice(series.upcoming(), 10)]
    try:
        with _time_limit(_LIMIT):
            oracle = rrulestr(rule, dtstart=anchor)
            later = (each for each in oracle if each > anchor and each.year <= LAST_YEAR)
            theirs = list(islice(later, 10))
    except TimeoutError:
        return "took dateutil too long"
    except IndexError:
        return "dateutil failed"
    return "same" if ours == theirs else _known_fault(rule) or "different"


def _known_fault(rule: str) -> str | None:
    parsed = parse_rule(rule)
    if parsed.frequency == "WEEKLY" and parsed.positions:
        return "dateutil begins the first week's set at its anchor"
    if parsed.weeks and not (parsed.days or parsed.month_days or parsed.year_days):
        return "dateutil has all days of a week for none"
    if {52, 53, -52, -53} & {*parsed.weeks}:
        return "dateutil miscounts the weeks of the year beside"
    if any(number for number, _ in parsed.days):
        if not all(number for number, _ in parsed.days):
            return "dateutil takes only days that are both numbered and not"
        if any(number < -5 for number, _ in parsed.days):
            return "dateutil counts beyond the beginning of a year"
    return None


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    def end(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


if __name__ == "__main__":
    sys.exit(main())
