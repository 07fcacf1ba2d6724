"""Moving: everything from one database to another, which then is its equal, sequences and all."""

from dataclasses import dataclass

from taskwell.admin import copy
from taskwell.admin.copy import CannotCopy, Differs, Progress, Summaries
from taskwell.core.settings import Settings
from taskwell.database import migrate


@dataclass(frozen=True, slots=True)
class Moved:
    """`before`: everything was there already, from a move before this one."""

    tables: Summaries
    before: bool

    @property
    def rows(self) -> int:
        return sum(summary.rows for summary in self.tables.values())


async def move(source: Settings, target: Settings, progress: Progress) -> Moved:
    """Copy everything in one transaction: the target has all of it in the end, or nothing.

    Nobody else may use the source meanwhile. It is left as it is.

    Raises:
        CannotCopy: the source is not of the present schema, or the target holds something else.
        InUse: a server is connected to the source.
        Differs: the target has not become equal, and is left as it was.
    """
    if str(source.migration_database) == str(target.migration_database):
        raise CannotCopy("the two are the same database")
    async with copy.reading(source) as transaction:
        if await transaction.look(migrate.state_of) is not migrate.Schema.CURRENT:
            raise CannotCopy(f"{source.database} waits for its migrations: run `taskwell db upgrade` there")
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
            raise CannotCopy(f"{target.database} is not empty, and holds something else") from None
        return there
