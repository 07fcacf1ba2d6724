"""What an app does all day, and how many connections it does it over."""

import re
import time
from concurrent.futures import ThreadPoolExecutor

from field.matrix import NotHere, Site, check, new_tasks, situation


@situation("create, read, change, toggle, delete, restore")
def lifecycle(site: Site) -> None:
    tasks = new_tasks()
    with site.client() as client:
        task = f"{tasks}/{check(client.post(tasks, json={'title': 'Buy milk'}), 201)['id']}"
        assert check(client.get(task), 200)["title"] == "Buy milk"
        assert check(client.patch(task, json={"title": "Buy bread"}), 200)["title"] == "Buy bread"
        assert check(client.put(task, json={"description": "On Sunday"}), 200)["title"] == "Buy bread"
        assert check(client.post(f"{task}/toggle"), 200)["completed"] is True
        assert check(client.post(f"{task}/toggle", json={"completed": True}), 200)["completed"] is True
        assert check(client.patch(f"{task}/complete"), 200)["completed"] is False
        check(client.delete(task), 204)
        check(client.get(task), 404)
        check(client.post(f"{task}/restore"), 200)
        check(
            client.post(f"{tasks}/batch", json={"operations": [{"op": "create", "task": {"title": "a"}}]}),
            200,
        )
        assert len(check(client.get(tasks), 200)) == 2
        assert check(client.delete(f"{tasks}?completed=false"), 200) == {"deleted": 2}
        assert len(check(client.get(f"{tasks}?deleted=true"), 200)) == 2


@situation("100 requests over one connection")
def keep_alive(site: Site) -> None:
    tasks = new_tasks()
    with site.client() as client:
        for number in range(50):
            check(client.post(tasks, json={"title": f"{number}"}), 201)
            assert len(check(client.get(f"{tasks}?limit=1"), 200)) == 1
        assert len(check(client.get(tasks), 200)) == 50


@situation("8 clients at once lose nothing")
def at_once(site: Site) -> None:
    tasks = new_tasks()

    def work(number: int) -> None:
        with site.client() as client:
            for turn in range(5):
                made = check(client.post(tasks, json={"title": f"{number}.{turn}"}), 201)
                check(client.patch(f"{tasks}/{made['id']}", json={"completed": True}), 200)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    with site.client() as client:
        found = check(client.get(f"{tasks}?completed=true"), 200)
    assert len({task["title"] for task in found}) == 40


@situation("requests sent together are answered in turn")
def pipelined(site: Site) -> None:
    if site.is_of("node"):
        raise NotHere("it closes the connection when the server closes its own")
    tasks = new_tasks()
    requests = []
    for number in range(5):
        body = f'{{"title": "title-{number}"}}'
        last = "Connection: close\r\n" if number == 4 else ""
        requests.append(
            f"POST {site.prefix}{tasks} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"{last}Content-Length: {len(body)}\r\n\r\n{body}"
        )
    answers = site.read_all("".join(requests))
    assert answers.count(b"HTTP/1.1 201") == 5, answers
    assert re.findall(rb'"title":"title-(.)"', answers) == [b"0", b"1", b"2", b"3", b"4"]


@situation("writes after silences of about 5 s", everywhere=None)
def after_silence(site: Site) -> None:
    """The server closes an idle connection after 5 s; a request that is sent just then must not be lost.

    Between a proxy and the server; Apache itself loses what a client sends as it closes, after 5 s as well.
    """
    headers = {} if site.proxy is None else {"Connection": "close"}

    def work(seconds: float) -> None:
        tasks = new_tasks()
        with site.client() as client:
            check(client.post(tasks, json={"title": "before"}, headers=headers), 201)
            time.sleep(seconds)
            check(client.post(tasks, json={"title": "after"}), 201)

    with ThreadPoolExecutor(21) as threads:
        list(threads.map(work, (4.9 + number / 100 for number in range(21))))
