"""Live changes: one watcher per process, and one stream per connection.

The watcher polls the sequence numbers of the connected users: one query for all, and none without a
connection. A write of this process wakes it at once. It polls rather than listens, since a pooler forwards no
notifications.
"""

import asyncio
import contextlib
import math
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field, replace

from taskwell.core import strict_json
from taskwell.core.errors import Gone, Overloaded, TaskwellError
from taskwell.database.database import Database
from taskwell.schemas.change import Change, Reminded, TaskGone, change_json, reminded_json
from taskwell.schemas.task import TaskRead
from taskwell.services.changes import Cursor, EventPage, Start, list_events
from taskwell.services.sequence import last_numbers

_POLL_SECONDS = 0.5
_HEARTBEAT_SECONDS = 15.0
_CHUNK_EVENTS = 100
_BUFFERED_EVENTS = 256
_MAX_STREAMS = 5_000


@dataclass
class _Channel:
    """One user's latest known sequence number, and their latest events."""

    number: int
    streams: int = 0
    ended: bool = False
    # Events by sequence number; none is missing between `since` and `number`.
    since: int = 0
    events: deque[tuple[int, bytes]] = field(default_factory=lambda: deque(maxlen=_BUFFERED_EVENTS))
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, number: int, event: bytes) -> None:
        if len(self.events) == self.events.maxlen:
            self.since = self.events[0][0]
        self.events.append((number, event))
        self.number = number

    def announce(self) -> None:
        """Wake the waiting streams; later ones wait for the next event."""
        news, self.news = self.news, asyncio.Event()
        news.set()


class Feed:
    """The live changes of all users that are connected to this process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._channels: dict[str, _Channel] = {}
        self._woken = asyncio.Event()
        self._closed = False
        # The users with webhooks, and what a write of theirs calls.
        self.subscribers: set[str] = set()
        self.on_write: Callable[[str], None] = _ignore

    @property
    def users(self) -> int:
        return len(self._channels)

    @property
    def streams(self) -> int:
        return sum(channel.streams for channel in self._channels.values())

    def wake(self, user_id: str) -> None:
        """Wake the watcher and the deliverer of webhooks, since a write of this process was committed."""
        if user_id in self._channels:
            self._woken.set()
        if user_id in self.subscribers:
            self.on_write(user_id)

    def refuse_too_many(self) -> None:
        """Raises Overloaded: this process has the maximum number of streams."""
        if sum(channel.streams for channel in self._channels.values()) >= _MAX_STREAMS:
            raise Overloaded("The server has the maximum number of event streams. Try again later.")

    def close(self) -> None:
        """End every stream."""
        self._closed = True
        for channel in self._channels.values():
            channel.announce()

    async def watch(self) -> None:
        """Poll for changes until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_SECONDS):
                    await self._woken.wait()
            self._woken.clear()
            if not self._channels:
                await self._woken.wait()
                continue
            # While the database is away the streams stay open; their changes are read when it is back.
            with contextlib.suppress(TaskwellError):
                await self._poll()

    async def _poll(self) -> None:
        watched = dict(self._channels)
        numbers = await self._database.read(last_numbers, list(watched))
        for (user_id, channel), number in zip(watched.items(), numbers, strict=True):
            if number < channel.number:  # the user was deleted, and perhaps created again
                channel.ended = True
                self._channels.pop(user_id, None)
                channel.announce()
            elif number > channel.number:
                await self._read(user_id, channel, number)

    async def _read(self, user_id: str, channel: _Channel, number: int) -> None:
        """Read the changes up to `number`, the sequence number that the poll returned."""
        more = True
        while more:
            try:
                found = await self._page(user_id, Cursor.at(channel.number), number)
            except Gone:
                channel.ended = True
                break
            for event in found.events:
                channel.add(event.version, _event(event))
            channel.number = found.last
            more = found.more
        channel.announce()

    async def stream(self, user_id: str, start: Start, *, seconds: float = math.inf) -> AsyncGenerator[bytes]:
        """Yield the events after the start, for `seconds`; a comment as heartbeat when there are none.

        The first stream of a user sets the channel to the user's sequence number at the start.
        """
        clock = asyncio.get_running_loop().time
        end = clock() + seconds
        since = start.since
        channel = self._channels.setdefault(user_id, _Channel(start.last, since=start.last))
        channel.streams += 1
        self._woken.set()
        try:
            yield _beginning(since)
            while not (self._closed or channel.ended) and clock() < end:
                news = channel.news
                events, since = await self._following(user_id, channel, since)
                if events:
                    yield b"".join(events)
                    continue
                try:
                    # Not wait_for, which before Python 3.12 can swallow the end of the stream.
                    async with asyncio.timeout(min(_HEARTBEAT_SECONDS, end - clock())):
                        await news.wait()
                except TimeoutError:
                    yield b": still here\n\n"
        finally:
            channel.streams -= 1
            if not channel.streams and self._channels.get(user_id) is channel:
                del self._channels[user_id]

    async def _following(self, user_id: str, channel: _Channel, since: Cursor) -> tuple[list[bytes], Cursor]:
        """The next events after a cursor: from memory, or from the database for a stream that lags."""
        if since.number >= channel.number:
            return [], since
        if since.number >= channel.since:
            events = [found for found in channel.events if found[0] > since.number][:_CHUNK_EVENTS]
            last = events[-1][0] if events else channel.number
            return [event for _, event in events], replace(since, number=last)
        found = await self._page(user_id, since, channel.number)
        return [_event(event) for event in found.events], replace(since, number=found.last)

    async def _page(self, user_id: str, since: Cursor, upto: int) -> EventPage:
        """The next changes of every kind and reminders, up to a number at least. Raises Gone."""
        return await self._database.read(list_events, user_id, since, upto, limit=_CHUNK_EVENTS)


def _ignore(_user_id: str) -> None:
    pass


def _beginning(since: Cursor) -> bytes:
    """The first event, whose id a client resumes with if it is disconnected before the first change.

    The event has data, since browsers ignore one without.
    """
    ready = b'id: %b\nevent: ready\ndata: {"version":%d}\n\n' % (since.event_id().encode(), since.number)
    return b": welcome\n\n" + ready


def _event(change: Change | Reminded) -> bytes:
    if isinstance(change, Reminded):
        return b"id: %d\nevent: reminder\ndata: %b\n\n" % (change.version, reminded_json(change))
    name = "task" if isinstance(change, TaskRead | TaskGone) else change.type
    data = strict_json.in_one_line(change_json(change))
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (change.version, name.encode(), data)
