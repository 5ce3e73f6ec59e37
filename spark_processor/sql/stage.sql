-- What the kernels of one batch hand to the merge; `kind` says which of the columns a row uses.
create temp table if not exists stage (
    kind text not null,  -- bar, ids, rejected, counts
    exchange text, symbol text,
    minute bigint, open numeric, high numeric, low numeric, close numeric, volume numeric, quote_volume numeric,
    taker_buy_volume numeric, taker_buy_quote_volume numeric, trades bigint,
    first_id bigint, last_id bigint, last_traded_at_us bigint,
    live_from bigint, seen int8multirange,
    "partition" int, "offset" bigint, key bytea, value bytea, reason text,
    messages bigint, rejected bigint, duplicates bigint, contradictions bigint, newest_received_at_us bigint
) on commit delete rows
