"""Transfers all data from one database to another, including sequences, and verifies that they are equal."""

from dataclasses import dataclass, replace

from taskwell.admin import copy
from taskwell.admin.copy import CannotCopy, Differs, Progress, Summaries
from taskwell.core.settings import Settings
from taskwell.database import migrate
from taskwell.models import Webhook


@dataclass(frozen=True, slots=True)
class Moved:
    """`before`: an earlier run had already moved everything. `disabled`: webhooks that were switched off."""

    tables: Summaries
    before: bool
    disabled: int = 0

    @property
    def rows(self) -> int:
        return sum(summary.rows for summary in self.tables.values())


async def move(
    source: Settings, target: Settings, progress: Progress, *, with_webhooks: bool = False
) -> Moved:
    """Copy all data in one transaction: the target has all of it in the end, or nothing.

    The source is locked meanwhile, and stays unchanged. `with_webhooks`: the target's go on delivering.

    Raises:
        CannotCopy: the source's schema is not current, or the target holds other data.
        InUse: a server is connected to the source.
        Differs: the copy differs from the source, and the target stays unchanged.
    """
    if str(source.migration_database) == str(target.migration_database):
        raise CannotCopy("FROM_URL and TO_URL are the same database: name another one")
    async with copy.reading(source) as transaction:
        if await transaction.run_sync(migrate.state_of) is not migrate.Schema.CURRENT:
            raise CannotCopy(f"the schema of {source.database} is behind: run `taskwell db upgrade` on it")
    async with copy.frozen(source) as old, copy.loading(target) as new:
        progress.expect(2 * await copy.count_rows(old))
        if not await copy.count_rows(new):
            moved = Moved(await copy.copy(old, new, progress), before=False)
            await copy.compare(moved.tables, new, progress)
            return replace(moved, disabled=await copy.settle_webhooks(new, with_webhooks=with_webhooks))
        there = Moved(await copy.summarize(old, progress), before=True)
        try:
            # The earlier run changed the webhooks after it had compared them.
            await copy.compare(there.tables, new, progress, but=Webhook.__tablename__)
        except Differs:
            raise CannotCopy(f"{target.database} is not empty: move to an empty database") from None
        return there
