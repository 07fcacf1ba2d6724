"""Rates of requests, as settings and tokens write them."""

import re
from math import ceil
from typing import NamedTuple

_UNITS = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}
PATTERN = f"[1-9][0-9]{{0,8}}/({'|'.join(_UNITS)})"


class Quota(NamedTuple):
    """`left`: the requests that remain. `seconds`: the minimum time until there are more."""

    allowed: bool
    left: int
    seconds: int


class Rate(NamedTuple):
    """`amount` requests in any `seconds`, as a sliding window of two counters.

    Requests are counted by fixed windows. Those of the previous window weigh less as the current one goes on.
    """

    amount: int
    seconds: int

    @classmethod
    def parse(cls, text: str) -> "Rate":
        """Read `1200/minute`. Raises ValueError."""
        if not re.fullmatch(PATTERN, text):
            raise ValueError("must be a number per second, minute, hour or day, such as 1200/minute")
        amount, _, unit = text.partition("/")
        return cls(int(amount), _UNITS[unit])

    def used(self, before: int, count: int, rest: float) -> float:
        """The weighted count. `rest`: the seconds until the current window ends."""
        return before * rest / self.seconds + count

    def quota(self, allowed: bool, before: int, count: int, rest: float) -> Quota:
        left = max(0, ceil(self.amount - self.used(before, count, rest))) if allowed else 0
        return Quota(allowed, left, self.seconds if left else self._wait(before, count, rest))

    def _wait(self, before: int, count: int, rest: float) -> int:
        """Whole seconds until one more is allowed: by the falling weight, or in the next window."""
        if count < self.amount and before:
            rest -= (self.amount - count) * self.seconds / before
        return max(0, int(rest)) + 1
