"""The causes of alerts: what each means and what a person should do. A new cause is an entry here."""

from dataclasses import dataclass

STREAM_DOWN = "stream down"
STREAM_BEHIND = "stream behind"
EXCHANGE_AWAY = "exchange away"
STALLED_FEED = "stalled feed"
NEVER_DELIVERED = "never delivered"
GAP = "gap"
CANDLE_DIFFERENCE = "candle difference"
LATE_TRADE = "late trade"
HALTED_MARKET = "halted market"


@dataclass(frozen=True, slots=True)
class Cause:
    """title: of its section in a mail. meaning, action: in sentences. query: shows more, with psql."""

    title: str
    meaning: str
    action: str
    query: str


_GAPS_QUERY = (
    "select gap_id, exchange, symbol, kind, ids, window_from, window_to, state, trades_recovered, detail "
    "from gaps where state <> 'verified' or changed_at > now() - interval '1 day' order by changed_at desc"
)
_BATCHES_QUERY = "select * from batches order by batch_no desc limit 10"
_COVERAGE_QUERY = (
    "select exchange, symbol, upper(seen) - 1 as newest_id, traded_at, confirmed_through "
    "from coverage left join latest_prices using (exchange, symbol) order by traded_at"
)

CAUSES = {
    STREAM_DOWN: Cause(
        "The stream is down",
        "The Spark job takes in nothing, or the broker does not answer. No trade is lost as long as the broker "
        "keeps it (72 h), but bars stand still, and gaps are not judged.",
        "Look at crypto_pipeline_submit_dag: its task must be deferred, and its log ends with the driver's. "
        "Trigger it if no run is active; see that broker, Spark master and worker run.",
        _BATCHES_QUERY,
    ),
    STREAM_BEHIND: Cause(
        "The stream is behind",
        "The Spark job works, but has not reached the end of the topic in time. Lag is not loss: gaps are not "
        "judged until it has caught up.",
        "Wait one or two runs after an outage or a replay. If the lag grows, look at the duration of batches, and "
        "give the worker more cores.",
        _BATCHES_QUERY,
    ),
    EXCHANGE_AWAY: Cause(
        "An exchange does not answer over REST",
        "Newest trades cannot be asked for, and gaps cannot be filled. The stream itself may be well.",
        "A limit (429) or ban (418) ends by itself at the time that it names: call no REST from this address "
        "until then. Otherwise look at the network and at the exchange's status page.",
        "select * from rest_limits",
    ),
    STALLED_FEED: Cause(
        "A feed has stalled",
        "The exchange has traded, and no trade has arrived here. The missing ids are fetched over REST, but new "
        "ones go missing for as long as the feed stands.",
        "Look at the producer: is it running, what do its log and /healthz say? Restart it. What it missed comes "
        "back by itself.",
        _COVERAGE_QUERY,
    ),
    NEVER_DELIVERED: Cause(
        "A symbol has never delivered",
        "The symbol is enabled, the exchange trades it, and nothing of it has ever arrived.",
        "Check its spelling in symbols.yaml (or ACTIVE_SYMBOLS), and that the producer was started after it was "
        "enabled.",
        _COVERAGE_QUERY,
    ),
    GAP: Cause(
        "Trades are missing",
        "Trade ids are missing from the stream. They are fetched over REST and published again, and the bars of "
        "these minutes are not proven until then.",
        "Nothing, while it is being filled. If it names crypto_pipeline_history_dag, trigger that with the "
        "parameters given. What was given up is missing at the exchange too, or refused by it: read the reason.",
        _GAPS_QUERY,
    ),
    CANDLE_DIFFERENCE: Cause(
        "Bars differ from the exchange's candles",
        "The connection lost trades without a trace in the ids. The exchange's candle is kept and shown instead.",
        "Nothing, if it is rare. If it is frequent, the connection is too slow for the exchange: give the "
        "producer fewer symbols a process.",
        _GAPS_QUERY,
    ),
    LATE_TRADE: Cause(
        "A trade came after the proof",
        "A trade reached a bar that was proven complete, which should be impossible. It was counted, and the bar "
        "must prove itself anew.",
        "Compare the minute with the exchange: trigger crypto_pipeline_audit_dag for it.",
        "select * from alerts where what = 'late trade' order by last_seen_at desc",
    ),
    HALTED_MARKET: Cause(
        "A market is halted",
        "No trade for unusually long, and the exchange's newest trade is ours: nothing is missing.",
        "Nothing.",
        _COVERAGE_QUERY,
    ),
}  # fmt: skip

# Told in a mail only beside something else: nothing is wrong with the pipeline.
NOTES = frozenset({HALTED_MARKET})
# Single events rather than states: over when a day has brought no further one.
EVENTS = frozenset({LATE_TRADE})


def cause_of(what: str) -> Cause:
    """The cause of that name; of one without an entry, what can be said without."""
    return CAUSES.get(
        what,
        Cause(
            what[:1].upper() + what[1:],
            "",
            "Read the details below.",
            f"select * from alerts where what = '{what.replace(chr(39), chr(39) * 2)}' order by opened_at desc",  # noqa: S608
        ),
    )
