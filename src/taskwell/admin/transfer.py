"""Transfers all data from one database to another, including sequences, and verifies that they are equal."""

from dataclasses import dataclass

from taskwell.admin import copy
from taskwell.admin.copy import CannotCopy, Differs, Progress, Summaries
from taskwell.core.settings import Settings
from taskwell.database import migrate


@dataclass(frozen=True, slots=True)
class Moved:
    """`before`: an earlier run had already moved everything."""

    tables: Summaries
    before: bool

    @property
    def rows(self) -> int:
        return sum(summary.rows for summary in self.tables.values())


async def move(source: Settings, target: Settings, progress: Progress) -> Moved:
    """Copy all data in one transaction: the target has all of it in the end, or nothing.

    The source is locked meanwhile, and stays unchanged.

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
            return moved
        there = Moved(await copy.summarize(old, progress), before=True)
        try:
            await copy.compare(there.tables, new, progress)
        except Differs:
            raise CannotCopy(f"{target.database} is not empty: move to an empty database") from None
        return there
