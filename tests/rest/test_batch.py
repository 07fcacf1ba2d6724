"""Many operations at once: all of them happen, in their order, or none does."""

from typing import Any

import httpx2
import pytest

from harness.responses import create, problem, unknown_id, violation
from harness.side_effects import at_once

Operation = dict[str, Any]
STRICT = {"Prefer": "handling=strict"}


def send(client: httpx2.Client, tasks: str, *operations: Any, **headers: str) -> httpx2.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(f"{tasks}/batch", json={"operations": operations}, headers=sent, timeout=60)


def results(answer: httpx2.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    assert list(answer.json()) == ["results"]
    found: list[dict[str, Any]] = answer.json()["results"]
    return found


def state(client: httpx2.Client, tasks: str) -> tuple[str, bytes, bytes]:
    alive = client.get(tasks)
    return alive.headers["etag"], alive.content, client.get(f"{tasks}?deleted=true").content


def new(title: str = "New", **operation: Any) -> Operation:
    return {"op": "create", "task": {"title": title}, **operation}


class TestOperations:
    def test_all_five_in_their_order_each_with_its_own_number(
        self, client: httpx2.Client, tasks: str
    ) -> None:
        made = [create(client, tasks, title=f"Task {number}", description="kept") for number in range(4)]
        client.delete(f"{tasks}/{made[3]['id']}")
        version = made[3]["version"] + 1
        found = results(
            send(
                client,
                tasks,
                {"op": "update", "id": made[0]["id"], "task": {"title": "Changed"}},
                new("New"),
                {"op": "toggle", "id": made[1]["id"]},
                {"op": "delete", "id": made[2]["id"]},
                {"op": "restore", "id": made[3]["id"]},
            )
        )
        assert [result["status"] for result in found] == [200, 201, 200, 200, 200]
        assert [list(result) for result in found] == [["status", "task", "completion"]] * 5
        told = [result["task"] for result in found]
        assert [task["version"] for task in told] == [version + number for number in range(1, 6)]
        assert (told[0]["title"], told[0]["description"]) == ("Changed", "kept")
        assert told[1]["title"] == "New"
        assert told[2]["completed"] is True
        assert told[3]["deleted_at"] == told[3]["updated_at"]
        assert "deleted_at" not in told[4]
        alive = {task["id"]: task for task in client.get(tasks).json()}
        assert alive == {task["id"]: task for task in told if "deleted_at" not in task}
        assert client.get(f"{tasks}?deleted=true").json() == [told[3]]

    def test_a_later_one_sees_the_earlier_ones(self, client: httpx2.Client, tasks: str) -> None:
        task_id = unknown_id()
        found = results(
            send(
                client,
                tasks,
                new(id=task_id),
                {"op": "update", "id": task_id, "version": 1, "task": {"description": "x"}},
                {"op": "toggle", "id": task_id, "version": 2},
                {"op": "toggle", "id": task_id, "version": 3, "task": {"completed": True}},
                {"op": "delete", "id": task_id, "version": 4},
                {"op": "restore", "id": task_id, "version": 5},
            )
        )
        assert [result["task"]["version"] for result in found] == [1, 2, 3, 4, 5, 6]
        assert found[2]["task"]["completed"] is found[3]["task"]["completed"] is True
        assert client.get(tasks).json() == [found[5]["task"]]

    def test_what_changes_nothing_takes_no_number(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks)
        found = results(
            send(
                client,
                tasks,
                {"op": "update", "id": task["id"], "task": {}},
                {"op": "restore", "id": task["id"]},
                new(),
            )
        )
        assert [result["task"]["version"] for result in found] == [1, 1, 2]
        assert found[0]["task"] == found[1]["task"] == task

    def test_a_member_may_be_sent_back_as_it_came(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks)
        found = results(
            send(client, tasks, {"op": "update", "id": task["id"], "task": task | {"title": "x"}})
        )
        assert found[0]["task"]["title"] == "x"

    def test_a_new_task_may_have_the_clients_id(self, client: httpx2.Client, tasks: str) -> None:
        ids = [unknown_id() for _ in range(3)]
        found = results(send(client, tasks, *(new(id=task_id.upper()) for task_id in ids)))
        assert [result["task"]["id"] for result in found] == ids

    @pytest.mark.parametrize("trashed", [False, True])
    def test_an_id_that_is_taken_fails_the_batch(
        self, client: httpx2.Client, tasks: str, trashed: bool
    ) -> None:
        task = create(client, tasks)
        if trashed:
            client.delete(f"{tasks}/{task['id']}")
        before = state(client, tasks)
        answer = send(client, tasks, new(), new(id=task["id"]))
        assert problem(answer, 412, "precondition_failed")["index"] == 1
        assert answer.headers["etag"] == f'"{task["version"] + trashed}"'
        assert state(client, tasks) == before

    def test_an_id_used_twice_in_it_fails_it(self, client: httpx2.Client, tasks: str) -> None:
        task_id = unknown_id()
        answer = send(client, tasks, new(id=task_id), new(id=task_id))
        assert problem(answer, 412, "precondition_failed")["index"] == 1
        assert client.get(tasks).json() == []

    def test_the_first_one_makes_the_user(self, client: httpx2.Client, user: str) -> None:
        assert results(send(client, f"/api/{user}/tasks", new()))[0]["task"]["user_id"] == user
        assert client.get(f"/api/users/{user}").status_code == 200


class TestGuards:
    @pytest.mark.parametrize("op", ["update", "delete", "toggle", "restore"])
    def test_each_operation_may_have_one(self, client: httpx2.Client, tasks: str, op: str) -> None:
        task = create(client, tasks)
        path, version = f"{tasks}/{task['id']}", task["version"]
        if op == "restore":
            client.delete(path)
            version += 1
        operation = {"op": op, "id": task["id"], **({"task": {"title": "x"}} if op == "update" else {})}
        before = state(client, tasks)
        for stale in (0, version - 1, version + 1, 2**53 - 1):
            answer = send(client, tasks, new(), operation | {"version": stale}, new())
            assert problem(answer, 412, "precondition_failed")["index"] == 1
            assert answer.headers["etag"] == f'"{version}"'
            assert state(client, tasks) == before
        found = results(send(client, tasks, operation | {"version": version}))
        assert found[0]["task"]["version"] == version + 1

    def test_a_change_of_nothing_is_guarded_too(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks)
        for op in ("update", "restore"):
            operation = {"op": op, "id": task["id"], "version": 99, "task": {}}
            problem(send(client, tasks, operation), 412, "precondition_failed")

    def test_of_many_batches_with_one_guard_one_succeeds(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks)
        guarded = {"op": "toggle", "id": task["id"], "version": task["version"]}
        answers = at_once(10, lambda index: send(client, tasks, new(f"By {index}"), guarded))
        assert sorted(answer.status_code for answer in answers) == [200] + [412] * 9
        assert len(client.get(tasks).json()) == 2


class TestAllOrNothing:
    def test_a_failure_names_its_operation_and_undoes_the_others(
        self, client: httpx2.Client, tasks: str, subtests: pytest.Subtests
    ) -> None:
        for index in [0, 1, 5]:
            for op in ["update", "delete", "toggle", "restore"]:
                with subtests.test(index=index, op=op):
                    made = [create(client, tasks) for _ in range(3)]
                    before = state(client, tasks)
                    operations: list[Operation] = [
                        new(),
                        {"op": "update", "id": made[0]["id"], "task": {"title": "Changed"}},
                        {"op": "toggle", "id": made[1]["id"]},
                        {"op": "delete", "id": made[2]["id"]},
                        {"op": "restore", "id": made[2]["id"]},
                    ]
                    operations.insert(index, {"op": op, "id": unknown_id(), "task": {}})
                    members = problem(send(client, tasks, *operations), 404, "not_found")
                    assert members["index"] == index
                    assert members["detail"] == f"operation {index}: There is no such task."
                    assert state(client, tasks) == before
                    assert create(client, tasks)["version"] == made[2]["version"] + 1

    def test_what_is_somebody_elses_is_not_found(self, client: httpx2.Client, user: str) -> None:
        task = create(client, "/api/tasks")
        create(client, f"/api/{user}/tasks")
        answer = send(client, f"/api/{user}/tasks", new(), {"op": "delete", "id": task["id"]})
        assert problem(answer, 404, "not_found")["index"] == 1
        assert client.get(f"/api/tasks/{task['id']}").json() == task

    def test_what_is_in_the_trash_can_only_be_restored(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks)
        client.delete(f"{tasks}/{task['id']}")
        for op in ("update", "delete", "toggle"):
            operation = {"op": op, "id": task["id"], "task": {}}
            problem(send(client, tasks, operation), 404, "not_found")
        assert results(send(client, tasks, {"op": "restore", "id": task["id"]}))

    def test_of_several_failures_the_first_is_told(self, client: httpx2.Client, tasks: str) -> None:
        gone = [{"op": "delete", "id": unknown_id()} for _ in range(3)]
        assert problem(send(client, tasks, new(), *gone), 404, "not_found")["index"] == 1

    @pytest.mark.parametrize(
        "later",
        [
            {"parent_id": "{taken}"},  # which is there, but not of this batch
            {"parent_id": "00000000-0000-4000-8000-000000000000"},
            {"start": "2026-11-21", "due": "2026-11-20"},
        ],
    )
    def test_an_id_that_is_taken_is_told_before_what_is_wrong_later(
        self, client: httpx2.Client, tasks: str, later: dict[str, str]
    ) -> None:
        """Neighbouring creations run together."""
        taken = create(client, tasks)
        task = {"title": "New"} | {name: value.format(taken=taken["id"]) for name, value in later.items()}
        wrong = new(id=unknown_id(), task=task)
        answer = send(client, tasks, new(), new(id=taken["id"]), wrong, new())
        assert problem(answer, 412, "precondition_failed")["index"] == 1
        assert answer.headers["etag"] == f'"{taken["version"]}"'
        assert client.get(tasks).json() == [taken]

    def test_who_reads_meanwhile_sees_all_or_nothing(self, client: httpx2.Client, tasks: str) -> None:
        made = [create(client, tasks) for _ in range(20)]
        flips = [{"op": "toggle", "id": task["id"]} for task in made]

        def work(index: int) -> set[int]:
            if index < 2:
                return {len(results(send(client, tasks, *flips))) for _ in range(5)}
            return {sum(task["completed"] for task in client.get(tasks).json()) for _ in range(20)}

        written, *read = at_once(5, work)[1:]
        assert written == {20}
        assert set.union(*read) <= {0, 20}


class TestSize:
    @pytest.mark.parametrize("count", [1, 1_000])
    def test_is_1_to_1000_operations(self, client: httpx2.Client, tasks: str, count: int) -> None:
        found = results(send(client, tasks, *(new(f"{number}") for number in range(count))))
        assert [result["task"]["title"] for result in found] == [f"{number}" for number in range(count)]
        assert [result["task"]["version"] for result in found] == list(range(1, count + 1))
        assert len(client.get(tasks).json()) == count

    @pytest.mark.parametrize("count", [0, 1_001])
    def test_anything_else_is_refused(self, client: httpx2.Client, tasks: str, count: int) -> None:
        found = violation(send(client, tasks, *(new() for _ in range(count))))
        assert found["pointer"] == "/operations"
        assert found["detail"] == "must have 1 to 1,000 items"
        assert client.get(tasks).json() == []


class TestValidation:
    BROKEN: tuple[tuple[Any, str, str], ...] = (
        (new(""), "/task/title", "too_short"),
        (new("x" * 201), "/task/title", "too_long"),
        ({"op": "create", "task": {}}, "/task/title", "required"),
        ({"op": "create"}, "/task", "required"),
        ({"op": "create", "task": "x"}, "/task", "invalid_type"),
        (new(id="x"), "/id", "invalid_id"),
        (new(id=None), "/id", "invalid_id"),
        ({"op": "update", "id": unknown_id(), "task": {"title": None}}, "/task/title", "invalid_type"),
        ({"op": "update", "id": unknown_id()}, "/task", "required"),
        ({"op": "update", "task": {}}, "/id", "required"),
        (
            {"op": "toggle", "id": unknown_id(), "task": {"completed": 1}},
            "/task/completed",
            "invalid_type",
        ),
        ({"op": "delete"}, "/id", "required"),
        ({"op": "restore", "id": 7}, "/id", "invalid_id"),
        ({"op": "delete", "id": unknown_id(), "version": "1"}, "/version", "invalid_type"),
        ({"op": "delete", "id": unknown_id(), "version": True}, "/version", "invalid_type"),
        ({"op": "delete", "id": unknown_id(), "version": 1.5}, "/version", "invalid_type"),
        ({"op": "delete", "id": unknown_id(), "version": None}, "/version", "invalid_type"),
        ({"op": "delete", "id": unknown_id(), "version": -1}, "/version", "out_of_range"),
        ({"op": "delete", "id": unknown_id(), "version": 2**53}, "/version", "out_of_range"),
        ({"op": "complete", "id": unknown_id()}, "", "invalid_op"),
        ({"op": None}, "", "invalid_op"),
        ({"op": ["create"]}, "", "invalid_op"),
        ({"id": unknown_id()}, "", "required"),
        ({}, "", "required"),
        ("create", "", "invalid_type"),
        (None, "", "invalid_type"),
        ([], "", "invalid_type"),
    )

    def test_what_breaks_a_rule_is_named_by_its_place(
        self, client: httpx2.Client, tasks: str, subtests: pytest.Subtests
    ) -> None:
        for operation, pointer, code in self.BROKEN:
            with subtests.test(operation=operation, pointer=pointer, code=code):
                found = violation(send(client, tasks, new(), operation, new()))
                assert (found["pointer"], found["code"]) == (f"/operations/1{pointer}", code)
                assert client.get(tasks).json() == []

    def test_an_unknown_op_is_answered_with_those_there_are(self, client: httpx2.Client, tasks: str) -> None:
        found = violation(send(client, tasks, {"op": "complete", "id": unknown_id()}))
        allowed = found["detail"].removeprefix("must have an op that its kind has: ").split(", ")
        assert {"create", "update", "toggle", "move", "delete", "restore"} <= set(allowed)

    def test_every_violation_is_named(self, client: httpx2.Client, tasks: str) -> None:
        members = problem(send(client, tasks, new(""), new(), {"op": "delete"}), 400, "validation_error")
        assert [error["pointer"] for error in members["errors"]] == [
            "/operations/0/task/title",
            "/operations/2/id",
        ]
        assert members["detail"] == (
            "operations.0.task.title: must have 1 to 200 characters; operations.2.id: is required"
        )

    def test_of_very_many_the_first_are(self, client: httpx2.Client, tasks: str) -> None:
        answer = send(client, tasks, *({"op": "delete"} for _ in range(1_000)))
        assert len(problem(answer, 400, "validation_error")["errors"]) == 20

    NO_BATCHES: tuple[tuple[Any, str], ...] = (
        ({}, "/operations"), ({"operations": None}, "/operations"), ({"operations": {}}, "/operations"),
        ({"operations": "x"}, "/operations"), ([], ""), ([{"op": "create"}], ""),
    )  # fmt: skip

    def test_the_body_is_an_object_with_operations(
        self, client: httpx2.Client, tasks: str, subtests: pytest.Subtests
    ) -> None:
        for body, pointer in self.NO_BATCHES:
            with subtests.test(body=body, pointer=pointer):
                assert violation(client.post(f"{tasks}/batch", json=body))["pointer"] == pointer

    def test_what_is_unknown_is_ignored(self, client: httpx2.Client, tasks: str) -> None:
        operation = {
            "op": "create",
            "version": 7,
            "colour": "red",
            "task": {"title": "x", "id": unknown_id()},
        }
        answer = client.post(f"{tasks}/batch", json={"operations": [operation], "atomic": False})
        assert results(answer)[0]["task"]["version"] == 1

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({"operations": [new()], "atomic": True}, ""),
            ({"operations": [new(), new(colour="red")]}, "/operations/1"),
            ({"operations": [new(version=1)]}, "/operations/0"),
            (
                {"operations": [new(), new(), {"op": "create", "task": {"title": "x", "colour": "red"}}]},
                "/operations/2/task",
            ),
            (
                {"operations": [{"op": "toggle", "id": unknown_id(), "task": {"title": "x"}}]},
                "/operations/0/task",
            ),
            ({"operations": [{"op": "delete", "id": unknown_id(), "task": {}}]}, "/operations/0"),
        ],
    )  # fmt: skip
    def test_it_is_refused_when_strict(
        self, client: httpx2.Client, tasks: str, body: Any, pointer: str
    ) -> None:
        found = violation(client.post(f"{tasks}/batch", json=body, headers=STRICT))
        assert (found["pointer"], found["code"]) == (pointer, "unknown_member")
        assert client.get(tasks).json() == []

    def test_strict_handling_is_acknowledged(self, client: httpx2.Client, tasks: str) -> None:
        answer = send(client, tasks, new(), **STRICT)
        assert results(answer)
        assert answer.headers["preference-applied"] == "handling=strict"


class TestKeyed:
    def test_a_repeat_gets_the_first_answer(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks)
        operations = [new(), {"op": "toggle", "id": task["id"]}]
        first = send(client, tasks, *operations, Idempotency_Key="once")
        after = state(client, tasks)
        again = send(client, tasks, *operations, Idempotency_Key="once")
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert again.headers["idempotent-replayed"] == "true"
        assert state(client, tasks) == after
        other = send(client, tasks, *operations[::-1], Idempotency_Key="once")
        problem(other, 422, "idempotency_key_reused")
