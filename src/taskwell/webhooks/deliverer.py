"""Delivers the events of webhooks: one deliverer for each process, of which any number share the leases.

It is woken by the writes of this process. Once a minute, if the database was used since, it looks for what
other processes left; and at the instants of repetitions that it knows of. So a suspended database stays
suspended but for these.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from secrets import token_hex
from urllib.parse import urlsplit
from uuid import UUID
from weakref import WeakValueDictionary

from taskwell import __version__
from taskwell.core.clock import utc_now
from taskwell.core.errors import Conflict, Overloaded, TaskwellError, VersionGone
from taskwell.core.settings import Settings
from taskwell.database.database import Database
from taskwell.http.metrics import Metrics
from taskwell.schemas.webhook import DeliveryRead, Message, Outcome, message_json
from taskwell.services import deliveries, webhooks
from taskwell.services.deliveries import Attempt, Due, Event, Subscription
from taskwell.services.live_changes import Feed
from taskwell.services.webhooks import WebhookNotFound
from taskwell.webhooks import messages, schedule
from taskwell.webhooks.guard import Guard
from taskwell.webhooks.outgoing import MAX_REQUESTS, Answer, Outgoing
from taskwell.webhooks.signing import message_id, signed

logger = logging.getLogger("taskwell")

_LOOK_SECONDS = 60.0
_TICK_SECONDS = 1.0  # between checks, within this process, whether the database was used
_RUN_EVENTS = 50  # then a subscription gives way to the next
_RUN_SECONDS = 20.0
_MAX_TO_A_HOST = 4
_MAX_APART = 8  # pings and single repetitions at a time
_PATIENCE_SECONDS = 2.0  # for requests under way when the process ends

Key = tuple[str, UUID]


class NotDelivering(Conflict):
    detail = "This server sends no events: TASKWELL_WEBHOOKS is off."


class UnderWay(Conflict):
    detail = "A message of yours is being sent: wait for its answer."


@dataclass(frozen=True, slots=True)
class _Sent:
    """A message that was sent. `part`: the version, or what else makes its id."""

    type: str
    version: int | None
    at: datetime
    answer: Answer

    def attempt(self, number: int, outcome: Outcome, next_attempt_at: datetime | None = None) -> Attempt:
        answer = self.answer
        return Attempt(
            self.version, self.type, number, self.at, answer.ms, answer.status, answer.error, answer.text,
            outcome, next_attempt_at,
        )  # fmt: skip


class Deliverer:
    """Implements `services.webhooks.Sender`.

    `polls`: look for news every so many seconds, whether or not this process uses the database.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        feed: Feed,
        metrics: Metrics,
        *,
        polls: float | None = None,
        guard: Guard | None = None,
    ) -> None:
        self._delivers = settings.webhooks or polls is not None
        self._agent = f"taskwell/{__version__}"
        self._database = database
        self._feed = feed
        self._metrics = metrics
        self._polls = polls
        self._outgoing = Outgoing(settings, guard)
        self._woken: set[str] = set()
        self._news = asyncio.Event()
        self._planned: dict[str, datetime] = {}
        self._running: dict[Key, asyncio.Task[None]] = {}
        self._apart: set[str] = set()
        self._requests = asyncio.Semaphore(MAX_REQUESTS)
        self._hosts: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._looked = float("-inf")
        self._stopping = False
        self._uses = database.uses
        feed.on_write = self.wake

    async def check_url(self, url: str) -> None:
        await self._outgoing.check_url(url)

    def follow(self, user_id: str) -> None:
        if self._delivers:
            self._feed.subscribers.add(user_id)
            self.wake(user_id)

    def wake(self, user_id: str) -> None:
        self._woken.add(user_id)
        self._news.set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        if not self._delivers:
            return
        try:
            while True:
                try:
                    await self._look_if_due()
                except TaskwellError as error:
                    logger.warning("webhooks wait for the database: %s", error)
                    await asyncio.sleep(_TICK_SECONDS)
                except Exception:
                    logger.exception("webhooks could not be looked for, and will be again")
                    await asyncio.sleep(_TICK_SECONDS)
                await self._rest()
        finally:
            await self._stop()

    async def _rest(self) -> None:
        """Until a write of a subscriber, the next planned instant or the next tick."""
        seconds = min(_TICK_SECONDS, self._polls or _TICK_SECONDS)
        if self._planned:
            next_one = min(self._planned.values()) - utc_now()
            seconds = min(seconds, max(next_one.total_seconds(), 0.01))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._news.wait()
        self._news.clear()

    async def _look_if_due(self) -> None:
        now = utc_now()
        if self._must_look_at_all():
            await self._look_at_all(now)
            return
        users = self._woken | {user_id for user_id, at in self._planned.items() if at <= now}
        if users:
            self._woken -= users
            try:
                await self._look(now, users)
            except BaseException:
                self._woken |= users
                raise

    def _must_look_at_all(self) -> bool:
        since = time.monotonic() - self._looked
        if self._polls is not None:
            return since >= self._polls
        return since >= _LOOK_SECONDS and self._database.uses != self._uses

    async def _look_at_all(self, now: datetime) -> None:
        self._looked = time.monotonic()
        woken, self._woken = self._woken, set()
        try:
            subscribers = await self._database.read(deliveries.list_subscribers)
            if subscribers or self._feed.subscribers:
                failing, _ = await self._database.read(webhooks.count_failing)
                self._metrics.webhooks_failing = failing
            # What was subscribed to during the look is woken, and stays.
            self._feed.subscribers = subscribers | self._woken
            if subscribers:
                self._planned.clear()
                await self._look(now, None)
        except BaseException:
            self._woken |= woken
            raise
        self._uses = self._database.uses

    async def _look(self, now: datetime, users: Iterable[str] | None) -> None:
        """Start what is due, and plan what is due later."""
        names = None if users is None else sorted(users)
        found = await self._database.read(deliveries.list_due, now, names)
        for user_id in names or ():
            self._planned.pop(user_id, None)
        for due in found:
            if due.at is not None:
                self._planned[due.user_id] = min(due.at, self._planned.get(due.user_id, due.at))
            elif (due.user_id, due.id) in self._running:
                continue  # it wakes its user when it ends
            else:
                self._running[due.user_id, due.id] = asyncio.create_task(self._work(due))

    async def _work(self, due: Due) -> None:
        host = urlsplit(due.url).netloc.lower()
        slots = self._hosts.get(host)
        if slots is None:
            slots = self._hosts[host] = asyncio.Semaphore(_MAX_TO_A_HOST)
        try:
            async with slots, self._requests:
                await self._hold(due)
        except TaskwellError as error:
            logger.warning("a webhook waits for the database: %s", error)
            await asyncio.sleep(_TICK_SECONDS)
        except Exception:
            logger.exception("a webhook could not be delivered, and will be tried again")
            await asyncio.sleep(_TICK_SECONDS)
        finally:
            del self._running[due.user_id, due.id]
        # Once more, for what was written meanwhile, and for the instant of a repetition.
        self.wake(due.user_id)

    async def _hold(self, due: Due) -> None:
        subscription = await self._database.write(deliveries.take_lease, due.user_id, due.id)
        if subscription is None:
            return
        try:
            await self._deliver(subscription)
        except asyncio.CancelledError:
            await self._database.write(deliveries.end_lease, subscription)
            raise

    async def _deliver(self, subscription: Subscription) -> None:
        """Send what is next, in order, until something fails, or others must have their turn."""
        end = time.monotonic() + _RUN_SECONDS
        news = await self._database.read(deliveries.read_news, subscription, _RUN_EVENTS)
        if subscription.cursor < news.start:
            if not await self._tell_of_gap(subscription, news.start):
                return
            subscription = replace(subscription, cursor=news.start, attempt=0, failing_since=None)
        for number, event in enumerate(news.events, 1):
            sent = await self._send_event(subscription, event)
            is_last = number == len(news.events)
            cursor = max(event.entry.version, news.last) if is_last and news.whole else event.entry.version
            keeps = not is_last and not self._stopping and time.monotonic() < end
            if not await self._note(subscription, sent, cursor, keeps=keeps) or not keeps:
                break
            subscription = replace(subscription, cursor=cursor, attempt=0, failing_since=None)
        if not news.events:
            cursor = max(subscription.cursor, news.last if news.whole else 0)
            await self._database.write(deliveries.note_delivered, subscription, cursor, None, keeps=False)
            return
        await self._database.write(deliveries.trim_log, subscription.user_id, subscription.id)

    async def _tell_of_gap(self, subscription: Subscription, start: int) -> bool:
        """Tell that the events before the start of the history are lost. Returns whether to go on."""
        message = messages.gap(subscription, start, utc_now())
        sent = await self._send(subscription, message_id(subscription.id, f"gap{start}"), start, message)
        return await self._note(subscription, sent, start, keeps=True, gap=True)

    async def _send_event(self, subscription: Subscription, event: Event) -> _Sent:
        version = event.entry.version
        message = messages.of_event(subscription, event)
        return await self._send(subscription, message_id(subscription.id, version), version, message)

    async def _send(
        self, subscription: Subscription, identifier: str, version: int | None, message: Message
    ) -> _Sent:
        now = utc_now()
        body = message_json(message)
        secrets = [subscription.secret, *([subscription.old_secret] if subscription.old_secret else [])]
        headers = {
            "user-agent": self._agent,
            **signed(secrets, identifier, int(now.timestamp()), body),
        }
        answer = await self._outgoing.post(subscription.url, headers, body)
        return _Sent(message.type, version, now, answer)

    async def _note(
        self, subscription: Subscription, sent: _Sent, cursor: int, *, keeps: bool, gap: bool = False
    ) -> bool:
        """Store what came of an attempt. Returns whether to go on with the next event."""
        attempt = await self._judged(subscription, sent)
        if attempt.outcome in {"delivered", "skipped"}:
            noted = await self._database.write(
                deliveries.note_delivered, subscription, cursor, attempt, keeps=keeps, gap=gap
            )
        else:
            await self._database.write(deliveries.note_failed, subscription, attempt, gap=gap)
            noted = False
        self._metrics.deliveries[attempt.outcome] += 1
        if attempt.outcome == "disabled":
            host = urlsplit(subscription.url).hostname
            logger.warning("a webhook at %s was switched off: it fails", host)
        return noted

    async def _judged(self, subscription: Subscription, sent: _Sent) -> Attempt:
        status, number = sent.answer.status, subscription.attempt + 1
        if schedule.is_success(status):
            return sent.attempt(number, "delivered")
        if status == schedule.GONE or await self._fails_too_long(subscription, sent.at):
            return sent.attempt(number, "disabled")
        if schedule.is_refusal(status) and await self._is_refused_for_good(subscription, sent):
            return sent.attempt(number, "skipped")
        pause = schedule.pause(subscription.attempt, sent.answer.retry_after, sent.at)
        return sent.attempt(number, "retry", utc_now() + pause)

    async def _fails_too_long(self, subscription: Subscription, now: datetime) -> bool:
        since = subscription.failing_since
        if since is None or now - since < schedule.DISABLED_AFTER:
            return False
        before = await self._database.read(deliveries.count_failures, subscription, since)
        return before + 1 >= schedule.DISABLED_AFTER_ATTEMPTS

    async def _is_refused_for_good(self, subscription: Subscription, sent: _Sent) -> bool:
        if sent.version is None:
            return False
        before, since = await self._database.read(
            deliveries.count_refusals, subscription, sent.version, schedule.OF_THE_RECEIVER
        )
        enough = before + 1 >= schedule.SKIPPED_AFTER_ATTEMPTS
        return enough and since is not None and sent.at - since >= schedule.SKIPPED_AFTER

    async def ping(self, user_id: str, maker: UUID | None, webhook_id: UUID) -> DeliveryRead:
        subscription = await self._found(user_id, maker, webhook_id)
        with self._one_at_a_time(user_id):
            identifier = message_id(webhook_id, f"ping{token_hex(8)}")
            message = messages.ping(subscription, utc_now())
            sent = await self._send(subscription, identifier, None, message)
        return await self._logged(subscription, sent.attempt(1, "ping"))

    async def send_again(
        self, user_id: str, maker: UUID | None, webhook_id: UUID, version: int
    ) -> DeliveryRead:
        subscription = await self._found(user_id, maker, webhook_id)
        event = await self._database.read(deliveries.find_event, user_id, version)
        if event is None:
            raise VersionGone
        with self._one_at_a_time(user_id):
            sent = await self._send_event(subscription, event)
        return await self._logged(subscription, sent.attempt(1, "redelivered"))

    async def _found(self, user_id: str, maker: UUID | None, webhook_id: UUID) -> Subscription:
        find = deliveries.find_subscription
        subscription = await self._database.read(find, user_id, maker, webhook_id)
        if subscription is None:
            raise WebhookNotFound
        if not self._delivers:
            raise NotDelivering
        return subscription

    @contextlib.contextmanager
    def _one_at_a_time(self, user_id: str) -> Iterator[None]:
        """Raises UnderWay, Overloaded: a receiver that does not answer must not keep the server busy."""
        if user_id in self._apart:
            raise UnderWay
        if len(self._apart) >= _MAX_APART:
            raise Overloaded
        self._apart.add(user_id)
        try:
            yield
        finally:
            self._apart.discard(user_id)

    async def _logged(self, subscription: Subscription, attempt: Attempt) -> DeliveryRead:
        logged = await self._database.write(
            deliveries.add_to_log, subscription.user_id, subscription.id, attempt
        )
        if logged is None:
            raise WebhookNotFound
        self._metrics.deliveries[attempt.outcome] += 1
        return logged

    async def _stop(self) -> None:
        """Let requests under way end, and give back all leases: no other process waits for their ends."""
        self._stopping = True
        if self._running:
            await asyncio.wait(self._running.values(), timeout=_PATIENCE_SECONDS)
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._outgoing.close()
