"""The books of one user's writes: what was acknowledged, against what is there."""

import random
from collections import Counter
from typing import Any

from bench.load import Answer, Request

_SHOW_DELETED = ("Prefer: return=representation",)


class Ledger:
    """Every acknowledged write has taken a number of its own, so the numbers are 1, 2, 3 and so on."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.writes = 0
        self.faults = 0
        self._versions: Counter[int] = Counter()
        self._alive: list[str] = []
        self._toggles: Counter[str] = Counter()
        self._titles: dict[str, tuple[int, str]] = {}

    def creates(self, count: int) -> list[Request]:
        return [Request("POST", self.path, {"title": "Buy milk"}) for _ in range(count)]

    def round(self, each: int) -> list[Request]:
        """So many operations of each kind, shuffled. What one deletes no other touches."""
        gone, busy = self._alive[:each], self._alive[each : each + 5]
        requests = self.creates(each)
        for n, task in enumerate(gone):
            place = f"{self.path}/{busy[n % len(busy)]}"
            requests += [
                Request("DELETE", f"{self.path}/{task}", headers=_SHOW_DELETED),
                Request("PATCH", place, {"title": f"Buy {n} litres"}),
                Request("POST", f"{place}/toggle"),
                Request("GET", place),
            ]
        random.shuffle(requests)
        return requests

    def note(self, request: Request, answer: Answer) -> None:
        if answer.status != (201 if request.path == self.path else 200):
            raise RuntimeError(f"the server answered {answer.status}: {answer.content[:500]!r}")
        if request.method == "GET":
            return
        task = answer.json()
        self.writes += 1
        self._versions[task["version"]] += 1
        if request.path == self.path:
            self._alive.append(task["id"])
        elif request.method == "DELETE":
            self._alive.remove(task["id"])
        elif request.method == "PATCH":
            latest = (task["version"], task["title"])
            self._titles[task["id"]] = max(latest, self._titles.get(task["id"], latest))
        else:
            self._toggles[task["id"]] += 1

    def compare(self, tasks: list[dict[str, Any]]) -> None:
        """Compare with the list as it is in the end, and count what is lost, doubled or overwritten."""
        self.faults += _difference(self._versions, Counter(range(1, self.writes + 1)))
        self.faults += _difference(Counter(task["id"] for task in tasks), Counter(self._alive))
        for task in tasks:
            _, title = self._titles.get(task["id"], (0, "Buy milk"))
            turned_over = self._toggles[task["id"]] % 2 == 1
            self.faults += (task["title"], task["completed"]) != (title, turned_over)


def _difference(one: Counter[Any], other: Counter[Any]) -> int:
    return (one - other).total() + (other - one).total()
