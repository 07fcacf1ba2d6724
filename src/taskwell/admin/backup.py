"""Backups: one file for either kind of database, with checksums.

A backup is an SQLite database of the live database's revision. It stores the count and the digest of each
table's rows, so that a restore can detect damage.
"""

import os
import shutil
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import TypeAdapter
from sqlalchemy import Column, MetaData, Table, Text, select, text

from taskwell.admin import copy, epochs
from taskwell.admin.copy import CannotCopy, Differs, Progress, Summary
from taskwell.core.clock import utc_now
from taskwell.core.settings import Settings
from taskwell.database import migrate
from taskwell.database.connection import InlineConnection
from taskwell.database.database import ReadTransaction, Transaction
from taskwell.database.faults import fault_of
from taskwell.database.migrate import Schema
from taskwell.database.sqlite_file import absolute, lone_file

_CONTENTS = Table("taskwell_backup", MetaData(), Column("contents", Text()))


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup's own description. It contains every write that was acknowledged before `taken_at`."""

    taken_at: datetime
    revision: str
    tables: dict[str, Summary]

    @property
    def rows(self) -> int:
        return sum(summary.rows for summary in self.tables.values())


_BACKUP = TypeAdapter(Backup)


async def back_up(settings: Settings, file: Path, progress: Progress) -> Backup:
    """Write all committed data to a new file, without blocking other reads and writes.

    Raises:
        CannotCopy: the file exists, or there is nothing to back up.
    """
    _refuse_path(file)
    taken_at = utc_now()
    async with copy.reading(settings) as source:
        progress.expect(2 * await copy.count_rows(source))
        with TemporaryDirectory(prefix=".taskwell-backup-", dir=file.parent) as folder:
            made = Path(folder) / "backup.db"
            backup = await _write(source, made, taken_at, progress)
            with lone_file(made, "ro") as connection:
                await check_backup(ReadTransaction(connection), backup, progress)
            _publish(made, file)
    return backup


def _refuse_path(file: Path) -> None:
    if file.exists():
        raise _exists(file)
    folder = absolute(file).parent
    if not folder.is_dir():
        raise CannotCopy(f"{file.parent} is not a folder: choose another")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CannotCopy(f"{file.parent} is not writable: choose another folder")


def _exists(file: Path) -> CannotCopy:
    return CannotCopy(f"{file} exists already: choose another name")


async def _write(source: ReadTransaction, made: Path, taken_at: datetime, progress: Progress) -> Backup:
    revision = await source.run_sync(migrate.revision_of)
    assert revision is not None
    with lone_file(made, "rw") as connection:
        target = Transaction(connection)
        await target.run_sync(lambda connection: migrate.bring_to(connection, revision))
        tables = await copy.copy(source, target, progress)
        backup = Backup(taken_at, revision, dict(tables))
        await target.run_sync(_CONTENTS.create)
        await target.insert_rows(_CONTENTS, [{"contents": _BACKUP.dump_json(backup).decode()}])
    return backup


def _publish(made: Path, file: Path) -> None:
    """Give the complete file its name, unless that is taken. It survives a power cut."""
    _sync(made)
    try:
        os.link(made, file)
    except FileExistsError:
        raise _exists(file) from None
    except OSError:  # a file system without links
        if file.exists():
            raise _exists(file) from None
        made.rename(file)
    if os.name != "nt":
        _sync(file.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


async def read_backup(file: Path) -> Backup:
    """Read a file's description of itself, without verifying it.

    Raises:
        CannotCopy: it is not a backup, or is of a newer taskwell.
    """
    with _opened(file) as connection:
        return await _contents(ReadTransaction(connection), file)


@contextmanager
def _opened(file: Path) -> Iterator[InlineConnection]:
    if not file.is_file():
        raise CannotCopy(f"there is no file {file}")
    try:
        with lone_file(file, "ro") as connection:
            yield connection
    except Exception as error:
        if (fault := fault_of(error)) is None:
            raise
        raise CannotCopy(
            f"{file} cannot be read as a backup: {fault.name.lower().replace('_', ' ')}"
        ) from error


async def _contents(transaction: ReadTransaction, file: Path) -> Backup:
    if not await transaction.run_sync(
        lambda connection: connection.dialect.has_table(connection, _CONTENTS.name)
    ):
        raise CannotCopy(f"{file} is not a backup of taskwell: for a database file use `taskwell move`")
    row = await transaction.first(select(_CONTENTS))
    backup = _BACKUP.validate_json(row[0]) if row else None
    if backup is None or await transaction.run_sync(migrate.state_of) is Schema.AHEAD:
        raise CannotCopy(f"{file} is of a newer taskwell: restore it with that version")
    return backup


async def check_backup(transaction: ReadTransaction, backup: Backup, progress: Progress) -> None:
    """Raises Differs: the file is damaged, or differs from its description."""
    (first, *_) = await transaction.all(text("PRAGMA integrity_check"))
    if first[0] != "ok":
        raise Differs(f"the backup is damaged: {first[0]}")
    if await transaction.first(text("PRAGMA foreign_key_check")) is not None:
        raise Differs("the backup is damaged: rows refer to missing rows")
    if await transaction.run_sync(migrate.revision_of) != backup.revision:
        raise Differs("the backup is damaged: its revision differs from its description")
    try:
        await copy.compare(backup.tables, transaction, progress)
    except Differs as error:
        raise Differs(f"the backup is damaged: {error}") from None


@dataclass(frozen=True, slots=True)
class Restored:
    """`epoch`: in which every sequence continues. `disabled`: webhooks that were switched off."""

    backup: Backup
    epoch: int
    disabled: int


async def restore(
    settings: Settings, file: Path, progress: Progress, *, replace: bool, with_webhooks: bool = False
) -> Restored:
    """Fill the database from a backup, in one transaction, and begin a new epoch.

    `with_webhooks`: they go on delivering.

    Raises:
        CannotCopy: the file is not a backup, or the database is not empty and `replace` is false.
        Differs: the backup is damaged; or the result differs from it, and the database stays unchanged.
    """
    backup = await read_backup(file)
    progress.expect(3 * backup.rows)
    with _opened(file) as connection:
        await check_backup(ReadTransaction(connection), backup, progress)
    with TemporaryDirectory(prefix="taskwell-restore-") as folder:
        async with _at_the_head(file, Path(folder)) as source, copy.loading(settings) as target:
            known = await epochs.highest_number(target)
            if replace:
                await copy.clear(target)
            elif await copy.count_rows(target):
                raise CannotCopy(
                    "the database is not empty: --replace deletes its contents and restores the backup"
                )
            await copy.compare(await copy.copy(source, target, progress), target, progress)
            disabled = await copy.settle_webhooks(target, with_webhooks=with_webhooks)
            return Restored(backup, await epochs.begin_epoch(target, known), disabled)


@asynccontextmanager
async def _at_the_head(file: Path, folder: Path) -> AsyncGenerator[ReadTransaction]:
    """A backup in the current schema; a copy of an older one is migrated."""
    with lone_file(file, "ro") as connection:
        is_old = migrate.state_of(connection.sync_connection) is Schema.BEHIND
    if is_old:
        file = Path(shutil.copyfile(file, folder / "backup.db"))
        file.chmod(0o600)
        with lone_file(file, "rw") as connection:
            migrate.bring_to(connection.sync_connection, "head")
    with lone_file(file, "ro") as connection:
        yield ReadTransaction(connection)
