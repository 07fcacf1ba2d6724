"""Errors come as the server has made them."""

from uuid import uuid4

from field.matrix import GZIP, Site, check, check_problem, new_tasks, situation


@situation("problems come whole: 400, 404, 405, 409, 410, 412, 415, 422")
def problems(site: Site) -> None:
    tasks = new_tasks()
    user = tasks.split("/")[2]
    with site.client() as client:
        made = check(client.post(tasks, json={"title": "a"}, headers={"Idempotency-Key": "k"}), 201)
        task = f"{tasks}/{made['id']}"
        for answer, status, token in (
            (client.post(tasks, json={"title": ""}), 400, "validation_error"),
            (client.get(f"{tasks}/{uuid4()}"), 404, "not_found"),
            (client.get(f"/api/{user}/nothing"), 404, "not_found"),
            (client.put(tasks, json={}), 405, "method_not_allowed"),
            (client.post("/api/users", json={"id": user}), 409, "conflict"),
            (client.get(f"/api/{user}/changes?since=1-99999999999"), 410, "gone"),
            (client.delete(task, headers={"If-Match": '"999999"'}), 412, "precondition_failed"),
            (
                client.post(tasks, content="a", headers={"Content-Type": "text/plain"}),
                415,
                "unsupported_media_type",
            ),
            (
                client.post(tasks, json={"title": "b"}, headers={"Idempotency-Key": "k"}),
                422,
                "idempotency_key_reused",
            ),
        ):
            check_problem(answer, status, token)


@situation("401 comes with WWW-Authenticate", server="signed in")
def unauthorized(site: Site) -> None:
    with site.client() as client:
        answer = client.get("/api/tasks", headers=GZIP)
        check_problem(answer, 401, "unauthorized")
        assert answer.headers["www-authenticate"].startswith("Bearer")


@situation("503 comes with its problem and Retry-After", server="away")
def unavailable(site: Site) -> None:
    with site.client() as client:
        for answer in (
            client.get("/api/tasks", headers=GZIP),
            client.post("/api/tasks", json={"title": "a"}),
        ):
            check_problem(answer, 503, "database_unavailable")
            assert int(answer.headers["retry-after"]) >= 1
