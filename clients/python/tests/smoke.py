"""Everything that the client is for, against the server whose URL is given, and by a token if one is."""

import sys
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID, uuid4

from taskwell_client import Problem, ProblemError, connect, expect, pages, sync
from taskwell_client.api.changes import list_changes
from taskwell_client.api.tasks import (
    create_task,
    delete_task,
    delete_tasks,
    get_task,
    list_tasks,
    run_batch,
    update_task,
    user_create_task,
    user_list_tasks,
)
from taskwell_client.models import (
    Batch,
    BatchResult,
    CreateOperation,
    DeleteOperation,
    TaskCreate,
    TaskRead,
    TaskUpdate,
    UpdateOperation,
)

T = TypeVar("T")

client = connect(*sys.argv[1:])


def create(title: str) -> TaskRead:
    return expect(create_task.sync(client=client, body=TaskCreate(title=title)))


def refusal(work: Callable[[], T | Problem | None]) -> str | None:
    try:
        expect(work())
    except ProblemError as error:
        return error.problem.type_
    return None


def lists_in_pages() -> None:
    expect(delete_tasks.sync(client=client))
    made = [create(f"Task {number}") for number in range(5)]
    listed = list(pages(lambda cursor: list_tasks.sync_detailed(client=client, limit=2, cursor=cursor)))
    assert listed == made[::-1]
    done = expect(update_task.sync(made[0].id, client=client, body=TaskUpdate(completed=True)))
    assert expect(list_tasks.sync(client=client, status="completed")) == [done]


def guards_an_update() -> None:
    task = create("Buy milk")
    tag = f'"{task.version}"'
    changed = expect(
        update_task.sync(task.id, client=client, body=TaskUpdate(title="Buy bread"), if_match=tag)
    )
    assert (changed.title, changed.description) == ("Buy bread", None)
    late = update_task.sync_detailed(task.id, client=client, body=TaskUpdate(title="Buy jam"), if_match=tag)
    assert isinstance(late.parsed, Problem)
    assert late.parsed.type_ == "precondition_failed"
    assert late.headers["ETag"] == f'"{changed.version}"'
    assert (
        get_task.sync_detailed(task.id, client=client, if_none_match=late.headers["ETag"]).status_code == 304
    )


def retries_without_doing_it_twice() -> None:
    key, body = str(uuid4()), TaskCreate(title="Call mum")
    first, second = (
        create_task.sync_detailed(client=client, body=body, idempotency_key=key) for _ in range(2)
    )
    assert first.content == second.content
    assert second.headers["Idempotent-Replayed"] == "true"
    assert refusal(
        lambda: create_task.sync(client=client, body=TaskCreate(title="A"), idempotency_key=key)
    ) == ("idempotency_key_reused")


def does_many_things_at_once() -> None:
    name = uuid4()
    batch = Batch(
        operations=[
            CreateOperation(op="create", id=name, task=TaskCreate(title="Buy milk")),
            UpdateOperation(op="update", id=name, task=TaskUpdate(description="Two bottles")),
        ]
    )
    results = expect(run_batch.sync(client=client, body=batch)).results
    told = [result for result in results if isinstance(result, BatchResult)]
    assert [(result.status, result.task.description) for result in told] == [
        (201, None),
        (200, "Two bottles"),
    ]
    late = Batch(operations=[*batch.operations[1:], DeleteOperation(op="delete", id=name, version=1)])
    refused = run_batch.sync(client=client, body=late)
    assert isinstance(refused, Problem)
    assert (refused.type_, refused.index) == ("precondition_failed", 1)


def keeps_a_copy() -> None:
    copy: dict[UUID, TaskRead] = {}

    def follow(since: str | None) -> str:
        return sync(lambda cursor: list_changes.sync(client=client, since=cursor, limit=3), copy, since)

    def is_equal() -> bool:
        return copy == {task.id: task for task in expect(list_tasks.sync(client=client))}

    since = follow(None)
    assert is_equal()
    expect(delete_task.sync(create("Soon gone").id, client=client))
    since = follow(since)
    assert is_equal()
    copy[uuid4()] = create("Of another time line")
    follow("999999-0")
    assert is_equal()


def tells_what_is_wrong() -> None:
    answer = create_task.sync(client=client, body=TaskCreate(title=" "))
    assert isinstance(answer, Problem)
    assert answer.type_ == "validation_error"
    assert isinstance(answer.errors, list)
    (violation,) = answer.errors
    assert (violation.pointer, violation.code) == ("/title", "too_short")


def serves_many_users() -> str | None:
    """By a token one is a single user."""
    body = TaskCreate(title="Buy milk")
    if sys.argv[2:]:
        return refusal(lambda: user_create_task.sync("bob", client=client, body=body))
    task = expect(user_create_task.sync("auth0|alice", client=client, body=body))
    assert expect(user_list_tasks.sync("auth0|alice", client=client)) == [task]
    assert expect(user_list_tasks.sync("auth0|bob", client=client)) == []
    return None


works: tuple[Callable[[], str | None], ...] = (
    lists_in_pages,
    guards_an_update,
    retries_without_doing_it_twice,
    does_many_things_at_once,
    keeps_a_copy,
    tells_what_is_wrong,
    serves_many_users,
)
for work in works:
    told = work()
    print(work.__name__ + (f": {told}" if told else ""))
