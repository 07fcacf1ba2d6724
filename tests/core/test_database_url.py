"""`DATABASE_URL` as people paste it from their provider."""

import asyncio
import socket
import ssl
import tempfile
import traceback
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from taskwell.core.database_url import BadDatabaseUrl, DatabaseUrl, parse_database_url
from taskwell.database.faults import NotConnected
from taskwell.database.postgres import PostgresBackend

NEON_DIRECT = (
    "postgresql://owner:npg_S3cr3t@ep-cool-name-123456.eu-central-1.aws.neon.tech/neondb"
    "?sslmode=require&channel_binding=require"
)
NEON_POOLED = NEON_DIRECT.replace("123456.", "123456-pooler.")
SUPABASE = "postgresql://postgres.abcdefgh:S3cr3t@aws-0-eu-central-1.pooler.supabase.com:6543/postgres?pgbouncer=true"
PUBLIC = "postgresql://user:S3cr3t@db.example.com/app"
PRIVATE = "postgresql://user:S3cr3t@db/app"


def context_of(text: str) -> ssl.SSLContext:
    context = parse_database_url(text).connect_args["ssl"]
    assert isinstance(context, ssl.SSLContext)
    return context


def verifies(text: str) -> bool:
    """Whether the server has to prove that it is the one that the URL names."""
    context = context_of(text)
    return context.check_hostname and context.verify_mode is ssl.CERT_REQUIRED


def where(url: DatabaseUrl) -> tuple[str | None, str | None, str | None, int | None, str | None]:
    parts = url.url
    return parts.username, parts.password, parts.host, parts.port, parts.database


@pytest.mark.plan("A3")
class TestProviders:
    def test_neon_direct(self) -> None:
        url = parse_database_url(NEON_DIRECT)
        host = "ep-cool-name-123456.eu-central-1.aws.neon.tech"
        assert where(url) == ("owner", "npg_S3cr3t", host, None, "neondb")
        assert not url.pooled
        assert set(url.connect_args) == {"ssl"}
        assert verifies(NEON_DIRECT)

    def test_neon_pooled(self) -> None:
        url = parse_database_url(NEON_POOLED)
        host = "ep-cool-name-123456-pooler.eu-central-1.aws.neon.tech"
        assert where(url) == ("owner", "npg_S3cr3t", host, None, "neondb")
        assert url.pooled
        assert verifies(NEON_POOLED)

    def test_heroku(self) -> None:
        # Without sslmode the driver does as libpq does: encrypted if the server offers it.
        url = parse_database_url("postgres://user:S3cr3t@ec2-1-2-3-4.compute-1.amazonaws.com:5432/d1abc")
        assert where(url) == ("user", "S3cr3t", "ec2-1-2-3-4.compute-1.amazonaws.com", 5432, "d1abc")
        assert url.connect_args == {}

    def test_render_internal(self) -> None:
        url = parse_database_url("postgresql://user:S3cr3t@dpg-abc123-a/app_x1y2")
        assert where(url) == ("user", "S3cr3t", "dpg-abc123-a", None, "app_x1y2")
        assert url.connect_args == {}

    def test_render_external(self) -> None:
        text = "postgresql://user:S3cr3t@dpg-abc123-a.frankfurt-postgres.render.com/app_x1y2"
        assert parse_database_url(text).connect_args == {}
        assert verifies(f"{text}?sslmode=require")

    def test_supabase(self) -> None:
        url = parse_database_url(SUPABASE)
        host = "aws-0-eu-central-1.pooler.supabase.com"
        assert where(url) == ("postgres.abcdefgh", "S3cr3t", host, 6543, "postgres")
        assert url.pooled

    def test_docker_compose(self) -> None:
        url = parse_database_url("postgresql://user:pass@db:5432/app")
        assert where(url) == ("user", "pass", "db", 5432, "app")
        assert url.connect_args == {}

    @pytest.mark.parametrize("driver", ["asyncpg", "psycopg", "psycopg2"])
    def test_sqlalchemy_whatever_the_driver(self, driver: str) -> None:
        url = parse_database_url(f"postgresql+{driver}://user:S3cr3t@db:5432/app")
        assert where(url) == ("user", "S3cr3t", "db", 5432, "app")
        assert url.url.drivername == "postgresql+asyncpg"

    def test_a_unix_socket(self) -> None:
        url = parse_database_url("postgresql:///app?host=/var/run/postgresql")
        assert url.connect_args == {"host": "/var/run/postgresql"}
        assert url.url.database == "app"

    def test_ipv6(self) -> None:
        url = parse_database_url("postgresql://user:S3cr3t@[::1]:5432/app")
        assert where(url) == ("user", "S3cr3t", "::1", 5432, "app")

    def test_white_space_around_it_is_the_clipboards(self) -> None:
        assert parse_database_url(f"  {PRIVATE}\n") == parse_database_url(PRIVATE)

    def test_libpqs_other_parameters(self) -> None:
        query = "connect_timeout=10&application_name=app&options=-c%20search_path%3Dtasks"
        assert parse_database_url(f"{PRIVATE}?{query}").connect_args == {
            "timeout": 10.0,
            "server_settings": {"application_name": "app", "options": "-c search_path=tasks"},
        }


class TestWhatIsPasted:
    """Around the URL, or in another form."""

    URL = "postgresql://user:S3cr3t@db.example.com:5432/app?sslmode=require"

    @pytest.mark.parametrize(
        "form",
        [
            "'{}'", '"{}"', "`{}`", "\u201c{}\u201d", "\u2018{}\u2019", "\"'{}'\"", "\ufeff{}",
            "\u200b{}\r\n", "psql '{}'", 'psql "{}"', "psql {}", "  psql   '{}'  ", "DATABASE_URL={}",
            "DATABASE_URL='{}'",
            "DATABASE_URL=DATABASE_URL={}", "export DATABASE_URL={}", 'export DATABASE_URL="{}";',
            "set DATABASE_URL={}", '$env:DATABASE_URL = "{}"', "POSTGRES_URL={}", "DATABASE_URL=psql '{}'",
            "'DATABASE_URL={}'",
        ],
    )  # fmt: skip
    def test_is_unwrapped(self, form: str) -> None:
        wrapped, plain = parse_database_url(form.format(self.URL)), parse_database_url(self.URL)
        assert (wrapped.url, wrapped.pooler) == (plain.url, plain.pooler)

    @pytest.mark.parametrize("form", ["'{}'", "DATABASE_URL={}", 'export DATABASE_URL="{}"'])
    def test_a_file_too(self, form: str) -> None:
        assert parse_database_url(form.format("sqlite:////srv/a b.db")).path == Path("/srv/a b.db")

    @pytest.mark.parametrize(
        "password", ["'pw'", "DATABASE_URL=x", "[a]", "<a>", "psql%20x", "<<", "p$w", "a*b"]
    )
    def test_what_looks_like_it_in_a_password_stays(self, password: str) -> None:
        url = parse_database_url(f"postgresql://user:{password}@db/app")
        assert url.url.password == password.replace("%20", " ")

    def test_jdbc(self) -> None:
        url = parse_database_url(
            "jdbc:postgresql://ep-x.aws.neon.tech/app?user=user&password=S3cr%263t&sslmode=require"
            "&channelBinding=require&ApplicationName=a"
        )
        assert where(url) == ("user", "S3cr&3t", "ep-x.aws.neon.tech", None, "app")
        assert url.connect_args["server_settings"] == {"application_name": "a"}
        assert "S3cr" not in str(url) + repr(url)

    @pytest.mark.parametrize(
        "text",
        [
            "host=db port=5433 dbname=app user=user password=S3cr3t sslmode=disable",
            "host = db port = '5433' dbname='app' user=user password='S3cr3t' sslmode=disable\n",
            'psql "host=db port=5433 dbname=app user=user password=S3cr3t sslmode=disable"',
        ],
    )
    def test_names_and_values(self, text: str) -> None:
        url = parse_database_url(text)
        assert where(url) == ("user", "S3cr3t", "db", 5433, "app")
        assert url.connect_args == {"ssl": False}

    def test_names_and_values_are_quoted_as_libpq_says(self) -> None:
        url = parse_database_url(r"host=/run/pg dbname=app user=u password='a b\'c\\d' options='-c a=b'")
        assert url.url.password == r"a b'c\d"
        assert url.connect_args == {"host": "/run/pg", "server_settings": {"options": "-c a=b"}}

    @pytest.mark.parametrize(
        "parameter",
        [
            "uselibpqcompat=true", "target_session_attrs=read-write", "target_session_attrs=any",
            "gssencmode=disable", "keepalives=1&keepalives_idle=30&keepalives_interval=10&keepalives_count=3",
            "tcp_user_timeout=1000", "sslsni=1", "fallback_application_name=x", "client_encoding=utf8",
        ],
    )  # fmt: skip
    def test_what_loses_nothing_is_left_out(self, parameter: str) -> None:
        assert parse_database_url(f"{PRIVATE}?{parameter}") == parse_database_url(PRIVATE)

    @pytest.mark.parametrize("query", ["sslmode=no-verify", "ssl=no-verify"])
    def test_no_verify_encrypts_and_verifies_nothing(self, query: str) -> None:
        context = context_of(f"{PUBLIC}?{query}")
        assert not context.check_hostname
        assert context.verify_mode is ssl.CERT_NONE

    def test_ssl_of_other_clients(self) -> None:
        assert verifies(f"{PUBLIC}?ssl=true")
        assert parse_database_url(f"{PUBLIC}?ssl=false").connect_args == {"ssl": False}

    @pytest.mark.parametrize("text", ["endpoint%3Dep-cool-name", "-csearch_path%3Dtaskwell"])
    def test_options_are_the_servers(self, text: str) -> None:
        settings = parse_database_url(f"{PRIVATE}?options={text}").connect_args["server_settings"]
        assert settings == {"options": text.replace("%3D", "=")}


class TestSqlite:
    def test_a_relative_file(self) -> None:
        url = parse_database_url("sqlite:///relative.db")
        assert url.is_sqlite
        assert url.path == Path("relative.db")

    def test_an_absolute_file(self) -> None:
        assert parse_database_url("sqlite:////srv/absolute.db").path == Path("/srv/absolute.db")

    def test_whatever_the_driver(self) -> None:
        url = parse_database_url("sqlite+pysqlite:///relative.db")
        assert url.url.drivername == "sqlite"

    def test_percent_encoding_is_undone(self) -> None:
        assert parse_database_url("sqlite:////srv/a%20b%25c.db").path == Path("/srv/a b%c.db")


class TestPoolers:
    @pytest.mark.parametrize("text", [NEON_POOLED, SUPABASE])
    def test_nothing_is_prepared_and_no_session_is_set_up(self, text: str) -> None:
        arguments = parse_database_url(text).connect_args
        assert arguments["statement_cache_size"] == 0
        assert arguments["prepared_statement_cache_size"] == 0
        assert "server_settings" not in arguments

    @pytest.mark.parametrize(
        "query",
        ["pgbouncer=true", "prepared_statements=false", "prepareThreshold=0", "statement_cache_size=0",
         "prepared_statement_cache_size=0", "supa=base-pooler.x"],
    )  # fmt: skip
    def test_the_parameters_of_other_clients_tell(self, query: str) -> None:
        assert parse_database_url(f"{PUBLIC}?{query}").pooled

    @pytest.mark.parametrize(
        "text", [SUPABASE.partition("?")[0], PUBLIC, PRIVATE, f"{PUBLIC}?pgbouncer=false"]
    )
    def test_where_nothing_tells_it_is_to_be_found_out(self, text: str) -> None:
        assert parse_database_url(text).pooler == "auto"

    def test_neon_tells_by_the_name(self) -> None:
        assert parse_database_url(NEON_DIRECT).pooler == "none"
        assert parse_database_url(NEON_POOLED).direct().connect_args.keys() == {"ssl"}

    def test_the_user_can_say_that_there_is_one(self) -> None:
        assert parse_database_url(PRIVATE, pooler="transaction").pooled

    def test_the_user_can_say_that_there_is_none(self) -> None:
        assert not parse_database_url(NEON_POOLED, pooler="none").pooled
        assert not parse_database_url(SUPABASE, pooler="none").pooled

    def test_direct_leaves_the_pooler_out(self) -> None:
        direct = parse_database_url(NEON_POOLED).direct()
        assert where(direct) == where(parse_database_url(NEON_DIRECT))
        assert not direct.pooled
        assert direct.connect_args["ssl"].check_hostname

    @pytest.mark.parametrize("text", [SUPABASE, NEON_DIRECT, PRIVATE, "sqlite:///a-pooler.db"])
    def test_direct_changes_nothing_where_the_name_does_not_tell_how(self, text: str) -> None:
        url = parse_database_url(text)
        assert url.direct() == url


class TestPasswords:
    @pytest.mark.parametrize(
        ("encoded", "password"),
        [("p%25w", "p%w"), ("p%40w", "p@w"), ("p%2Fw", "p/w"), ("p%2540", "p%40"), ("p+w", "p+w"), ("", "")],
    )
    def test_percent_encoding_is_undone_once(self, encoded: str, password: str) -> None:
        url = parse_database_url(f"postgresql://user:{encoded}@db/app")
        assert url.url.password == password
        assert url.url.host == "db"

    @pytest.mark.parametrize("text", [NEON_DIRECT, NEON_POOLED, SUPABASE, PUBLIC, PRIVATE])
    def test_no_text_shows_it(self, text: str) -> None:
        url = parse_database_url(text)
        for shown in (str(url), repr(url), f"{url}", str(url.direct()), repr([url])):
            assert "S3cr3t" not in shown
        assert "://" in str(url)

    def test_str_names_the_place(self) -> None:
        assert str(parse_database_url(PUBLIC)) == "postgresql://user:***@db.example.com/app"
        assert str(parse_database_url("sqlite:////srv/a.db")) == "sqlite:////srv/a.db"


class TestRefusals:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "it is not a database URL"),
            ("S3cr3t", "it is not a database URL"),
            ("postgresql://user:S3cr3t@db:S3cr3t/app", "it is not a database URL"),
            ("postgresql://user:S3cr3t@one:5432,two:5432/app", "it names several hosts: name the one that"),
            ("postgresql://user:S3cr3t@/app?host=one,two", "it names several hosts: name the one that"),
            ("$DATABASE_URL", "a variable that was not replaced by its value"),
            ("${DATABASE_URL}", "a variable that was not replaced by its value"),
            ("%DATABASE_URL%", "a variable that was not replaced by its value"),
            ("{{ secrets.S3cr3t }}", "a variable that was not replaced by its value"),
            ("DATABASE_URL=$DATABASE_URL", "a variable that was not replaced by its value"),
            ("postgresql://user:${S3cr3t}@db/app", "a variable that was not replaced by its value"),
            ("postgresql://postgres:[YOUR-PASSWORD]@db.abc.supabase.co:5432/postgres", "a placeholder: put"),
            ("postgresql://postgres:[your password]@db.abc.supabase.co:5432/postgres", "a placeholder: put"),
            ("postgresql://postgres.[YOUR-PROJECT-REF]:S3cr3t@x.supabase.com/postgres", "a placeholder: put"),
            ("postgresql://user:<password>@ep-x.neon.tech/neondb", "a placeholder: put"),
            ("postgresql://user:****************@ep-x.neon.tech/neondb", "a placeholder: put"),
            ("postgresql://user:YOUR_PASSWORD@db/app", "a placeholder: put"),
            ("psql -h db -U user -d app", "options of psql are not supported"),
            ("postgresql://user:S3cr3t@db\n/app", "a space or a line break in it"),
            ("postgresql://user:S3cr 3t@db/app", "a space or a line break in it"),
            ("host=db dbname='app", "neither a database URL nor a list of name=value"),
            ("host=db user=user password=S3cr3t", "it names no database"),
            ("host=db dbname=app port=S3cr3t", "the port must be 1 to 65535"),
            ("host=db dbname=app S3cr3t=1", "it has an unknown parameter"),
            ("mysql://user:S3cr3t@db/app", "it must begin with sqlite: or postgresql:"),
            ("postgresql://user:S3cr3t@db", "it names no database"),
            ("postgresql://user:S3cr3t@db/", "it names no database"),
            ("sqlite://", "SQLite needs a file"),
            ("sqlite:///:memory:", "SQLite needs a file"),
            ("sqlite:///tasks.db?key=S3cr3t", "an SQLite URL takes no parameters"),
            (f"{PRIVATE}?sslmode=S3cr3t", "sslmode must be one of disable, allow, prefer, require"),
            (f"{PRIVATE}?channel_binding=S3cr3t", "channel_binding must be disable, prefer or require"),
            (f"{PRIVATE}?connect_timeout=S3cr3t", "connect_timeout must be 1 to 600 seconds"),
            (f"{PRIVATE}?connect_timeout=0", "connect_timeout must be 1 to 600 seconds"),
            (f"{PRIVATE}?connect_timeout=601", "connect_timeout must be 1 to 600 seconds"),
            (f"{PRIVATE}?sslmode=verify-full&sslrootcert=/S3cr3t", "sslrootcert is not a readable file"),
            (f"{PRIVATE}?sslmode=prefer&channel_binding=require", "need sslmode=require"),
            (f"{PRIVATE}?sslmode=disable&sslrootcert=system", "need sslmode=require"),
            (f"{PRIVATE}?schema=S3cr3t", "the parameter schema belongs to another client; remove it"),
            (f"{PRIVATE}?connection_limit=1", "connection_limit belongs to another client"),
            (f"{PRIVATE}?sslcert=S3cr3t", "sslcert belongs to another client; remove it (certificates of"),
            (f"{PRIVATE}?target_session_attrs=standby", "target_session_attrs must be any, read-write or"),
            (f"{PRIVATE}?gssencmode=require", "gssencmode must be disable or prefer"),
            (f"{PRIVATE}?client_encoding=LATIN1", "client_encoding must be UTF8"),
            (f"{PRIVATE}?sslmode=no-verify&channel_binding=require", "need sslmode=require"),
            (f"{PRIVATE}?password=S3cr3t", "it has an unknown parameter: remove it; known are sslmode"),
            (f"{PRIVATE}?S3cr3t=1", "it has an unknown parameter"),
            (f"{PRIVATE}?SSLMODE=require", "it has an unknown parameter"),
            # Taken literally, half of the password would be the host's name, which is shown.
            ("postgresql://user:half@S3cr3t@db/app", "must be percent-encoded"),
            ("postgresql://user:half@S3/cr3t@db:5432/app", "must be percent-encoded"),
            ("postgresql://user:half@S3?cr3t@db:5432/app", "names no database"),
            ("postgresql://user:half@S3#cr3t@db:5432/app", "must be percent-encoded"),
            ("postgresql://user:half@1:2/cr3t@db/app", "must be percent-encoded"),
            ("postgresql://user:S3cr3t@db:99999/app", "the port must be 1 to 65535"),
            ("postgresql://user:S3cr3t@db:0/app", "the port must be 1 to 65535"),
            (f"{PRIVATE}?sslnegotiation=S3cr3t", "sslnegotiation must be postgres or direct"),
            (f"{PRIVATE}?sslnegotiation=direct", "sslnegotiation=direct needs sslmode=require"),
            (f"{PRIVATE}?sslmode=disable&sslnegotiation=direct", "sslnegotiation=direct needs sslmode"),
            (f"{PRIVATE}?pgbouncer=S3cr3t", "pgbouncer must be true or false"),
            ("sqlite://folder/tasks.db", "three slashes, or four"),
            # A query begins there, and the file would silently be another one.
            ("sqlite:///what?.db", "an SQLite URL takes no parameters"),
        ],
    )
    def test_the_message_names_the_part_and_never_the_password(self, text: str, message: str) -> None:
        with pytest.raises(BadDatabaseUrl) as refused:
            parse_database_url(text)
        assert message in str(refused.value)
        shown = "".join(traceback.format_exception(refused.value))
        assert "S3cr3t" not in shown + repr(refused.value)


class TestTls:
    @pytest.mark.parametrize("mode", ["require", "verify-full"])
    @pytest.mark.parametrize("host", ["db.example.com", "ep-x.aws.neon.tech", "8.8.8.8", "[2a00::1]"])
    def test_a_public_host_is_verified(self, host: str, mode: str) -> None:
        assert verifies(f"postgresql://user:S3cr3t@{host}/app?sslmode={mode}")

    PRIVATE_HOSTS = (
        "db", "localhost", "127.0.0.1", "10.1.2.3", "172.16.0.5", "192.168.1.20", "[::1]", "[fd00::5]",
        "postgres.railway.internal", "nas.local", "nas.lan",
    )  # fmt: skip

    @pytest.mark.parametrize("host", PRIVATE_HOSTS)
    def test_require_encrypts_without_verifying_in_a_private_network(self, host: str) -> None:
        context = context_of(f"postgresql://user:S3cr3t@{host}/app?sslmode=require")
        assert not context.check_hostname
        assert context.verify_mode is ssl.CERT_NONE

    @pytest.mark.parametrize(
        "query",
        [
            "sslmode=verify-full",
            "sslmode=require&channel_binding=require",
            "channel_binding=require",
            "sslmode=require&sslrootcert=system",
            "sslrootcert=system",
        ],
    )
    def test_whoever_asks_for_it_is_verified_everywhere(self, query: str) -> None:
        assert verifies(f"{PRIVATE}?{query}")

    @pytest.mark.parametrize("text", [PUBLIC, PRIVATE])
    def test_verify_ca_asks_for_the_certificate_but_not_for_the_name(self, text: str) -> None:
        context = context_of(f"{text}?sslmode=verify-ca")
        assert not context.check_hostname
        assert context.verify_mode is ssl.CERT_REQUIRED

    @pytest.mark.parametrize(
        ("mode", "driver"), [("disable", False), ("allow", "prefer"), ("prefer", "prefer")]
    )
    def test_the_weaker_modes_are_the_drivers(self, mode: str, driver: object) -> None:
        assert parse_database_url(f"{PUBLIC}?sslmode={mode}").connect_args == {"ssl": driver}

    def test_asyncpgs_own_name_for_it(self) -> None:
        assert verifies(f"{PUBLIC}?ssl=require")

    def test_direct_negotiation(self) -> None:
        arguments = parse_database_url(f"{PUBLIC}?sslmode=require&sslnegotiation=direct").connect_args
        assert arguments["direct_tls"] is True


# Made for these tests and trusted by nobody: a server that calls itself 127.0.0.1, until 2126.
KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgUNxbgvnWHxpXxYrM
wKRpul61GYp+eZaayu1g/4SsuAahRANCAAQZLE0sqYx1fLp5/MrUIYqwYJDNO1n8
XAOmPRQu72j01l4OrgsmrnYrtl+4IHMJewSPRq7rnlzCGWqJ1AQtm/2G
-----END PRIVATE KEY-----
"""
CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBuDCCAV2gAwIBAgIUcFCd0MP7tW2EHLiiAYK5Ot5T2oUwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJMTI3LjAuMC4xMCAXDTI2MTEyMTEyMjc1NVoYDzIxMjYxMDI4
MTIyNzU1WjAUMRIwEAYDVQQDDAkxMjcuMC4wLjEwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAAQZLE0sqYx1fLp5/MrUIYqwYJDNO1n8XAOmPRQu72j01l4OrgsmrnYr
tl+4IHMJewSPRq7rnlzCGWqJ1AQtm/2Go4GKMIGHMB0GA1UdDgQWBBRWivnaLUve
wkl/SbBXrf4hs+f0ozAfBgNVHSMEGDAWgBRWivnaLUvewkl/SbBXrf4hs+f0ozAP
BgNVHREECDAGhwR/AAABMA8GA1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgKE
MBMGA1UdJQQMMAoGCCsGAQUFBwMBMAoGCCqGSM49BAMCA0kAMEYCIQDALQHCxcTt
OhYKi4uvejrPPSi5llv97/8tvh2C5a6M4gIhAJGnEauG60y2yz3qUHzZsG+S5pGV
6dYAA3RziXpNPLG/
-----END CERTIFICATE-----
"""
SSL_REQUEST = bytes.fromhex("0000000804d2162f")
WRONG_PASSWORD = b"E\x00\x00\x00\x1eSFATAL\x00VFATAL\x00C28P01\x00Mno\x00\x00"


class Stranger:
    """Speaks PostgreSQL up to the client's StartupMessage, over TLS if asked; then it knows no password."""

    def __init__(self, listener: socket.socket, tls: ssl.SSLContext) -> None:
        self._listener = listener
        self._tls = tls

    def hear(self) -> bytes:
        """What the client says once it trusts the connection; nothing if it does not."""
        connection, _ = self._listener.accept()
        connection.settimeout(10)
        with connection:
            said = connection.recv(1_024)
            if said != SSL_REQUEST:
                connection.sendall(WRONG_PASSWORD)
                return said
            connection.sendall(b"S")
            try:
                encrypted = self._tls.wrap_socket(connection, server_side=True)
            except (ssl.SSLError, ConnectionError):
                return b""
        with encrypted:
            said = encrypted.recv(1_024)
            encrypted.sendall(WRONG_PASSWORD)
            return said


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    path = tmp_path / "server.pem"
    path.write_text(CERTIFICATE)
    return path


@contextmanager
def stranger(listener: socket.socket, folder: Path) -> Iterator[Future[bytes]]:
    key = folder / "key.pem"
    key.write_text(KEY + CERTIFICATE)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(key)
    listener.settimeout(10)
    with listener, ThreadPoolExecutor(1) as thread:
        yield thread.submit(Stranger(listener, tls).hear)


async def connect(text: str) -> None:
    backend = PostgresBackend(parse_database_url(text))
    try:
        async with backend.reading():
            pass
    finally:
        await backend.close()


def first_words(host: str, query: str, folder: Path) -> bytes:
    """What a client with this URL says to a stranger on the port, its start-up parameters or nothing."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    with stranger(listener, folder) as heard:
        try:
            asyncio.run(connect(f"postgresql://alice:S3cr3t@{host}:{port}/app?{query}"))
        except (ssl.SSLCertVerificationError, NotConnected):
            return heard.result()
    raise AssertionError("a stranger was taken for a database")


class TestTlsOnTheWire:
    @pytest.mark.parametrize(
        "query", ["sslmode=verify-full", "sslmode=verify-ca", "sslmode=require&channel_binding=require"]
    )
    def test_a_certificate_that_nobody_vouches_for_is_refused(self, query: str, tmp_path: Path) -> None:
        assert first_words("127.0.0.1", query, tmp_path) == b""

    @pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
    def test_it_is_taken_when_it_is_given_as_root(self, mode: str, certificate: Path, tmp_path: Path) -> None:
        query = f"sslmode={mode}&sslrootcert={quote(str(certificate))}"
        assert b"\0user\0alice\0" in first_words("127.0.0.1", query, tmp_path)

    def test_its_name_counts_in_verify_full(self, certificate: Path, tmp_path: Path) -> None:
        query = f"sslmode=verify-full&sslrootcert={quote(str(certificate))}"
        assert first_words("localhost", query, tmp_path) == b""

    def test_its_name_does_not_count_in_verify_ca(self, certificate: Path, tmp_path: Path) -> None:
        query = f"sslmode=verify-ca&sslrootcert={quote(str(certificate))}"
        assert b"\0user\0alice\0" in first_words("localhost", query, tmp_path)

    @pytest.mark.parametrize("mode", ["require", "disable"])
    def test_nobody_is_asked_for_one_otherwise(self, mode: str, tmp_path: Path) -> None:
        assert b"\0user\0alice\0" in first_words("127.0.0.1", f"sslmode={mode}", tmp_path)

    def test_a_unix_socket_is_reached(self, tmp_path: Path) -> None:
        # The path of a socket must be short, and pytest's folders are not.
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"{folder}/.s.PGSQL.5432")
            listener.listen()
            with stranger(listener, tmp_path) as heard:
                with pytest.raises(NotConnected):
                    asyncio.run(connect(f"postgresql://alice:S3cr3t@/app?host={quote(folder)}"))
                assert b"\0database\0app\0" in heard.result()
