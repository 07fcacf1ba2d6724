"""The picture in the README shows what the server says today."""

import re

from tests.docs.picture import PICTURE, session, svg

# Ids, times, the position of a new task, which is made of the time, and white space.
_CHANGING = re.compile(r"[0-9a-f-]{30,36}|\d{4}-\d\d-\d\dT[\d:.]+Z|\bi[0-9A-Za-z]{9}\b|[\s]+")


def test_what_it_shows_is_what_is_printed() -> None:
    shown, printed = (_CHANGING.sub("", text) for text in (PICTURE.read_text(), svg(session())))
    assert shown == printed
