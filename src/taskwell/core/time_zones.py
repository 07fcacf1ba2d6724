"""Time zones, from the package tzdata alone: two servers must not read the versions of two systems."""

import zoneinfo
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files

import tzdata

zoneinfo.reset_tzpath(())

VERSION: str = tzdata.IANA_VERSION

# The names of the tz database, links among them. Only these reach a file: `zoneinfo` opens whatever a name
# leads to, in any case where the file system ignores case. `Factory` is the zone of a machine without one.
NAMES = frozenset(files("tzdata").joinpath("zones").read_text("ascii").split()) - {"Factory"}


@cache
def zone(name: str) -> zoneinfo.ZoneInfo:
    """The zone with exactly this name.

    Raises:
        ValueError: the tz database has no such zone.
    """
    if name not in NAMES:
        raise ValueError("unknown time zone")
    # Without the cache of `zoneinfo`, which may have a zone that was read before this module was imported.
    return zoneinfo.ZoneInfo.no_cache(name)


def instant_of(local: datetime, name: str) -> datetime:
    """The instant of a local time, which has no `tzinfo`, in UTC.

    A time that clocks skip counts by the offset before; of a time that occurs twice, the first counts.
    """
    return local.replace(tzinfo=zone(name), fold=0).astimezone(UTC)


def local_time_of(instant: datetime, name: str) -> datetime:
    """The local time of an instant, without `tzinfo`."""
    return instant.astimezone(zone(name)).replace(tzinfo=None, fold=0)
