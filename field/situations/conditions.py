"""Conditions by the ETag that a client has got, whatever the proxy has made of it."""

import httpx2

from field.matrix import GZIP, Site, check, check_problem, new_tasks, situation

_LONG = "A long description, which is worth compressing. " * 40


def _task(client: httpx2.Client) -> tuple[str, str, str]:
    """The tasks' path, a task's, and its ETag as the client sees it."""
    tasks = new_tasks()
    made = check(client.post(tasks, json={"title": "Buy milk", "description": _LONG}, headers=GZIP), 201)
    task = f"{tasks}/{made['id']}"
    return tasks, task, _etag(client, task)


def _etag(client: httpx2.Client, path: str) -> str:
    answer = client.get(path, headers=GZIP)
    check(answer, 200)
    assert "etag" in answer.headers, "the proxy took the ETag away"
    return str(answer.headers["etag"])


@situation("If-Match with the ETag that came: 200, stale: 412")
def guarded(site: Site) -> None:
    with site.client() as client:
        _, task, etag = _task(client)
        changed = client.patch(task, json={"title": "Buy bread"}, headers={**GZIP, "If-Match": etag})
        check(changed, 200)
        stale = client.patch(task, json={"title": "lost"}, headers={**GZIP, "If-Match": etag})
        check_problem(stale, 412, "precondition_failed")
        again = client.patch(task, json={"title": "a"}, headers={**GZIP, "If-Match": stale.headers["etag"]})
        check(again, 200)
        assert check(client.get(task), 200)["title"] == "a"


@situation("If-Match with the ETag of an answer to a write")
def guarded_by_an_answer(site: Site) -> None:
    with site.client() as client:
        tasks = new_tasks()
        answer = client.post(tasks, json={"title": "Buy milk", "description": _LONG}, headers=GZIP)
        task = f"{tasks}/{check(answer, 201)['id']}"
        for title in ("a", "b", "c"):
            headers = {**GZIP, "If-Match": answer.headers["etag"]}
            answer = client.patch(task, json={"title": title}, headers=headers)
            check(answer, 200)
        lists = {**GZIP, "If-Match": f'"1", {answer.headers["etag"]}'}
        check(client.put(task, json={"title": "d"}, headers=lists), 200)


@situation("If-Match guards toggle, delete and restore")
def other_writes_are_guarded(site: Site) -> None:
    with site.client() as client:
        _, task, etag = _task(client)
        check(client.post(f"{task}/toggle", headers={"If-Match": etag}), 200)
        check_problem(client.post(f"{task}/toggle", headers={"If-Match": etag}), 412, "precondition_failed")
        check_problem(client.delete(task, headers={"If-Match": etag}), 412, "precondition_failed")
        check(client.delete(task, headers={"If-Match": _etag(client, task)}), 204)


def _is_unchanged(client: httpx2.Client, path: str) -> None:
    etag = _etag(client, path)
    answer = client.get(path, headers={**GZIP, "If-None-Match": etag})
    assert answer.status_code == 304, f"{path}: {answer.status_code} for {etag}"
    assert not answer.content


@situation("If-None-Match with the ETag that came: 304 for a task")
def task_is_unchanged(site: Site) -> None:
    with site.client() as client:
        _, task, etag = _task(client)
        _is_unchanged(client, task)
        check(client.patch(task, json={"title": "Buy bread"}), 200)
        assert check(client.get(task, headers={**GZIP, "If-None-Match": etag}), 200)["title"] == "Buy bread"


@situation("If-None-Match with the ETag that came: 304 for lists and pages")
def lists_are_unchanged(site: Site) -> None:
    with site.client() as client:
        tasks, _, _ = _task(client)
        for path in (tasks, f"{tasks}?limit=1", f"{tasks}?completed=false&sort=title"):
            _is_unchanged(client, path)
        before = _etag(client, tasks)
        check(client.post(tasks, json={"title": "another"}), 201)
        assert len(check(client.get(tasks, headers={**GZIP, "If-None-Match": before}), 200)) == 2


@situation("Idempotency-Key: the same answer again")
def keyed(site: Site) -> None:
    with site.client() as client:
        tasks = new_tasks()
        headers = {**GZIP, "Idempotency-Key": "field"}
        first = client.post(tasks, json={"title": "once", "description": _LONG}, headers=headers)
        second = client.post(tasks, json={"title": "once", "description": _LONG}, headers=headers)
        assert check(first, 201) == check(second, 201)
        assert second.headers["idempotent-replayed"] == "true"
        assert second.headers["etag"] == first.headers["etag"]
        assert len(check(client.get(tasks), 200)) == 1
