"""The demo as a whole: real recorded trades become proven bars, and it stops and goes on without a trace.

The tests build on each other, in this order; the last ones stop the demo, and forget it.
"""

import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest
from model.demo import Demo, wait_until
from model.recorded import FULL_MINUTES, bars, proven_recorded_bars, recorded_bars
from model.verdict import unsettled_minutes

from crypto_pipeline.submit.master import authorization
from local import leftovers
from local.exchange.faults import Loss


@pytest.mark.timeout(900)
def test_recorded_trades_become_the_exchanges_own_bars_each_proven(demo: Demo) -> None:
    assert proven_recorded_bars(demo, 240) == recorded_bars()


@pytest.mark.timeout(600)
def test_the_audit_finds_the_bars_equal_to_the_exchanges_candles_and_certifies_them(demo: Demo) -> None:
    key = "binance:TRX-USDT"
    assert demo.run_dag("crypto_pipeline_audit_dag", symbols=[key], certify=True) == "success"
    assert demo.query("select * from bar_differences") == []
    [[proven, equal, different]] = demo.query(
        "select sum(minutes_proven), sum(minutes_equal), sum(minutes_different) from certificates "
        "where exchange = 'binance' and symbol = 'TRX-USDT'"
    )
    # the last two minutes are too young
    assert (proven >= FULL_MINUTES - 2, equal, different) == (True, proven, 0)
    assert any(mail["subject"].startswith(key) for mail in demo.mails())


def test_bars_of_the_other_exchange_grow_too(demo: Demo) -> None:
    count = "select count(*) from trades_1min_agg where exchange = 'kucoin' and symbol = 'BTC-USDT'"
    wait_until(lambda: demo.query(count)[0][0] >= 1, 60, "a bar of kucoin BTC-USDT")


def test_the_addresses_of_the_running_demo_let_others_join_in(demo: Demo) -> None:
    from kafka import KafkaConsumer

    addresses = demo.addresses()
    consumer = KafkaConsumer(bootstrap_servers=addresses["KAFKA_BOOTSTRAP_SERVERS"])
    try:
        assert len(consumer.partitions_for_topic(addresses["KAFKA_TOPIC"])) == 6
    finally:
        consumer.close()
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        demo.query("delete from trades_1min_agg returning symbol")


def test_the_master_takes_submissions_over_rest_from_those_who_know_its_key(demo: Demo) -> None:
    """Without one, any page in a browser of this machine could have a program run, by a POST of text/plain."""
    with demo.submissions() as client:
        answer = client.get("status/driver-none").json()
        assert (answer["action"], answer["success"]) == ("SubmissionStatusResponse", False)
        for header in ("", authorization("x" * 43)):
            client.headers.update({"Authorization": header, "Content-Type": "text/plain"})
            refused = [
                client.post("create", content="{}"),
                client.post("killall"),
                client.get("status/driver-none"),
            ]
            assert [one.status_code for one in refused] == [403, 403, 403]


def test_a_second_demo_on_the_same_folder_is_refused(demo: Demo) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "local.demo"], env=demo.environ, capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert "a demo runs already" in run.stdout


def test_without_a_terminal_it_prints_lines(demo: Demo) -> None:
    wait_until(lambda: "binance TRX-USDT 0." in demo.output, 30, "a line of TRX-USDT")


@pytest.mark.timeout(900)
def test_a_loss_is_named_in_a_mail_repaired_by_the_monitor_and_closed(demo: Demo) -> None:
    with demo.truth() as truth:
        began = datetime.now(UTC)
        # more than the producer mends unasked
        truth.inject(Loss(exchange="binance", symbols=["TRX-USDT"], count=200))
        wait_until(lambda: truth.faults() == [], 120, "200 trades are lost")
        minute = timedelta(minutes=1)
        # a hole's age counts from the end of the minute in which it ends
        counts_at = datetime.now(UTC).replace(second=0, microsecond=0) + minute + timedelta(seconds=8)
        wait_until(lambda: datetime.now(UTC) > counts_at, 80, "the hole is old enough")
        lost = truth.sent("binance", "TRX-USDT").faults["loss"]
        assert demo.run_dag("crypto_pipeline_monitor_dag") == "success"
        # the mail that it is over names them too, when the run on schedule came first
        naming, *_ = [mail for mail in demo.mails() if f"ids {min(lost)} to " in mail["text"]]
        assert "binance:TRX-USDT" in naming["text"]
        until = datetime.now(UTC).replace(second=0, microsecond=0)
        wait_until(
            lambda: not unsettled_minutes(demo, truth, [("binance", "TRX-USDT")], began - minute, until),
            120,
            "the bars are whole",
        )
        assert demo.run_dag("crypto_pipeline_monitor_dag") == "success"
        assert any("over: gap" in mail["subject"] for mail in demo.mails())


@pytest.mark.timeout(900)
def test_after_ctrl_c_nothing_of_it_runs_and_it_goes_on_from_where_it_was(demo: Demo) -> None:
    assert demo.send(signal.SIGINT) == 0
    assert leftovers.find(demo.state_dir) == []
    assert "stopped; the next make demo goes on from here" in demo.output
    goes_on(demo)


@pytest.mark.timeout(900)
def test_after_kill_the_next_one_ends_what_was_left_and_goes_on(demo: Demo) -> None:
    assert demo.send(signal.SIGKILL) == -signal.SIGKILL
    assert leftovers.find(demo.state_dir) != []
    goes_on(demo)
    assert "processes of a demo that was killed" in demo.output


def test_forgetting_is_refused_while_it_runs_and_leaves_nothing_after(demo: Demo) -> None:
    clean = [sys.executable, "-m", "local.clean"]
    assert subprocess.run(clean, env=demo.environ, capture_output=True, check=False).returncode == 1
    assert demo.send(signal.SIGTERM) == 0
    assert demo.addresses() == {}
    assert leftovers.find(demo.state_dir) == []
    subprocess.run(clean, env=demo.environ, check=True)
    assert not demo.state_dir.exists()


def goes_on(demo: Demo) -> None:
    """Starts a demo that was stopped, and sees new trades, and the bars that were proven before unchanged."""
    demo.start()
    before = bars(demo, proven=True)
    newest = "select max(last_trade_id) from trades_1min_agg where exchange = 'binance' and symbol = 'TRX-USDT'"
    top = demo.query(newest)
    wait_until(lambda: demo.query(newest) > top, 240, "a trade after the restart")
    after = bars(demo, proven=True)
    assert len(before) >= FULL_MINUTES - 1
    assert {minute: after[minute] for minute in before} == before
