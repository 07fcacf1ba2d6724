"""Warnings on settings without effect, or with an unexpected one: a sentence each, without the value.

`core.settings` refuses values that cannot work; these work in part. `serve` logs the warnings once at start,
and `doctor` shows them.
"""

import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec

from taskwell.core.settings import Settings, unknown_variables, variable

_GRACE_SECONDS = 10  # for requests to end after draining
_KUBERNETES_GRACE_SECONDS = 30

Holds = Callable[[Settings], bool]


def _stub(settings: Settings) -> bool:
    return settings.auth == "stub"


def _sqlite(settings: Settings) -> bool:
    return settings.database.is_sqlite


# Settings, the condition under which they have no effect, and the reason.
_WITHOUT_EFFECT: tuple[tuple[tuple[str, ...], Holds, str], ...] = (
    (
        ("jwt_secret", "jwt_issuer", "jwt_jwks_url", "jwt_audience", "jwt_audience_claim", "jwt_user_claim"),
        _stub,
        "while TASKWELL_AUTH is stub",
    ),
    (("app_oidc_client_id", "app_token_url"), _stub, "while TASKWELL_AUTH is stub"),
    (("rate_limit", "rate_limit_storage"), _stub, "while TASKWELL_AUTH is stub, which has no rate limit"),
    (
        ("allow_stub_auth_on_public_address",),
        lambda settings: not _stub(settings),
        "while TASKWELL_AUTH is jwt",
    ),
    (
        ("row_level_security",),
        lambda settings: _sqlite(settings) and settings.row_level_security == "on",
        "on SQLite: remove it, or use PostgreSQL",
    ),
    (
        (
            "migration_database_url", "db_pool_size", "db_max_overflow", "db_pool_timeout_seconds",
            "db_pooler",
        ),
        _sqlite,
        "on SQLite",
    ),
    (("allow_network_file_system",), lambda settings: not _sqlite(settings), "on PostgreSQL"),
    (("metrics_folder",), lambda settings: settings.metrics == "nobody", "while TASKWELL_METRICS is nobody"),
)  # fmt: skip


def _oddly_quoted(settings: Settings) -> bool:
    secret = settings.jwt_secret.get_secret_value() if settings.jwt_secret else "-"
    return any(character.isspace() or character in "\"'" for character in (secret[0], secret[-1]))


def _counts_apart(settings: Settings) -> bool:
    limited = settings.auth == "jwt" and settings.rate_limit != "none"
    counted_here = settings.rate_limit_storage.get_secret_value().startswith("memory:")
    return settings.workers > 1 and limited and counted_here


def _has_redundant_hosts(settings: Settings) -> bool:
    return "*" in settings.allowed_hosts and len(settings.allowed_hosts) > 1


def _cannot_share_metrics(settings: Settings) -> bool:
    return settings.metrics_folder is not None and not os.access(settings.metrics_folder, os.W_OK)


def _cannot_send_traces(settings: Settings) -> bool:
    try:
        there = all(map(find_spec, ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")))
    except ModuleNotFoundError:
        there = False
    return bool(settings.otlp_endpoint) and not there


def _drains_long(settings: Settings) -> bool:
    return settings.drain_seconds + _GRACE_SECONDS > _KUBERNETES_GRACE_SECONDS


# Other warnings, by their condition.
_SENTENCES: dict[Holds, str] = {
    _oddly_quoted: "TASKWELL_JWT_SECRET begins or ends with white space or a quotation mark, which is part "
    "of the secret",
    _counts_apart: "each process counts requests separately: for one limit over all processes, set "
    "TASKWELL_RATE_LIMIT_STORAGE to a redis:// URL",
    _has_redundant_hosts: "TASKWELL_ALLOWED_HOSTS has * and others, which have no effect beside it",
    _cannot_share_metrics: "TASKWELL_METRICS_FOLDER is not a writable folder, so /metrics shows one process "
    "only",
    _cannot_send_traces: "OTEL_EXPORTER_OTLP_ENDPOINT is set, but no traces are sent: "
    "pip install 'taskwell[otel]'",
    _drains_long: "TASKWELL_DRAIN_SECONDS needs a platform that waits 10 s longer before it kills a server: "
    "Docker waits 10 s, Kubernetes 30, systemd 90, unless configured otherwise",
}


def remarks(settings: Settings) -> Iterator[str]:
    for names, holds, why in _WITHOUT_EFFECT:
        for name in names:
            if getattr(settings, name) != Settings.model_fields[name].default and holds(settings):
                yield f"{variable(name)} has no effect {why}"
    yield from (says for holds, says in _SENTENCES.items() if holds(settings))
    for name in unknown_variables():
        yield f"{name} is not a setting of taskwell and has no effect: see `taskwell config`"
