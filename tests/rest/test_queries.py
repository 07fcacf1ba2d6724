"""What a list can be asked for: filters, orders, pages, a count."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta, timezone
from itertools import permutations, product
from operator import itemgetter
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import httpx2
import pytest

from harness.databases import new_postgres_database
from harness.responses import create, violation
from harness.servers import LocalServer, local_server
from harness.side_effects import execute, instant
from taskwell.core.settings import Settings

Task = dict[str, Any]
KEYS = ("created_at", "updated_at", "title", "completed")
EXACT = {"Prefer": "count=exact"}
DAY = datetime(2026, 3, 1, 12, tzinfo=UTC)
INSTANTS = ("created_after", "created_before", "updated_after", "updated_before")


def ask(client: httpx2.Client, tasks: str, **query: str) -> list[Task]:
    answer = client.get(tasks, params=query)
    assert answer.status_code == 200, answer.text
    found: list[Task] = answer.json()
    return found


def titles(client: httpx2.Client, tasks: str, **query: str) -> list[str]:
    return [task["title"] for task in ask(client, tasks, **query)]


def pages(client: httpx2.Client, path: str) -> Iterator[list[Task]]:
    while path:
        answer = client.get(path)
        assert answer.status_code == 200, answer.text
        yield answer.json()
        path = answer.links.get("next", {}).get("url", "")


class TestCompletion:
    ANSWERS: tuple[tuple[dict[str, str], list[str]], ...] = (
        ({}, ["done", "open"]),
        ({"completed": "true"}, ["done"]),
        ({"completed": "false"}, ["open"]),
        ({"status": "all"}, ["done", "open"]),
        ({"status": "completed"}, ["done"]),
        ({"status": "pending"}, ["open"]),
        ({"status": "all", "completed": "true"}, ["done"]),
        ({"status": "pending", "completed": "false"}, ["open"]),
    )

    def test_tasks_can_be_asked_for_by_it(
        self, client: httpx2.Client, tasks: str, subtests: pytest.Subtests
    ) -> None:
        create(client, tasks, title="open")
        create(client, tasks, title="done", completed=True)
        for query, found in self.ANSWERS:
            with subtests.test(query=query, found=found):
                assert titles(client, tasks, **query) == found

    @pytest.mark.parametrize(("status", "completed"), [("pending", "true"), ("completed", "false")])
    def test_a_contradiction_is_refused(
        self, client: httpx2.Client, tasks: str, status: str, completed: str
    ) -> None:
        answer = client.get(tasks, params={"status": status, "completed": completed})
        assert violation(answer) == {
            "parameter": "status",
            "code": "contradiction",
            "detail": "contradicts completed",
        }

    NOT_UNDERSTOOD = (
        *(
            ("completed", value)
            for value in ("2", "null", "undefined", "truee", "true,false", "-1", "\uff11")
        ),
        *(("status", value) for value in ("closed", "all,pending", "true", "pend\u0131ng")),
        *(("deleted", value) for value in ("only", "with", "01")),
    )

    def test_what_is_not_understood_is_refused(
        self, client: httpx2.Client, tasks: str, subtests: pytest.Subtests
    ) -> None:
        for name, value in self.NOT_UNDERSTOOD:
            with subtests.test(name=name, value=value):
                assert violation(client.get(tasks, params={name: value}))["parameter"] == name


class TestText:
    @pytest.mark.parametrize(
        ("title", "q"),
        [
            ("Buy MILK today", "milk"),
            ("buy milk", "Y MI"),
            ("Straße", "STRASSE"),
            ("STRASSE", "straß"),
            ("İstanbul", "i\u0307stanbul"),
            ("İstanbul", "İSTAN"),
            ("ΟΔΥΣΣΕΥΣ", "Οδυσσευς"),
            ("οδυσσευς", "ΣΣΕΥΣ"),
            ("ÉCLAIR", "éclair"),
            ("ПОЗВОНИТЬ", "позвонить"),
            ("牛乳を買う", "牛乳"),
            ("🥛🥛", "🥛"),
        ],
    )
    def test_is_found_whatever_its_case(self, client: httpx2.Client, tasks: str, title: str, q: str) -> None:
        create(client, tasks, title="Something else")
        create(client, tasks, title=title)
        create(client, tasks, title="By its description", description=f"two lines\n{title}")
        assert titles(client, tasks, q=q) == ["By its description", title]

    NORMAL_FORMS = (
        ("Caf\u00e9", "Cafe\u0301"),
        ("CAFE\u0301", "caf\u00e9"),
        ("e\u0301 \u00e9", "\u00e9 e\u0301"),  # either form in one text
        ("vi\u1ec7t", "vie\u0323\u0302t"),
        ("vi\u1ec7t", "vi\u00ea\u0323t"),  # neither form, as some keyboards write it
        ("\u212bngstr\u00f6m", "A\u030angstro\u0308m"),
        ("\ud55c\uae00", "\u1112\u1161\u11ab\u1100\u1173\u11af"),
        ("\u304c", "\u304b\u3099"),
        ("\u0130zmir", "I\u0307ZMIR"),
        ("\u0390", "\u03b9\u0308\u0301"),
        ("\u1fb3", "\u03b1\u0345"),
    )

    def test_is_found_in_either_normal_form(
        self, client: httpx2.Client, tasks: str, subtests: pytest.Subtests
    ) -> None:
        for text, other in self.NORMAL_FORMS:
            with subtests.test(text=text, other=other):
                for first, second in ((text, other), (other, text)):
                    client.delete(tasks)
                    create(client, tasks, title="Something else")
                    create(client, tasks, title=f"Buy {first} today", description=f"two lines\n{first}")
                    create(client, tasks, description=f"two lines\n{first}, that is")
                    assert len(titles(client, tasks, q=second)) == len(titles(client, tasks, q=first)) == 2
                    assert titles(client, tasks, q=f"buy {second} TODAY") == [f"Buy {first} today"]
                    assert len(titles(client, tasks, q=second, limit="1")) == 1
                    assert client.delete(tasks, params={"q": second}).json() == {"deleted": 2}

    def test_a_change_is_found_in_either_normal_form(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks)
        client.patch(f"{tasks}/{task['id']}", json={"title": "Cafe\u0301", "description": "Ko\u0308ln"})
        assert titles(client, tasks, q="caf\u00e9") == titles(client, tasks, q="k\u00f6") == ["Cafe\u0301"]

    @pytest.mark.parametrize("q", ["\uff4d\uff49\uff4c\uff4b", "m\u00b2", "cafe", "caf\u00e8"])
    def test_other_letters_are_not_found(self, client: httpx2.Client, tasks: str, q: str) -> None:
        create(client, tasks, title="Caf\u00e9 milk m2")
        assert titles(client, tasks, q=q) == []

    def test_dotted_and_dotless_i_are_two_letters(self, client: httpx2.Client, tasks: str) -> None:
        create(client, tasks, title="\u0131s\u0131")
        assert titles(client, tasks, q="isi") == []
        assert titles(client, tasks, q="ISI") == []
        assert titles(client, tasks, q="\u0131s\u0131") == ["\u0131s\u0131"]

    def test_what_differs_in_more_than_case_is_not_found(self, client: httpx2.Client, tasks: str) -> None:
        create(client, tasks, title="Buy milk", description="Two bottles")
        assert titles(client, tasks, q="milks") == []
        assert titles(client, tasks, q="milktwo") == []
        assert titles(client, tasks, q="buymilk") == []

    MARKS = ("%", "_", "\\", "/", "'", '"', "*", "?", "[", "]", "^", "-", ";", "|")

    def test_no_character_stands_for_others(
        self, client: httpx2.Client, tasks: str, subtests: pytest.Subtests
    ) -> None:
        create(client, tasks, title="axb")
        for mark in self.MARKS:
            with subtests.test(mark=mark):
                create(client, tasks, title=f"a{mark}b")
                assert titles(client, tasks, q=f"a{mark}b") == [f"a{mark}b"]
                assert titles(client, tasks, q=mark) == [f"a{mark}b"]

    @pytest.mark.parametrize("q", ["\\%", "/_", "//", "%%", "\\\\", "/\\%_"])
    def test_several_characters_stand_for_themselves(self, client: httpx2.Client, tasks: str, q: str) -> None:
        create(client, tasks, title="%_/\\ but not like this")
        create(client, tasks, title=f"50 {q} of it")
        assert titles(client, tasks, q=q) == [f"50 {q} of it"]

    @pytest.mark.parametrize("q", ["", "  ", "\t", "\u00a0"])
    def test_a_blank_one_is_no_filter(self, client: httpx2.Client, tasks: str, q: str) -> None:
        create(client, tasks)
        assert titles(client, tasks, q=q) == ["Buy milk"]

    def test_white_space_around_it_does_not_count(self, client: httpx2.Client, tasks: str) -> None:
        create(client, tasks, title="Buy milk")
        assert titles(client, tasks, q=" milk ") == ["Buy milk"]

    def test_has_at_most_200_characters(self, client: httpx2.Client, tasks: str) -> None:
        create(client, tasks, title="ß" * 200)
        assert titles(client, tasks, q="ß" * 200) == ["ß" * 200]
        assert violation(client.get(tasks, params={"q": "x" * 201}))["code"] == "too_long"

    @pytest.mark.parametrize("q", ["a\nb", "\x07x"])
    def test_is_on_one_line(self, client: httpx2.Client, tasks: str, q: str) -> None:
        assert violation(client.get(tasks, params={"q": q}))["code"] == "invalid_text"

    def test_a_changed_text_is_found_as_it_is_now(self, client: httpx2.Client, tasks: str) -> None:
        task = create(client, tasks, title="Milk", description="Bottle")
        client.patch(f"{tasks}/{task['id']}", json={"title": "BREAD", "description": None})
        assert titles(client, tasks, q="milk") == titles(client, tasks, q="bottle") == []
        assert titles(client, tasks, q="bread") == ["BREAD"]


class TestInstants:
    @pytest.mark.parametrize("name", ["created", "updated"])
    def test_bounds_are_exclusive(self, client: httpx2.Client, tasks: str, name: str) -> None:
        first, second, third = (create(client, tasks) for _ in range(3))
        at = [task[f"{name}_at"] for task in (first, second, third)]

        def found(**query: str) -> list[Task]:
            return ask(client, tasks, **{f"{name}_{bound}": text for bound, text in query.items()})

        assert found(after=at[1]) == [third]
        assert found(before=at[1]) == [first]
        assert found(after=at[0], before=at[2]) == [second]
        assert found(after=at[1], before=at[1]) == []
        assert found(after=at[2], before=at[0]) == []

    def test_a_change_moves_a_task_in_one_of_them(self, client: httpx2.Client, tasks: str) -> None:
        old, new = create(client, tasks), create(client, tasks)
        changed = client.patch(f"{tasks}/{old['id']}", json={"title": "Buy bread"}).json()
        assert ask(client, tasks, updated_after=new["updated_at"]) == [changed]
        assert ask(client, tasks, created_after=old["created_at"]) == [new]

    def test_an_offset_is_the_same_instant(self, client: httpx2.Client, tasks: str) -> None:
        first, second = create(client, tasks), create(client, tasks)
        at = datetime.fromisoformat(first["created_at"])
        for hours in (-23, 0, 2, 5.75):
            zone = timedelta(hours=hours)
            written = (at + zone).replace(tzinfo=None).isoformat(timespec="microseconds")
            sign, minutes = "-" if hours < 0 else "+", int(abs(hours) * 60)
            offset = f"{sign}{minutes // 60:02d}:{minutes % 60:02d}"
            assert ask(client, tasks, created_after=written + offset) == [second]

    READ = (
        "2026-03-01T12:00:00Z", "2026-03-01t12:00:00z", "2026-03-01T12:00:00.1Z", "1900-01-02T00:00:00Z",
        "2026-03-01T12:00:00.1234567Z", "2026-03-01T12:00:00.123456789123456789Z", "2026-03-01 12:00:00Z",
        "2026-03-01 12:00:00.5z", "2026-03-01T12:00:00-00:00", "2026-03-01T12:00:00+23:59",
        "2026-03-01T12:00:00-23:59", "2025-12-31T23:59:60Z", "2025-12-31T18:29:60.25-05:30",
    )  # fmt: skip

    def test_every_form_of_rfc_3339_is_read(
        self, client: httpx2.Client, tasks: str, subtests: pytest.Subtests
    ) -> None:
        task = create(client, tasks)
        for text in self.READ:
            with subtests.test(text=text):
                assert ask(client, tasks, created_after=text) == [task]
                assert ask(client, tasks, created_before=text) == []

    def test_more_digits_than_six_are_cut(self, client: httpx2.Client, tasks: str) -> None:
        first, second = create(client, tasks), create(client, tasks)
        at = first["created_at"].removesuffix("Z")
        for text in (f"{at}0Z", f"{at}9Z", f"{at}999999999999z"):
            assert ask(client, tasks, created_after=text) == [second]
            assert ask(client, tasks, created_before=text) == []

    def test_a_plus_that_is_not_encoded_is_a_plus(self, client: httpx2.Client, tasks: str) -> None:
        """Everybody writes it so at first, and it arrives as a space, which can mean nothing else."""
        first, second = create(client, tasks), create(client, tasks)
        at = datetime.fromisoformat(first["created_at"])
        for hours in (0, 2, 5.75):
            zone = timezone(timedelta(hours=hours))
            written = at.astimezone(zone).isoformat(timespec="microseconds")
            assert "+" in written
            for text in (written, written.replace("T", "+")):
                assert client.get(f"{tasks}?created_after={text}").json() == [second]

    def test_a_leap_second_is_the_one_that_follows(self, client: httpx2.Client, tasks: str) -> None:
        created = create(client, tasks)
        for second in ("2025-12-31T23:59:60Z", "2026-01-01T01:59:60+02:00"):
            assert ask(client, tasks, created_after=second) == [created]

    REFUSED = (
        "now", "2026-03-01", "2026-03-01T12:00:00", "2026-03-01 12:00:00", "2026-03-01T12:00Z",
        "2026-02-30T12:00:00Z", "2026-03-01T24:00:01Z", "2026-03-01T12:00:60Z", "2026-03-01T12:00:00+0200",
        "2026-03-01T12:00:00  02:00", "2026-03-01T12:00:00+25:00", "2026-03-01T12:00:00+00:60",
        "2026-03-01T12:00:00.Z", "2026-03-01T12:00:00,5Z", "2026-03-01T12:00:00+24:00",
        "2026-03-01_12:00:00Z", "2026-03-01T12:00:61Z", "2026-03-01T12:00:00 Z",
        "2026-03-01T23:59:60+02:00", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+00:01",
        "0000-01-01T00:00:00Z", "9999-12-31T23:59:59-23:00", "9999-12-31T23:59:60Z",
        "9999-12-31T23:59:59.9999999-00:01", "1900-01-01T00:00:00+00:01", "2199-12-31T23:59:60Z",
        "1767225600", "٢٠٢٦-03-01T12:00:00Z",
    )  # fmt: skip

    def test_anything_else_is_refused(
        self, client: httpx2.Client, user: str, subtests: pytest.Subtests
    ) -> None:
        for name in INSTANTS:
            for text in self.REFUSED:
                with subtests.test(name=name, text=text):
                    found = violation(client.get(f"/api/{user}/tasks", params={name: text}))
                    assert (found["parameter"], found["code"]) == (name, "invalid_instant")


class TestSort:
    @pytest.fixture
    def made(self, client: httpx2.Client, tasks: str) -> dict[str, Task]:
        """Four tasks with ties in every key but one."""
        made = {
            "b": create(client, tasks, title="b"),
            "A": create(client, tasks, title="A", completed=True),
            "B": create(client, tasks, title="B", completed=True),
            "c": create(client, tasks, title="c"),
        }
        made["b"] = client.patch(f"{tasks}/{made['b']['id']}", json={"description": "changed"}).json()
        return made

    ORDERS = (
        ("created_at", "bABc"),
        ("-created_at", "cBAb"),
        ("updated_at", "ABcb"),
        ("-updated_at", "bcBA"),
        ("title", "ABbc"),
        ("-title", "cBbA"),
        ("completed", "cbBA"),
        ("-completed", "BAcb"),
        ("completed,title", "bcAB"),
        ("-completed,-title", "BAcb"),
        ("title,created_at", "AbBc"),
        ("-title,updated_at", "cBbA"),
        ("completed,-updated_at", "bcBA"),
        ("completed,created_at,title,updated_at", "bcAB"),
    )

    def test_is_by_each_key_then_newest_first(
        self, client: httpx2.Client, tasks: str, made: dict[str, Task], subtests: pytest.Subtests
    ) -> None:
        for sort, order in self.ORDERS:
            with subtests.test(sort=sort, order=order):
                assert ask(client, tasks, sort=sort) == [made[title] for title in order]

    def test_titles_are_by_the_code_points_of_their_folded_form(
        self, client: httpx2.Client, tasks: str
    ) -> None:
        words = [
            "Zebra", "apple", "Äpfel", "_", "10", "9", "Strasse", "straße", "STRASZE", "ω", "Σ", "ς", "🥛",
            "\uffee", "a b", "a-b", "ab", "Éa", "ea", "牛", "e\u0301", "e\u0301a", "\u00e9",
            "\u0390", "\u03b1", "\u1fb3", "\u01f0", "j", "ja",
        ]  # fmt: skip
        for word in words:
            create(client, tasks, title=word)
        found = titles(client, tasks, sort="title")
        assert [word.casefold() for word in found] == sorted(word.casefold() for word in words)
        assert found.index("straße") < found.index("Strasse")  # a tie: the newest first
        assert found.index("ς") < found.index("Σ")

    NOT_UNDERSTOOD = (
        "-", "id", "version", "title,", ",title", "title,title", "title,-title", "created,createdAt",
        "--title", "-title:desc", "title:down", "title,desc", "title created_at", "title;drop", "desc",
        "titl\u0435",
    )  # fmt: skip

    def test_what_is_not_understood_is_refused(
        self, client: httpx2.Client, tasks: str, subtests: pytest.Subtests
    ) -> None:
        for sort in self.NOT_UNDERSTOOD:
            with subtests.test(sort=sort):
                found = violation(client.get(tasks, params={"sort": sort}))
                assert (found["parameter"], found["code"]) == ("sort", "invalid_sort")


class TestOtherWords:
    """What clients of other APIs say, which has one meaning here."""

    @pytest.fixture
    def made(self, client: httpx2.Client, tasks: str) -> str:
        create(client, tasks, title="open")
        create(client, tasks, title="done", completed=True)
        create(client, tasks, title="also open")
        return tasks

    TRUE = ("true", "True", "TRUE", "1", "yes", "on", "t", "Y")
    FALSE = ("false", "False", "FALSE", "0", "no", "off", "f", "N")

    SYNONYMS = (
        *(({"completed": word}, {"completed": "true"}) for word in TRUE),
        *(({"completed": word}, {"completed": "false"}) for word in FALSE),
        *(({"deleted": word}, {"deleted": "true"}) for word in TRUE),
        *(({"deleted": word}, {}) for word in FALSE),
        *(
            ({"status": word}, {"status": "pending"})
            for word in ("Pending", "PENDING", "Active", "incomplete", "todo")
        ),
        *(({"status": word}, {"status": "completed"}) for word in ("Completed", "complete", "Done")),
        ({"status": "All"}, {}),
        ({"search": "OPEN"}, {"q": "OPEN"}),
        ({"query": "also"}, {"q": "also"}),
        ({"createdAfter": "2026-01-01T00:00:00Z"}, {"created_after": "2026-01-01T00:00:00Z"}),
        ({"updatedBefore": "2026-01-01T00:00:00Z"}, {"updated_before": "2026-01-01T00:00:00Z"}),
        *(
            ({"sort": word}, {"sort": "created_at"})
            for word in (
                "created",
                "created_date",
                "createdAt",
                "CreatedDate",
                "date_created",
                "created_on",
                "created_at:asc",
                "created asc",
                "+created_at",
                " created_at",
            )
        ),
        *(
            ({"sort": word}, {"sort": "-updated_at"})
            for word in (
                "-updated",
                "-updatedAt",
                "-updated_date",
                "-modified",
                "-lastModified",
                "updated_at:desc",
                "updated_at DESC",
            )
        ),
        ({"sort": "Completed, Title"}, {"sort": "completed,title"}),
        ({"sort": "completed:desc,title"}, {"sort": "-completed,title"}),
        *(
            ({name: "-title"}, {"sort": "-title"})
            for name in ("sort_by", "sortBy", "order_by", "orderBy", "ordering")
        ),
        ({"sort": "title", "order": "desc"}, {"sort": "-title"}),
        ({"sort": "title", "order": "ASC"}, {"sort": "title"}),
        ({"sortBy": "title", "sortOrder": "descending"}, {"sort": "-title"}),
        ({"sort": "completed,title", "sort_order": "desc"}, {"sort": "-completed,-title"}),
        ({"sort": "-title", "order": "desc"}, {"sort": "-title"}),
        ({"order": "asc"}, {"sort": "created_at"}),
        ({"order": "desc"}, {}),
        *(
            ({name: ""}, {})
            for name in (
                "completed",
                "deleted",
                "status",
                "q",
                "search",
                "sort",
                "order",
                "limit",
                "cursor",
                *INSTANTS,
                "createdAfter",
            )
        ),
        (
            {"completed": "", "status": "done", "q": "", "limit": "", "cursor": "", "sort": ""},
            {"status": "completed"},
        ),
    )

    def test_mean_the_same(self, client: httpx2.Client, made: str, subtests: pytest.Subtests) -> None:
        for other, own in self.SYNONYMS:
            with subtests.test(other=other, own=own):
                expected = client.get(made, params=own)
                assert expected.status_code == 200
                for headers in ({}, {}, {"Prefer": "handling=strict"}):
                    answer = client.get(made, params=other, headers=headers)
                    assert (answer.status_code, answer.json()) == (200, expected.json())
                    assert answer.headers["etag"] == expected.headers["etag"]

    OF_PAGES = (
        "search=o&limit=1", "status=Open&limit=1&cursor=", "completed=0&limit=1&q=",
        "orderBy=title&limit=1", "sort=title&order=desc&limit=1",
    )  # fmt: skip

    def test_hold_for_pages_too(self, client: httpx2.Client, made: str, subtests: pytest.Subtests) -> None:
        for query in self.OF_PAGES:
            with subtests.test(query=query):
                expected = client.get(made, params=query.replace("limit=1", "")).json()
                for _ in range(3):  # from a known client by the short way
                    assert [task for page in pages(client, f"{made}?{query}") for task in page] == expected

    @pytest.mark.parametrize(
        ("query", "left"),
        [
            ("search=also", ["done", "open"]),
            ("completed=True", ["also open", "open"]),
            ("completed=0", ["done"]),
            ("status=Active", ["done"]),
            ("status=done&query=n", ["also open", "open"]),
            ("createdBefore=2026-01-01T00:00:00Z", ["also open", "done", "open"]),
        ],
    )
    def test_say_which_tasks_are_deleted(
        self, client: httpx2.Client, made: str, query: str, left: list[str]
    ) -> None:
        assert client.delete(f"{made}?{query}").status_code == 200
        assert titles(client, made) == left

    SLIPS = (
        *((f"{name}=", "blank") for name in ("completed", "q", "search", "status", "createdAfter")),
        ("completed=%20", "blank"),
        ("completed=true&q=", "blank"),
        ("filter=completed", "unknown_parameter"),
        ("done=true", "unknown_parameter"),
        ("deleted=", "unknown_parameter"),
        ("sort=title", "unknown_parameter"),
        ("Completed=true", "unknown_parameter"),
        ("search=a&q=b", "repeated"),
        ("completed=si", "invalid_flag"),
    )

    def test_a_slip_deletes_nothing(
        self, client: httpx2.Client, made: str, subtests: pytest.Subtests
    ) -> None:
        for query, code in self.SLIPS:
            with subtests.test(query=query, code=code):
                assert violation(client.delete(f"{made}?{query}"))["code"] == code
                assert len(titles(client, made)) == 3

    CONTRADICTIONS = (
        ("search=a&q=b", "q", "repeated"),
        ("search=a&query=a", "q", "repeated"),
        (
            "created_after=2026-01-01T00:00:00Z&createdAfter=2026-01-02T00:00:00Z",
            "created_after",
            "repeated",
        ),
        ("sort=title&orderBy=completed", "sort", "repeated"),
        ("sort=-title&order=asc", "order", "contradiction"),
        ("sort=title:asc,completed&order=desc", "order", "contradiction"),
        ("order=title", "order", "invalid_order"),
        ("status=done&completed=0", "status", "contradiction"),
    )

    def test_contradictions_are_refused(
        self, client: httpx2.Client, made: str, subtests: pytest.Subtests
    ) -> None:
        for query, parameter, code in self.CONTRADICTIONS:
            with subtests.test(query=query, parameter=parameter, code=code):
                found = violation(client.get(f"{made}?{query}"))
                assert (found["parameter"], found["code"]) == (parameter, code)

    def test_an_empty_value_is_none_of_a_feed_either(self, client: httpx2.Client, made: str) -> None:
        feed = made.replace("/tasks", "/changes")
        assert client.get(f"{feed}?since=&limit=").json() == client.get(feed).json()

    def test_are_not_in_the_document(self, client: httpx2.Client) -> None:
        (listing,) = [
            operation["get"]
            for path, operation in client.get("/openapi.json").json()["paths"].items()
            if path == "/api/tasks"
        ]
        names = {parameter["name"] for parameter in listing["parameters"]}
        assert not names & {"search", "query", "order", "sort_by", "createdAfter"}


class TestPages:
    @pytest.fixture
    def tied(self, client: httpx2.Client, server: LocalServer, user: str) -> str:
        """Twelve tasks of which no key tells all apart."""
        tasks = f"/api/{user}/tasks"
        for number in range(12):
            create(client, tasks, title="aAbß"[number % 4], completed=number % 3 == 0)
        for name, ways in (("created_at", 2), ("updated_at", 5)):
            for way in range(ways):
                at = instant(server.settings, DAY + timedelta(microseconds=way))
                execute(
                    server.settings,
                    f"UPDATE tasks SET {name} = {at} WHERE user_id = '{user}' AND version % {ways} = {way}",
                )
        return tasks

    @pytest.mark.slow
    @pytest.mark.parametrize("count", range(1, len(KEYS) + 1))
    def test_under_every_order_they_meet_each_task_once(
        self, client: httpx2.Client, tied: str, count: int
    ) -> None:
        orders = list(product(permutations(KEYS, count), product(("", "-"), repeat=count)))
        # All 56 of one and two keys; of more, every permutation and every choice of directions.
        for keys, signs in orders if count < 3 else orders[:: 2**count + 1] + orders[: 2**count]:
            sort = ",".join(sign + key for sign, key in zip(signs, keys, strict=True))
            met = [task for page in pages(client, f"{tied}?sort={sort}&limit=5") for task in page]
            assert met == ask(client, tied, sort=sort), sort
            assert len({task["id"] for task in met}) == 12

    @pytest.mark.parametrize("title", ["🥛" * 200, "ΐ" * 200, "\U00010400" * 200])
    def test_the_longest_titles_have_cursors_too(self, client: httpx2.Client, tasks: str, title: str) -> None:
        for _ in range(3):
            create(client, tasks, title=title)
        found = list(pages(client, f"{tasks}?sort=title&limit=1"))
        assert [task for page in found for task in page] == ask(client, tasks, sort="title")

    def test_the_link_keeps_the_query(self, client: httpx2.Client, tasks: str) -> None:
        for number in range(4):
            create(client, tasks, title=f"50 % & more ü {number}", completed=number % 2 == 0)
        query = {"q": "% & MORE Ü", "sort": "completed,-title", "created_after": "2026-01-01T00:00:00+02:00"}
        limited = query | {"limit": "1"}
        answer = client.get(tasks, params=limited)
        following = httpx2.URL(answer.links["next"]["url"])
        assert following.path == tasks
        assert dict(following.params.multi_items()) == limited | {"cursor": following.params["cursor"]}
        met = list(pages(client, str(following)))
        assert answer.json() + [task for page in met for task in page] == ask(client, tasks, **query)

    def test_the_link_keeps_what_it_does_not_know(self, client: httpx2.Client, tasks: str) -> None:
        for _ in range(2):
            create(client, tasks)
        following = client.get(f"{tasks}?limit=1&page=%26x").links["next"]["url"]
        assert httpx2.URL(following).params["page"] == "&x"

    OTHERS = (
        {"sort": "title"}, {"sort": "-completed"}, {"completed": "false"}, {"status": "pending"},
        {"q": "milk"}, {"deleted": "true"}, *({name: "2026-03-01T12:00:00Z"} for name in INSTANTS),
    )  # fmt: skip

    def test_a_cursor_is_bound_to_its_filters_and_order(
        self, client: httpx2.Client, tasks: str, subtests: pytest.Subtests
    ) -> None:
        for _ in range(2):
            create(client, tasks)
        cursor = httpx2.URL(client.get(f"{tasks}?limit=1").links["next"]["url"]).params["cursor"]
        assert len(ask(client, tasks, cursor=cursor)) == 1
        for other in self.OTHERS:
            with subtests.test(other=other):
                answer = client.get(tasks, params={"cursor": cursor, "limit": "1", **other})
                assert violation(answer) == {
                    "parameter": "cursor",
                    "code": "invalid_cursor",
                    "detail": "is not a cursor of this list; start again without it",
                }

    def test_the_size_of_a_page_may_change_on_the_way(self, client: httpx2.Client, tasks: str) -> None:
        made = [create(client, tasks)["id"] for _ in range(6)]
        cursor = httpx2.URL(client.get(f"{tasks}?limit=1").links["next"]["url"]).params["cursor"]
        found = ask(client, tasks, cursor=cursor, limit="3")
        assert [task["id"] for task in found] == made[4:1:-1]

    def test_a_task_that_leaves_the_filter_is_not_met_again(self, client: httpx2.Client, tasks: str) -> None:
        made = [create(client, tasks) for _ in range(4)]
        answer = client.get(f"{tasks}?completed=false&limit=2")
        client.post(f"{tasks}/{made[1]['id']}/toggle")
        assert list(pages(client, answer.links["next"]["url"])) == [[made[0]]]


class TestCount:
    COUNTS = (("", 7), ("?limit=2", 7), ("?completed=true&limit=2", 3), ("?q=none", 0), ("?deleted=true", 1))

    def test_is_told_when_asked_for(
        self, client: httpx2.Client, tasks: str, subtests: pytest.Subtests
    ) -> None:
        made = [create(client, tasks, completed=number < 3) for number in range(8)]
        client.delete(f"{tasks}/{made[7]['id']}")
        for query, count in self.COUNTS:
            with subtests.test(query=query, count=count):
                answer = client.get(tasks + query, headers=EXACT)
                assert answer.headers["x-total-count"] == str(count)
                assert answer.headers["preference-applied"] == "count=exact"

    def test_is_of_the_whole_list_on_every_page(self, client: httpx2.Client, tasks: str) -> None:
        for _ in range(3):
            create(client, tasks)
        following = client.get(f"{tasks}?limit=2").links["next"]["url"]
        assert client.get(following, headers=EXACT).headers["x-total-count"] == "3"

    def test_is_not_told_otherwise(self, client: httpx2.Client, tasks: str) -> None:
        answer = client.get(tasks, headers={"Prefer": "count=none"})
        assert "x-total-count" not in answer.headers
        assert "preference-applied" not in answer.headers

    def test_goes_with_strict_handling(self, client: httpx2.Client, tasks: str) -> None:
        answer = client.get(tasks, headers={"Prefer": "count=exact, handling=strict"})
        applied = {part.strip() for part in answer.headers["preference-applied"].split(",")}
        assert applied == {"count=exact", "handling=strict"}


WORDS = (
    "Buy milk", "buy MILK", "Straße", "STRASSE", "İzmir", "ΣΊΣΥΦΟΣ", "σίσυφος", "50 % off", "a_b", "c\\d",
    "e/f", "🥛", "Zoë", "牛乳",
)  # fmt: skip
DESCRIPTIONS = (None, "", "Two bottles\nof milk", "100% Σίσυφος", "straße 7", "a_b/c\\d", "MILK")


def seed(server: LocalServer, client: httpx2.Client) -> None:
    """The same tasks on every server: ids, times and numbers included; every eighth is in the trash."""
    operations: list[dict[str, Any]] = [
        {
            "op": "create",
            "id": str(UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128)),
            "task": {
                "title": f"{WORDS[number % 14]}{number % 5 or ''}",
                "description": DESCRIPTIONS[number % 7],
                "completed": number % 3 == 0,
                "position": f"i{number:09}",  # else of the clock
            },
        }
        for number in range(200)
    ]
    operations += [{"op": "delete", "id": operation["id"]} for operation in operations[::8]]
    answer = client.post("/api/parity/tasks/batch", json={"operations": operations})
    assert answer.status_code == 200, answer.text
    where = "WHERE user_id = 'parity' AND version"
    for way in range(11):
        at = instant(server.settings, DAY + timedelta(hours=way, microseconds=way))
        execute(
            server.settings, f"UPDATE tasks SET created_at = {at}, updated_at = {at} {where} % 11 = {way}"
        )
    for way in range(7):
        at = instant(server.settings, DAY + timedelta(days=1, hours=way))
        execute(server.settings, f"UPDATE tasks SET updated_at = {at} {where} % 13 = {way}")
    at = instant(server.settings, DAY + timedelta(days=2))
    execute(
        server.settings,
        f"UPDATE tasks SET completed_at = {at} WHERE user_id = 'parity' AND completed",
        "UPDATE tasks SET position = 'i8DhyrHb7o' WHERE user_id = 'parity'",
        f"UPDATE tasks SET deleted_at = {at} WHERE user_id = 'parity' AND deleted_at IS NOT NULL",
    )


def expected(tasks: list[Task], query: dict[str, str]) -> list[str]:
    """The ids that a query finds, told without SQL."""
    found = sorted(tasks, key=itemgetter("created_at", "id"), reverse=True)
    if q := query.get("q", "").strip().casefold():
        found = [
            task
            for task in found
            if q in task["title"].casefold() or q in (task["description"] or "").casefold()
        ]
    wanted = query.get("completed") or {"pending": "false", "completed": "true"}.get(query.get("status", ""))
    if wanted:
        found = [task for task in found if task["completed"] == (wanted == "true")]
    for name in INSTANTS:
        if name in query:
            found = [task for task in found if _is_within(task, name, query[name])]
    for key in reversed(query["sort"].split(",") if "sort" in query else []):
        name = key.removeprefix("-")
        found = sorted(found, key=_SORTED_BY[name], reverse=key != name)
    return [task["id"] for task in found]


def _is_within(task: Task, name: str, bound: str) -> bool:
    which, _, side = name.partition("_")
    at, limit = datetime.fromisoformat(task[f"{which}_at"]), datetime.fromisoformat(bound)
    return at > limit if side == "after" else at < limit


_SORTED_BY: dict[str, Callable[[Task], Any]] = {
    **{name: itemgetter(name) for name in KEYS},
    "title": lambda task: task["title"].casefold(),
}

QUERIES: list[dict[str, str]] = [
    {},
    *(
        {"q": q}
        for q in (
            "milk", "MILK", "ss", "ß", "STRASSE", "σίσυφος", "ΣΊΣΥΦΟΣ", "ς", "i", "İ", "i\u0307", "%", "_",
            "\\", "/", "/c", "a_b", "0 %", "🥛", "zoë", "zoe", "牛", "of milk", "nothing", " 7 ", "ΰ",
        )
    ),
    *({"sort": sign + key} for sign in ("", "-") for key in KEYS),
    *(
        {"sort": sort}
        for sort in (
            "completed,title", "-completed,-title", "title,-updated_at", "updated_at,-created_at",
            "-updated_at,completed,title", "completed,-created_at,title,updated_at",
        )
    ),
    *({"status": status} for status in ("all", "pending", "completed")),
    *({"completed": "true", "sort": sort} for sort in ("title", "-title", "updated_at")),
    {"created_after": "2026-03-01T15:00:00.000003Z"},
    {"created_before": "2026-03-01T15:00:00.000003Z"},
    {"created_after": "2026-03-01T15:00:00.000002Z", "created_before": "2026-03-01T17:00:00.000006+01:00"},
    {"updated_after": "2026-03-02T14:00:00+02:00", "sort": "updated_at"},
    {"updated_before": "2026-03-02T12:00:00-03:00", "sort": "-updated_at,title"},
    {"updated_after": "2026-03-02T12:00:00Z", "updated_before": "2026-03-02T18:00:00Z", "q": "s"},
    {"q": "milk", "completed": "false", "sort": "title,created_at"},
    {"q": "milk", "status": "completed", "sort": "-created_at", "created_after": "2026-03-01T13:00:00Z"},
    {"q": "straße", "sort": "-title", "updated_before": "2026-03-02T00:00:00Z"},
    {"q": "  ", "status": "all", "sort": "completed"},
]  # fmt: skip


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[httpx2.Client]]:
    """A client of SQLite and one of PostgreSQL, with the same data behind them."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("parity")
        clients = []
        for url in (f"sqlite:///{folder}/test.db", stack.enter_context(new_postgres_database())):
            # What is in the trash is of some day, and must not be purged meanwhile.
            settings = Settings(database_url=url, trash_days=3_650)
            server = stack.enter_context(local_server(settings))
            # The batch that seeds it takes long on a busy machine.
            clients.append(stack.enter_context(httpx2.Client(base_url=server.url, timeout=60)))
            seed(server, clients[-1])
        yield clients


class TestBothDatabases:
    """They give the same answers, to the byte, and the ones that plain Python gives."""

    @pytest.fixture(params=["false", "true"], ids=["alive", "trash"])
    def deleted(self, request: pytest.FixtureRequest) -> str:
        deleted: str = request.param
        return deleted

    def test_agree(self, both: list[httpx2.Client], deleted: str, subtests: pytest.Subtests) -> None:
        for query in QUERIES:
            with subtests.test(query=query):
                answers = [
                    client.get("/api/parity/tasks", params={"deleted": deleted, **query}) for client in both
                ]
                assert answers[0].status_code == 200, answers[0].text
                assert answers[0].content == answers[1].content
                assert answers[0].headers["etag"] == answers[1].headers["etag"]
                everything = both[0].get("/api/parity/tasks", params={"deleted": deleted}).json()
                assert len(everything) == (25 if deleted == "true" else 175)
                assert [task["id"] for task in answers[0].json()] == expected(everything, query)

    def test_agree_on_every_page_and_link(self, both: list[httpx2.Client], subtests: pytest.Subtests) -> None:
        for query in QUERIES[::4]:
            with subtests.test(query=query):
                params = {"limit": "40", **query}
                found: list[list[tuple[bytes, str | None]]] = [[], []]
                for client, told in zip(both, found, strict=True):
                    path = f"/api/parity/tasks?{urlencode(params)}"
                    while path:
                        answer = client.get(path, headers=EXACT)
                        told.append((answer.content, answer.headers["x-total-count"]))
                        path = answer.links.get("next", {}).get("url", "")
                        told.append((path.encode(), None))
                assert found[0] == found[1]
