"""Every operation, as whoever should not: what comes back must not tell what is there.

The operations come from the application itself, and their bodies from its OpenAPI document, so a new route is
tried out without anybody thinking of it.
"""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx2

from harness.figures import Figures
from harness.issuer import Issuer, bearer

_IDS = {"id", "after", "before", "list_id", "parent_id"}
_STREAMS = ("/events",)  # to read one would last for ever
_OF_THE_MOMENT = ("date", "x-request-id", "content-length", "ratelimit", "ratelimit-policy")


@dataclass(frozen=True, slots=True)
class Operation:
    method: str
    path: str
    body: Any

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Target:
    """What the holes of a path and of a body are filled with."""

    name: str
    user_id: str
    thing_id: str


@dataclass(frozen=True, slots=True)
class Identity:
    name: str
    headers: dict[str, str]


def operations(document: dict[str, Any]) -> Iterator[Operation]:
    """All that needs credentials."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if operation.get("security") and not path.endswith(_STREAMS):
                yield Operation(method.upper(), path, _example(operation, document))


def _example(operation: dict[str, Any], document: dict[str, Any]) -> Any:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if content is None:
        return None
    schema = content["schema"]
    for choice in (schema, *schema.get("anyOf", ())):
        if (name := choice.get("$ref", "").rpartition("/")[2]) and name in document["components"]["schemas"]:
            return document["components"]["schemas"][name].get("examples", [{}])[0]
    return {}


class Owner:
    """Somebody with something to hide: every text of theirs has a word in it that nobody else uses."""

    def __init__(self, url: str, issuer: Issuer) -> None:
        self.id = f"owner-{uuid4().hex}"
        self.canary = f"canary{uuid4().hex}"
        token = issuer.token(self.id, email=f"{self.canary}@example.com")
        self.client = httpx2.Client(base_url=url, headers=bearer(token), timeout=30)
        self.task = self._task()
        self.deleted = self._task()
        self.client.delete(f"/api/tasks/{self.deleted}").raise_for_status()
        self.client.put(f"/api/labels/{self.canary[:60]}", json={}).raise_for_status()
        claimed = self.client.post(f"/api/tasks/{self.task}/claim", json={"note": self.canary})
        self.claim: int = claimed.raise_for_status().json()["claim"]
        self.list, self.deleted_list = self._list(), self._list()
        self.client.delete(f"/api/lists/{self.deleted_list}").raise_for_status()
        key = {"Idempotency-Key": self.canary}
        self.client.post("/api/tasks", json={"title": self.canary}, headers=key).raise_for_status()
        made = self.client.post(
            "/api/users/me/tokens", json={"name": self.canary, "scopes": ["tasks:read"]}
        ).raise_for_status()
        self.token = made.json()["id"]
        hook = {"url": f"https://hooks.invalid/{self.canary}", "events": ["*"], "description": self.canary}
        self.webhook = self.client.post("/api/webhooks", json=hook).raise_for_status().json()["id"]

    def _task(self) -> str:
        new = {"title": f"Title {self.canary}", "description": f"Description {self.canary}"}
        answer = self.client.post("/api/tasks", json=new).raise_for_status()
        task_id: str = answer.json()["id"]
        return task_id

    def _list(self) -> str:
        answer = self.client.post("/api/lists", json={"name": f"List {self.canary}"}).raise_for_status()
        list_id: str = answer.json()["id"]
        return list_id

    def secrets(self) -> tuple[str, ...]:
        return (self.canary, self.task, self.deleted, self.list, self.deleted_list, self.token, self.webhook)

    def everything(self) -> list[str]:
        paths = (
            "/api/tasks", "/api/tasks?deleted=true", "/api/lists", "/api/lists?deleted=true",
            "/api/changes?types=task,list,label", "/api/users/me/tokens", "/api/claims",
            "/api/webhooks",
        )  # fmt: skip
        return [self.client.get(path).raise_for_status().text for path in paths]


def measure(url: str, issuer: Issuer, *, refuses: bool = True) -> Figures:
    """Try every operation as everybody who should not, and see whether anything can be told.

    `refuses`: also with credentials that are refused.
    """
    document = httpx2.get(f"{url}/openapi.json").json()
    owner = Owner(url, issuer)
    before = owner.everything()
    tried = list(operations(document))
    trial = _Trial(url, owner)
    for identity in _refused(issuer, owner) if refuses else ():
        for operation in tried:
            trial.refused(operation, identity)
    stranger = f"stranger-{uuid4().hex}"
    identity = Identity("a stranger", bearer(issuer.token(stranger)))
    # Strangers give the owner's ids to labels of their own, and their own history shows these afterwards.
    for operation in sorted(tried, key=lambda one: not one.path.endswith("/history")):
        trial.stranger(operation, identity, stranger)
    figures = trial.figures
    figures.note("operations", len(tried))
    figures.note("requests", trial.requests)
    figures.promise("answers that tell something", len(trial.telling), kept=not trial.telling)
    figures.promise("answers with something of the owner", len(trial.leaks), kept=not trial.leaks)
    figures.promise("answers of another status than is right", len(trial.wrong), kept=not trial.wrong)
    changed = sum(one != other for one, other in zip(before, owner.everything(), strict=True))
    figures.promise("lists of the owner that have changed", changed, kept=not changed)
    figures.broken += [*trial.telling, *trial.leaks, *trial.wrong]
    for client in (owner.client, trial.client):
        client.close()
    return figures


def _refused(issuer: Issuer, owner: Owner) -> Iterator[Identity]:
    """Whoever gets nowhere at all: the owner's own id does not help."""
    yield Identity("nobody", {})
    yield Identity("an expired token", bearer(issuer.token(owner.id, exp=int(time.time()) - 60)))
    yield Identity("another server's token", bearer(issuer.token(owner.id, aud="https://other.example")))
    yield Identity("a revoked token", bearer("tw_" + "0" * 49))
    for scope in ("tasks:read", "tasks:edit", "tasks:write", "webhooks"):
        yield Identity(f"the scope {scope}", bearer(issuer.token(owner.id, scope=scope)))


class _Trial:
    def __init__(self, url: str, owner: Owner) -> None:
        self.client = httpx2.Client(base_url=url, timeout=30)
        self.owner = owner
        self.missing = str(uuid4())
        self.figures = Figures()
        self.requests = 0
        self.telling: list[str] = []
        self.leaks: list[str] = []
        self.wrong: list[str] = []

    def refused(self, operation: Operation, identity: Identity) -> None:
        """With a scope too few it is a 403, and what needs just that scope is not tried here."""
        expected = 401
        if identity.name.startswith("the scope "):
            if self._is_in_scope(operation, identity.name.removeprefix("the scope ")):
                return
            expected = 403
        answers = [self.send(operation, identity, target) for target in self.targets(self.owner.id)]
        self.compare(f"{operation}, {identity.name}", answers, lambda status: status == expected)

    def stranger(self, operation: Operation, identity: Identity, stranger: str) -> None:
        """At the owner's path: the same 403. At one's own: a foreign id is as good as none."""
        name = f"{operation}, {identity.name}"
        if "{user_id}" in operation.path or "{id}" in operation.path:
            foreign = [*self.targets(self.owner.id), *self.targets(f"nobody-{uuid4().hex}")]
            answers = [self.send(operation, identity, target) for target in foreign]
            self.compare(f"{name}, at the owner's path", answers, lambda status: status == 403)
        if operation == Operation("DELETE", "/api/users/{id}", None):
            return  # one's own account, at last
        answers = [self.send(operation, identity, target) for target in self.targets(stranger)]
        self.compare(f"{name}, at their own path", answers, lambda status: status < 500)
        for prepared in ({"If-Match": "*"}, {"If-Match": '"1"'}, {"Idempotency-Key": "one each"}):
            if operation.method != "GET" and not _is_unkeyed(operation.path):
                headers = Identity(identity.name, {**identity.headers, **prepared})
                answers = [self.send(operation, headers, target) for target in self.targets(stranger)]
                self.compare(f"{name}, {next(iter(prepared))}", answers, lambda status: status < 500)

    def targets(self, user_id: str) -> list[Target]:
        owner = self.owner
        things = {
            "missing": self.missing,
            "foreign": owner.task,
            "in the trash": owner.deleted,
            "a list": owner.list,
            "a list in the trash": owner.deleted_list,
            "token": owner.token,
            "webhook": owner.webhook,
        }
        return [Target(name, user_id, thing) for name, thing in things.items()]

    def send(self, operation: Operation, identity: Identity, target: Target) -> tuple[int, Any, Any]:
        path = operation.path.replace("{user_id}", target.user_id).replace("{id}", target.user_id)
        for hole in ("{task_id}", "{list_id}", "{token_id}", "{webhook_id}", "{name}"):
            path = path.replace(hole, target.thing_id)
        path = path.replace("{claim}", str(self.owner.claim))
        body = _aimed(operation.body, target.thing_id)
        headers = dict(identity.headers)
        if "Idempotency-Key" in headers:
            headers["Idempotency-Key"] = uuid4().hex
        self.requests += 1
        answer = self.client.request(operation.method, path, json=body, headers=headers)
        text = answer.text.replace(target.thing_id, "the thing").replace(target.user_id, "the user")
        leaked = [secret for secret in self.owner.secrets() if secret in text]
        if leaked:
            self.leaks.append(f"{operation}, {identity.name}, {target.name}: {leaked}")
        kept = {
            name: value.replace(target.thing_id, "the thing").replace(target.user_id, "the user")
            for name, value in answer.headers.items()
            if name not in _OF_THE_MOMENT
        }
        return answer.status_code, kept, _members(text)

    def compare(
        self, name: str, answers: list[tuple[int, Any, Any]], is_right: Callable[[int], bool]
    ) -> None:
        first = answers[0]
        for answer in answers:
            if not is_right(answer[0]):
                self.wrong.append(f"{name}: {answer[0]}")
            if answer[0] != first[0] or (answer[0] >= 400 and answer != first):
                self.telling.append(f"{name}: {first} and {answer}")

    def _is_in_scope(self, operation: Operation, scope: str) -> bool:
        if "/webhooks" in operation.path:
            return scope == "webhooks"
        reads = operation.method == "GET" and not operation.path.endswith(("/export", "/tokens"))
        writes = operation.method != "GET" and not operation.path.startswith("/api/users")
        edits = writes and (operation.method != "DELETE" or operation.path.endswith("/claim/{claim}"))
        return {"tasks:read": reads, "tasks:edit": edits, "tasks:write": writes}.get(scope, False)


def _is_unkeyed(path: str) -> bool:
    """Whether its answers are never stored."""
    return "tokens" in path or path.endswith(("/webhooks", "/rotate", "/ping", "/redeliver"))


def _aimed(body: Any, thing_id: str) -> Any:
    """The example of a body, with the id wherever an id stands."""
    if isinstance(body, dict):
        return {name: thing_id if name in _IDS else _aimed(value, thing_id) for name, value in body.items()}
    return [_aimed(item, thing_id) for item in body] if isinstance(body, list) else body


def _members(text: str) -> Any:
    """The body, without what every answer has for itself."""
    try:
        members = json.loads(text)
    except ValueError:
        return text
    if isinstance(members, dict):
        return {name: value for name, value in members.items() if name not in {"request_id", "instance"}}
    return members
