"""What each login of the database may do, and what it may not: all of it tried."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

import psycopg2
import pytest
from psycopg2 import errors, sql
from psycopg2.extensions import connection as Connection  # noqa: N812 - psycopg2 names its class in lower case

from local import airflow, database, provision
from local.provision import MONITOR, READER, WRITER

LOGINS = {WRITER: "crypto_writer", READER: "crypto_reader", MONITOR: "crypto_monitor"}
AIRFLOW = airflow.DATABASE  # Airflow's own user, who has a database of this name to himself
READS, KEEPS = {"select"}, {"select", "insert", "update"}

TABLES = {
    WRITER: {
        **dict.fromkeys(("exchanges", "trades_1min_agg", "coverage", "latest_prices", "alerts"), KEEPS),
        "rejected_messages": {*KEEPS, "delete"},
        "batches": {"select", "insert", "delete"},
    },
    MONITOR: {
        **dict.fromkeys(
            ("exchanges", "trades_1min_agg", "coverage", "latest_prices", "batches", "bars_1min"), READS
        ),
        **dict.fromkeys(("gaps", "alerts", "candles_1min", "candle_checks"), KEEPS),
        **dict.fromkeys(("bar_differences", "certificates", "history_days", "rest_limits"), KEEPS),
        "rest_calls": {"select", "insert", "delete"},
    },
}
READING = {"missing_ids", "bars_1min_grid", "audited_minutes", "differing_fields", "schema_version"}
FUNCTIONS = {
    WRITER: {"lock_bars", "mark_proven", "schema_version"},
    READER: READING,
    MONITOR: READING | {"confirm", "forget", "open_wanted", "ids_in_ledger", "spend_weight"},
}

# Each is refused to each login, in the pipeline's database.
REFUSED = [
    # becoming somebody else, or more
    "set role postgres",
    "set role {other_role}",
    "set session authorization {other_login}",
    "alter role {other_login} password 'mine'",
    "alter role {login} superuser",
    "alter role {login} createrole",
    "alter role {other_login} set search_path = mine",
    "create role mine",
    "grant {other_role} to {login}",
    "grant pg_read_all_data to {login}",
    "select rolpassword from pg_authid",
    "select passwd from pg_shadow",
    # making or changing objects
    "create table mine ()",
    "create table public.mine ()",
    "create schema mine",
    "create function public.mine() returns int language sql as 'select 1'",
    "create operator public.=== (function = int4eq, leftarg = int4, rightarg = int4)",
    "create type public.mine as (n int)",
    "create view public.mine as select 1",
    "create index on trades_1min_agg (open)",
    "create trigger mine before insert on coverage execute function suppress_redundant_updates_trigger()",
    "create rule mine as on insert to coverage do instead nothing",
    "alter table coverage disable trigger all",
    "alter table trades_1min_agg owner to {login}",
    "alter function lock_bars() owner to {login}",
    "comment on table coverage is 'mine'",
    "drop table gaps",
    "drop view bars_1min",
    "drop function lock_bars()",
    "truncate coverage",
    "reindex table coverage",
    "alter database crypto_data set crypto_pipeline.source = 'mine'",
    "alter database crypto_data set search_path = mine",
    "alter schema public rename to mine",
    "create database mine",
    "drop database airflow",
    "create publication mine for all tables",
    # out of the database, into files, programs, other servers
    "create foreign data wrapper mine",
    "create subscription mine connection 'host=127.0.0.1' publication mine",
    "load 'mine'",
    "copy coverage to program 'id'",
    "copy {own_table} from program 'id'",
    "copy coverage to '/tmp/mine'",
    "copy {own_table} from '/etc/passwd'",
    "select pg_read_file('/etc/passwd')",
    "select pg_ls_dir('/')",
    "select pg_stat_file('/etc/passwd')",
    "select lo_import('/etc/passwd')",
    "select lo_export(1, '/tmp/mine')",
    "select * from pg_hba_file_rules",
    "select pg_ls_logdir()",
    "select pg_current_logfile()",
    # large objects, of which nobody has need, fill the disk
    "select lo_create(0)",
    "select lo_creat(-1)",
    "select lo_from_bytea(0, 'mine')",
    # the server's own behaviour
    "set session_replication_role = replica",
    "set log_statement = 'all'",
    "set temp_file_limit = -1",
    "alter system set fsync = off",
    "select pg_reload_conf()",
    "select pg_rotate_logfile()",
    "select pg_switch_wal()",
    "select pg_create_restore_point('mine')",
    "select pg_create_physical_replication_slot('mine')",
    "select pg_terminate_backend({superusers_session})",
    "select pg_cancel_backend({superusers_session})",
    "checkpoint",
    "select pg_log_backend_memory_contexts({superusers_session})",
    "select pg_replication_origin_create('mine')",
    "select pg_stat_reset()",
]


# these are refused for another reason first where they stand in a transaction
OUTSIDE_OF_TRANSACTIONS = ("create database", "drop database", "create subscription", "alter system")


@dataclass(frozen=True)
class Setup:
    """superuser: a session of his in the pipeline's database. dsns: of each login."""

    superuser: Connection
    dsns: dict[str, str]


@pytest.fixture(scope="module")
def setup(postgres_server: database.Server) -> Iterator[Setup]:
    """The database as the product sets it up, with all its logins."""
    server = postgres_server.dsn()
    passwords = {login: f"of {login}" for login in (*LOGINS, AIRFLOW)}
    provision.set_up(
        server, "simulated", writer=passwords[WRITER], reader=passwords[READER], monitor=passwords[MONITOR]
    )
    provision.create_owned_database(server, AIRFLOW, passwords[AIRFLOW])
    pipeline = provision.changed(server, dbname=provision.DATABASE)
    dsns = {
        login: provision.changed(
            server, dbname=provision.DATABASE if login in LOGINS else AIRFLOW, user=login, password=password
        )
        for login, password in passwords.items()
    }
    try:
        with closing(psycopg2.connect(pipeline)) as superuser:
            yield Setup(superuser, dsns)
    finally:
        for name in (provision.DATABASE, AIRFLOW):
            provision.drop_database(server, name)
        with closing(psycopg2.connect(server)) as end, end, end.cursor() as cursor:
            for login in dsns:
                cursor.execute(sql.SQL("drop role {}").format(sql.Identifier(login)))


@pytest.fixture
def refuses(setup: Setup) -> Iterator[Callable[[str, str], str]]:
    """What the database says to a statement of a login, where it lacks the right to it; empty where it does not.

    Whatever the statement does is undone.
    """
    # a lock that one may take, and should not, makes the next one wait
    options = "-c statement_timeout=5s"
    sessions = {login: psycopg2.connect(dsn, options=options) for login, dsn in setup.dsns.items()}

    def say(login: str, statement: str) -> str:
        session = sessions[login]
        session.autocommit = statement.startswith(OUTSIDE_OF_TRANSACTIONS)
        try:
            with session.cursor() as cursor:
                cursor.execute(statement)
        except errors.InsufficientPrivilege as refusal:
            return str(refusal.diag.message_primary)
        except psycopg2.DatabaseError:
            return ""
        finally:
            session.rollback()
        return ""

    yield say
    for session in sessions.values():
        session.close()


@pytest.mark.parametrize("login", LOGINS)
def test_a_login_may_do_with_each_table_what_its_part_does_and_no_more(
    setup: Setup, refuses: Callable[[str, str], str], login: str
) -> None:
    columns = _rows(
        setup.superuser,
        "select relname, (select attname from pg_attribute where attrelid = pg_class.oid and attnum = 1) "
        "from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'v', 'p', 'f', 'm')",
    )
    assert len(columns) >= 16
    found = {}
    for table, column in columns:
        statements = {
            "select": f"select from {table} limit 0",
            "insert": f"insert into {table} default values",
            "update": f"update {table} set {column} = default where false",  # noqa: S608 - names of our own tables
            "delete": f"delete from {table} where false",  # noqa: S608
            "truncate": f"truncate {table}",
        }
        found[str(table)] = {verb for verb, statement in statements.items() if not refuses(login, statement)}
    expected = dict.fromkeys(found, READS) if login == READER else TABLES[login]
    found["bars_1min"] &= READS  # to the others PostgreSQL objects for another reason: it is a view
    assert {table: verbs for table, verbs in found.items() if verbs} == expected


@pytest.mark.parametrize("login", LOGINS)
def test_a_login_may_call_the_functions_that_its_part_calls_and_no_other(
    setup: Setup, refuses: Callable[[str, str], str], login: str
) -> None:
    functions = _rows(
        setup.superuser,
        "select proname, array(select format('null::%s', format_type(type, null)) "
        "from unnest(proargtypes) with ordinality as argument (type, place) order by place) "
        "from pg_proc where pronamespace = 'public'::regnamespace",
    )
    assert len(functions) >= 11
    may = {
        name
        for name, arguments in functions
        if not refuses(login, f"select {name}({', '.join(arguments)})").startswith(
            "permission denied for function"
        )
    }
    assert may == FUNCTIONS[login]


@pytest.mark.parametrize("login", LOGINS)
@pytest.mark.parametrize("statement", REFUSED)
def test_no_login_gets_beyond_its_part(
    setup: Setup, refuses: Callable[[str, str], str], login: str, statement: str
) -> None:
    other_login, other_role = next((name, role) for name, role in LOGINS.items() if name != login)
    own_table = "alerts" if login != READER else "coverage"
    [[session]] = _rows(setup.superuser, "select pg_backend_pid()")
    refused = refuses(
        login,
        statement.format(
            login=login,
            other_login=other_login,
            other_role=other_role,
            own_table=own_table,
            superusers_session=session,
        ),
    )
    assert refused, f"{login}: {statement}"


@pytest.mark.parametrize("extension", ["dblink", "postgres_fdw", "file_fdw", "adminpack", "plperl"])
def test_no_login_gets_an_extension_that_leads_out_of_the_database(setup: Setup, extension: str) -> None:
    """Refused where the server has it; the demo's own has none, the one of the containers has them all."""
    for login in LOGINS:
        with closing(psycopg2.connect(setup.dsns[login])) as session, session.cursor() as cursor:
            with pytest.raises((errors.InsufficientPrivilege, errors.FeatureNotSupported)):
                cursor.execute(f"create extension {extension}")
            session.rollback()
            with pytest.raises(errors.UndefinedFunction):
                cursor.execute("select dblink('host=127.0.0.1', 'select 1')")


def test_people_can_lock_no_table_against_those_who_write(refuses: Callable[[str, str], str]) -> None:
    modes = ("row share", "row exclusive", "share update exclusive", "share", "exclusive", "access exclusive")
    assert [mode for mode in modes if not refuses(READER, f"lock table coverage in {mode} mode")] == []


def test_only_the_job_may_make_temporary_tables(refuses: Callable[[str, str], str]) -> None:
    makes = {login for login in LOGINS if not refuses(login, "create temp table mine (n int)")}
    assert makes == {WRITER}


@pytest.mark.parametrize(
    ("lock", "who"),
    [
        ("pg_advisory_xact_lock(4711)", {WRITER}),
        ("pg_advisory_lock(4711)", {MONITOR}),  # of all: it has the lock of the mails
        ("pg_advisory_xact_lock(4714, 1)", {MONITOR}),
        ("pg_advisory_xact_lock_shared(4711)", set()),
        ("pg_advisory_lock_shared(4711)", set()),
        ("pg_try_advisory_lock(4711)", set()),
        ("pg_try_advisory_xact_lock(4711)", set()),
        ("pg_try_advisory_lock_shared(4711)", set()),
        ("pg_advisory_lock(0, 4711)", set()),
    ],
)
def test_people_cannot_take_the_lock_of_the_bars_by_its_number(
    refuses: Callable[[str, str], str], lock: str, who: set[str]
) -> None:
    assert {login for login in LOGINS if not refuses(login, f"select {lock}")} == who


def test_each_login_connects_to_its_own_database_alone(setup: Setup) -> None:
    connects = set()
    for login, dsn in setup.dsns.items():
        for name in (provision.DATABASE, AIRFLOW):
            if database.is_ready(provision.changed(dsn, dbname=name)):
                connects.add((login, name))
    assert connects == {*((login, provision.DATABASE) for login in LOGINS), (AIRFLOW, AIRFLOW)}


@pytest.mark.parametrize(
    "statement", [s for s in REFUSED if s.startswith(("set ", "alter role", "select pg_", "copy"))]
)
def test_airflows_own_user_owns_his_database_and_nothing_of_the_server(
    setup: Setup, refuses: Callable[[str, str], str], statement: str
) -> None:
    with closing(psycopg2.connect(setup.dsns[AIRFLOW])) as own, own, own.cursor() as cursor:
        cursor.execute("create table if not exists coverage (n int)")
    [[session]] = _rows(setup.superuser, "select pg_backend_pid()")
    told = statement.format(
        login=AIRFLOW,
        other_login=WRITER,
        other_role="crypto_writer",
        own_table="coverage",
        superusers_session=session,
    )
    assert refuses(AIRFLOW, told), told


def test_functions_that_run_with_their_owners_rights_have_few_and_pin_their_search_path(setup: Setup) -> None:
    definers = _rows(
        setup.superuser,
        "select proname, pg_get_userbyid(proowner), proconfig from pg_proc "
        "where prosecdef and pronamespace = 'public'::regnamespace order by proname",
    )
    assert definers == [
        (name, "crypto_definer", ["search_path=public, pg_temp"])
        for name in ("close_wanted", "confirm", "forget", "open_wanted")
    ]
    rights = _rows(
        setup.superuser,
        "select table_name, array_agg(lower(privilege_type) order by privilege_type) "
        "from information_schema.role_table_grants where grantee = 'crypto_definer' group by 1 order by 1",
    )
    assert rights == [
        ("coverage", ["insert", "select", "update"]),
        ("trades_1min_agg", ["delete", "select", "update"]),
    ]


def test_a_table_of_the_callers_own_does_not_take_the_place_of_the_pipelines(setup: Setup) -> None:
    """As somebody would try who may make temporary objects, which the monitor may not."""
    with setup.superuser, setup.superuser.cursor() as cursor:
        cursor.execute("grant temporary on database crypto_data to crypto_monitor")
        cursor.execute("insert into coverage (exchange, symbol, seen) values ('binance', 'A-B', '{[1,3)}')")
    try:
        with closing(psycopg2.connect(setup.dsns[MONITOR])) as session, session, session.cursor() as cursor:
            cursor.execute(
                "create temp table coverage (like public.coverage);"
                "create function pg_temp.lock_bars() returns void language sql as 'select 1/0';"
                "create function pg_temp.greatest_of(a int8multirange, b int8multirange) returns boolean "
                "language sql as 'select 1/0 = 1';"
                "create operator pg_temp.@> (function = pg_temp.greatest_of, leftarg = int8multirange, "
                "rightarg = int8multirange);"
                "set search_path = pg_temp, pg_catalog, public;"
            )
            cursor.execute("select confirm('binance', 'A-B', 2, '2025-01-01 00:00+00')")
            assert cursor.fetchall() == [(True,)]
            cursor.execute("select forget('binance', 'A-B', '2025-01-01', '2025-01-02')")
            cursor.execute("select * from pg_temp.coverage")
            assert cursor.fetchall() == []
        confirmed = "select confirmed_through is not null from coverage where symbol = 'A-B'"
        assert _rows(setup.superuser, confirmed) == [(True,)]
    finally:
        with setup.superuser, setup.superuser.cursor() as cursor:
            cursor.execute("revoke temporary on database crypto_data from crypto_monitor")
            cursor.execute("delete from coverage")


def test_rights_that_were_given_besides_are_gone_when_the_schema_is_applied_again(
    setup: Setup, refuses: Callable[[str, str], str], postgres_server: database.Server
) -> None:
    with setup.superuser, setup.superuser.cursor() as cursor:
        cursor.execute("grant delete on trades_1min_agg to crypto_reader; grant create on schema public to public")
    assert not refuses(READER, "delete from trades_1min_agg where false")
    provision.apply_schema(provision.changed(postgres_server.dsn(), dbname=provision.DATABASE))
    assert refuses(READER, "delete from trades_1min_agg where false")
    assert refuses(READER, "create table public.mine ()")


def test_a_password_does_not_stand_in_the_servers_log_even_where_statements_do(
    postgres_server: database.Server, empty_database_dsn: str
) -> None:
    with closing(psycopg2.connect(empty_database_dsn)) as session, session, session.cursor() as cursor:
        cursor.execute("create role talks nologin")
    logging_dsn = provision.changed(empty_database_dsn, options="-c log_statement=all")
    provision.create_login(logging_dsn, "talked_of", "planted-in-a-statement", "talks")
    log = (postgres_server.folder / "server.log").read_text()
    assert 'create role "talked_of" login password' in log
    assert "planted-in-a-statement" not in log


def _rows(session: Connection, query: str) -> list[tuple[object, ...]]:
    with session, session.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()
