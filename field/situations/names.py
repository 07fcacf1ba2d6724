"""Ids and queries that a proxy might write otherwise, and addresses that an answer names."""

import re
from urllib.parse import quote
from uuid import uuid4

import httpx2

from field.matrix import NotHere, Site, check, check_problem, situation

# Raw and encoded, by which the same user is meant.
_IDS = ("auth0|{}", "a+b={}", "x~y.{}_-", "a:b@{}", "Ab{}")


@situation("unusual user ids, raw and percent-encoded, are the same user")
def ids(site: Site) -> None:
    for form in _IDS:
        user = form.format(uuid4().hex)
        forms = (user.replace("|", "%7C"), quote(user, safe=""), quote(user, safe="|+=~:@"))
        with site.client() as client:
            for number, written in enumerate(forms):
                answer = client.post(f"/api/{written}/tasks", json={"title": f"{number}"})
                assert check(answer, 201)["user_id"] == user
                assert check(client.get(httpx2.URL(answer.url).join(answer.headers["location"])), 200)
            for written in forms:
                assert len(check(client.get(f"/api/{written}/tasks"), 200)) == len(forms)
        if not site.is_of("node"):  # Node's URL writes `|` otherwise, which is the same
            raw = site.ask(f"GET {site.prefix}/api/{user}/tasks HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert len(check(raw, 200)) == len(forms)


@situation("an encoded slash is not a slash")
def slash(site: Site) -> None:
    """The server refuses the id; a proxy may refuse the request."""
    if site.proxy is not None and site.proxy.name == "nginx under a path":
        raise NotHere("proxy_pass with a path decodes it")
    with site.client() as client:
        answer = client.get(f"/api/{uuid4().hex}%2Ftasks")
        assert answer.status_code in {400, 404}, answer.status_code
        if "x-request-id" in answer.headers:
            members = answer.json()
            assert members["instance"].lower().endswith("%2ftasks"), members


@situation("queries arrive as they were sent")
def queries(site: Site) -> None:
    tasks = f"/api/{uuid4().hex}/tasks"
    titles = ["a+b", "a b", "50% off", "x|y", "q=1&r=2", "ä~ö", "#1"]
    with site.client() as client:
        for title in titles:
            check(client.post(tasks, json={"title": title}), 201)
        for title in titles:
            for written in (quote(title, safe=""), quote(title, safe="~|").replace("%20", "+")):
                found = check(client.get(f"{tasks}?q={written}"), 200)
                assert [task["title"] for task in found] == [title], written


@situation("Location leads to the task")
def location(site: Site) -> None:
    with site.client() as client:
        answer = client.post(f"/api/{uuid4().hex}/tasks/", json={"title": "a"})
        made = check(answer, 201)
        found = client.get(answer.url.join(answer.headers["location"]))
        assert check(found, 200)["id"] == made["id"]


@situation("an error names the path as it was sent")
def instance(site: Site) -> None:
    with site.client() as client:
        for path in (f"/api/{uuid4().hex}/tasks/{uuid4()}", f"/api/a%7C{uuid4().hex}/tasks/{uuid4()}"):
            members = check_problem(client.get(path), 404, "not_found")
            assert members["instance"] == site.prefix + path, members


@situation("X-Forwarded-Prefix that a client writes changes nothing")
def forged_prefix(site: Site) -> None:
    if site.proxy is None or "as it comes" in site.proxy.name or site.is_of("node"):
        raise NotHere("it passes the header on, as from a proxy before it")
    with site.client() as client:
        tasks = f"/api/{uuid4().hex}/tasks"
        answer = client.post(tasks, json={"title": "a"}, headers={"X-Forwarded-Prefix": "/elsewhere"})
        assert answer.headers["location"] == f"{site.prefix}{tasks}/{check(answer, 201)['id']}"


@situation("the pages lead to each other and to what they need")
def pages_of_the_api(site: Site) -> None:
    if site.proxy is not None and site.proxy.name == "vite":
        raise NotHere("it passes /api on alone")
    with site.client(follow_redirects=True) as client:
        docs = client.get("/")
        assert docs.url.path == f"{site.prefix}/docs"
        links = re.findall(r'(?:href|src|data-openapi)="([^"]*)"', docs.text)
        assert links
        for link in links:
            assert client.get(docs.url.join(link)).status_code == 200, link
        problem = client.get(f"/api/{uuid4().hex}/tasks/{uuid4()}")
        assert client.get(problem.url.join(problem.links["describedby"]["url"])).status_code == 200
