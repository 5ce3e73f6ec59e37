"""The tasks of the monitor: each opens what it works with, and calls the logic."""

import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from airflow.providers.common.compat.sdk import conf
from airflow.sdk.exceptions import AirflowSkipException

from crypto_pipeline import mail
from crypto_pipeline.access import database, past
from crypto_pipeline.monitor import alerts, candle_check, findings
from crypto_pipeline.monitor import fill as filling
from crypto_pipeline.monitor import freshness as feeds
from crypto_pipeline.monitor import gaps as ledger
from crypto_pipeline.monitor import stream as reading
from crypto_pipeline.raw_trades import publishing
from crypto_pipeline.settings import MonitorSettings
from crypto_pipeline.submit.connection import SUBMIT_CONN_ID, spark_connection
from crypto_pipeline.submit.master import MasterAway, SubmissionRefused
from crypto_pipeline.submit.reaper import owned_drivers, reap
from producer.exchanges import EXCHANGES
from producer.history import HistoryError
from producer.symbols import load_symbols

PART = "monitor"
_LEAST_FILL_S = 20.0  # also of the last of many symbols

log = logging.getLogger(__name__)


def stream(ti: Any) -> bool:
    """Whether the job has passed the ends of the topic; what stands against it is opened as an alert.

    ti: the task instance that asks.
    """
    settings = MonitorSettings()
    driver = _driver(ti)
    with database() as db:
        try:
            state = reading.look(
                db, settings.kafka_bootstrap_servers, settings.kafka_topic, settings.monitor_catch_up_s
            )
        except reading.BrokerAway as error:
            log.error("%s", error)
            findings.settle_stream(db, None, driver, str(error))
            return False
        findings.settle_stream(db, state, driver)
    log.info(
        "driver: %s; newest batch %s s ago; at first %d messages unread, oldest for %.0f s; caught up: %s",
        driver, "never" if state.batch_age_s is None else f"{state.batch_age_s:.0f}", state.lag.messages,
        state.lag.age_s, state.passed,
    )  # fmt: skip
    return state.passed


def freshness(passed: bool) -> dict[str, Any]:
    """The symbols whose feed is not simply fresh or quiet, and the exchanges that could not be judged."""
    _only_where(passed)
    settings = MonitorSettings()
    told: list[feeds.Freshness] = []
    away: dict[str, str] = {}
    behind: list[str] = []
    with database() as db:
        for exchange, symbols in _symbols(settings).items():
            try:
                with past(
                    exchange, settings.rest_url(exchange), PART, settings.monitor_weight_share, patience_s=30
                ) as history:
                    found = feeds.check(
                        db,
                        exchange,
                        symbols,
                        history,
                        lambda: _caught_up(db, settings),
                        grace_s=settings.monitor_feed_grace_s,
                        first_grace_s=max(settings.monitor_feed_grace_s, settings.monitor_catch_up_s),
                        confirm_margin_s=settings.monitor_confirm_margin_s,
                        halt_after_s=settings.monitor_halt_after_s,
                    )
            except HistoryError as error:
                log.warning("%s is not judged: %s", exchange, error)
                away[exchange] = str(error)
                continue
            if found is None:
                log.warning("%s is not judged: the job fell behind meanwhile", exchange)
                behind.append(exchange)
                continue
            for one in found:
                log.info("%s:%s %s, newest %s, ours %s", exchange, one.symbol, one.state, one.newest, one.top)
            told += [one for one in found if one.state not in (feeds.State.FRESH, feeds.State.QUIET)]
    return {"found": [one.as_json() for one in told], "away": away, "unjudged": behind}


def gaps(passed: bool, found: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Records what is missing; what to fill, a symbol each."""
    _only_where(passed)
    settings = MonitorSettings()
    with database() as db:
        tails = [one for one in _found(found) if one.state is feeds.State.STALLED]
        recorded = sum(ledger.record_tail(db, one) for one in tails)
        recorded += ledger.record_holes(db, settings.monitor_hole_grace_s)
        log.info("%d new gaps in the ledger", recorded)
        for exchange, symbols in _symbols(settings).items():
            if not EXCHANGES[exchange].consecutive_ids:
                with past(
                    exchange, settings.rest_url(exchange), PART, settings.monitor_weight_share, patience_s=30
                ) as history:
                    _compare(db, exchange, symbols, history, settings)
        bounds = ledger.Bounds(
            settings.monitor_weight_share,
            settings.monitor_gap_minutes,
            timedelta(hours=settings.monitor_gap_age_h),
        )
        return [work.as_json() for work in ledger.plan(db, bounds)]


def fill(work: Mapping[str, Any], dag_run: Any) -> str:
    """One attempt at the gaps of a symbol; what came of it."""
    settings = MonitorSettings()
    one = ledger.Work(**work)
    elapsed_s = (datetime.now(UTC) - dag_run.start_date).total_seconds()
    with (
        database() as db,
        past(one.exchange, settings.rest_url(one.exchange), PART, settings.monitor_weight_share) as history,
    ):
        filled = filling.fill(
            db,
            one,
            history,
            lambda: publishing(settings.kafka_bootstrap_servers, settings.kafka_topic),
            within_s=max(_LEAST_FILL_S, settings.monitor_fill_s - elapsed_s),
            max_attempts=settings.monitor_max_attempts,
        )
    return f"{filled.published} trades published; {filled.summary}"


def verify(passed: bool) -> list[dict[str, Any]]:
    """Judges the gaps once the job has read what was published; those that changed."""
    _only_where(passed)
    settings = MonitorSettings()
    with database() as db:
        if not _caught_up(db, settings):
            raise AirflowSkipException("the job has not read everything that was published: the next run judges")
        changes = ledger.verify(db, settings.monitor_max_attempts)
    for change in changes:
        log.info("gap %d of %s:%s: %s", change.gap_id, change.exchange, change.symbol, change.state)
    return [{"gap_id": change.gap_id, "state": change.state} for change in changes]


def tell(passed: bool, found: Mapping[str, Any] | None, dag_run: Any) -> int:
    """Mails what opened, changed or closed; how many alerts that were. Raises what sending raises."""
    settings = MonitorSettings()
    with database() as db:
        if passed:
            known = found or {"away": {}, "unjudged": list(_symbols(settings))}
            findings.settle_feeds(
                db,
                _found(found),
                known["away"],
                known["unjudged"],
                dag_run.start_date,
                settings.monitor_weight_share,
            )
        with mail.mailing(db):
            now = datetime.now(UTC)
            due = alerts.collect(db, now, settings.monitor_remind_h * 3600)
            if due:
                values = findings.mail_values(db, due, _url(dag_run), now)
                mail.send(*mail.render("monitor/alerts", values))
                alerts.told(db, due, now)
    log.info("%d alerts told", len(due))
    return len(due)


def _driver(ti: Any) -> str:
    """What the master says of the driver, in words, after killing those that nobody owns."""
    master = spark_connection(SUBMIT_CONN_ID).master
    try:
        owned = owned_drivers(ti)
        killed = [] if owned is None else reap(master, owned)
        alive = [driver.driver_id for driver in master.drivers() if driver.driver_id not in killed]
    except (MasterAway, SubmissionRefused) as error:
        return f"unknown ({error})"
    said = ", ".join(f"{driver_id} {master.state(driver_id)}" for driver_id in alive) or "none"
    if killed:
        log.warning("killed drivers that no run owns: %s", ", ".join(killed))
        said += f"; killed, since no run owns them: {', '.join(killed)}"
    return said


def _only_where(passed: bool) -> None:
    if not passed:
        raise AirflowSkipException("the stream has not caught up: lag is not loss, so nothing is judged")


def _caught_up(db: Any, settings: MonitorSettings) -> bool:
    try:
        start, ends = reading.bounds(settings.kafka_bootstrap_servers, settings.kafka_topic)
    except reading.BrokerAway as error:
        log.warning("%s", error)
        return False
    return reading.wait_until_passed(db, settings.kafka_topic, ends, settings.monitor_catch_up_s, start)


def _compare(
    db: Any, exchange: str, symbols: Sequence[str], history: candle_check.Past, settings: MonitorSettings
) -> None:
    lookback = timedelta(hours=settings.monitor_candle_hours)
    for symbol in symbols:
        try:
            compared = candle_check.compare(db, exchange, symbol, history, lookback=lookback)
        except HistoryError as error:
            log.warning("%s:%s is not compared with candles: %s", exchange, symbol, error)
            continue
        log.info(
            "%s:%s: %d minutes compared with candles, %d differ",
            exchange, symbol, compared.minutes, compared.different,
        )  # fmt: skip


def _symbols(settings: MonitorSettings) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for symbol in load_symbols(settings.symbols_file, settings.active_symbols):
        found.setdefault(symbol.exchange, []).append(symbol.name)
    return found


def _found(found: Mapping[str, Any] | None) -> list[feeds.Freshness]:
    return [feeds.Freshness.from_json(fields) for fields in (found or {}).get("found", ())]


def _url(dag_run: Any) -> str:
    base = str(conf.get("api", "base_url", fallback="http://localhost:8080")).rstrip("/")
    return f"{base}/dags/{dag_run.dag_id}/runs/{quote(dag_run.run_id, safe='')}"
