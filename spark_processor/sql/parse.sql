-- The fast path: from the texts of the messages to `parsed`, one row for each that is settled here.
--
-- A message is taken only if it is, byte for byte, what the contract's writer would make of the values read from it
-- (which settles types, missing and doubled fields, escapes and NULs), and only if DECIMAL(18, 8) holds its numbers
-- exactly. Whatever else there is, good or bad, is left to `producer.trade.from_wire`.
--
-- Each layer is computed once, because DuckDB may not move filters while this runs (kernel.py): it would copy the
-- JSON extraction into every filter above it. Measured, CPU us a message: 9 if it may, 2.8 with MATERIALIZED layers,
-- 1.6 like this (1.1 since Arrow decodes). What is no JSON raises; then this runs again, `guarded`.
-- `try` instead would take 10 us a message as soon as one in two thousand raises. Nothing else here may raise, hence
-- the clamps.
create temp table parsed as
with objects as (
    select i, text, case when not getvariable('guarded') or json_valid(text) then json_transform(text, '{
        "exchange": "VARCHAR", "symbol": "VARCHAR", "trade_id": "BIGINT", "prev_trade_id": "BIGINT",
        "price": "VARCHAR", "quantity": "VARCHAR", "taker_side": "VARCHAR",
        "traded_at_us": "BIGINT", "received_at_us": "BIGINT", "source": "VARCHAR"}') end as o
    from candidates
),
canonical as (
    select i, o.exchange, o.symbol, o.price, o.quantity, o.taker_side = 'buy' as buy, o.source = 'ws' as ws,
           -- so low that arithmetic below cannot overflow; what a clamp changes takes the slow path
           least(greatest(o.trade_id, -1), 1000000000000000000) as id,
           least(greatest(o.prev_trade_id, -1), 1000000000000000000) as prev_id,
           least(greatest(o.traded_at_us, -1), 1000000000000000000) as traded_at_us,
           least(greatest(o.received_at_us, -1), 1000000000000000000) as received_at_us
    from objects
    where text = concat(
            '{"exchange":"', o.exchange, '","symbol":"', o.symbol, '","trade_id":', o.trade_id,
            ',"prev_trade_id":', coalesce(o.prev_trade_id::varchar, 'null'),
            ',"price":"', o.price, '","quantity":"', o.quantity, '","taker_side":"', o.taker_side,
            '","traded_at_us":', o.traded_at_us, ',"received_at_us":', o.received_at_us,
            ',"source":"', o.source, '"}')
      and o.taker_side in ('buy', 'sell') and o.source in ('ws', 'rest')
),
numbers as (
    select i, exchange, symbol, id, prev_id, buy, traded_at_us, received_at_us, ws,
           try_cast(case when regexp_full_match(price, '[0-9]{1,10}(\.[0-9]{1,8})?') then price end
                    as decimal(18, 8)) as price,
           try_cast(case when regexp_full_match(quantity, '[0-9]{1,10}(\.[0-9]{1,8})?') then quantity end
                    as decimal(18, 8)) as quantity
    from canonical
    where id between 0 and 999999999999999999 and coalesce(prev_id, 0) >= 0
      and traded_at_us >= getvariable('min_traded_at_us') and traded_at_us < getvariable('max_traded_at_us')
      and received_at_us between 0 and 999999999999999999
      and traded_at_us <= received_at_us + getvariable('max_ahead_us')
),
products as (
    select *, price::decimal(19, 8) * quantity::decimal(19, 8) as quote
    from numbers where price is not null and quantity is not null
)
select p.i, s.symbol_no,
       -- only while the symbol has no number yet
       case when s.symbol_no is null then p.exchange end as exchange,
       case when s.symbol_no is null then p.symbol end as symbol,
       p.id, coalesce(p.prev_id + 1, p.id) as lo, coalesce(p.id > s.top, true) as above,
       -- null where the trade enters no bar (void), or not this way (wide, slow.sql)
       case when p.quantity > 0 then nullif(p.price, 0) end as price, p.quantity, p.quote, p.buy,
       p.traded_at_us, p.received_at_us, p.ws, hash(p.price, p.quantity, p.buy, p.traded_at_us) as content
from products p
join exchanges e on e.exchange = p.exchange
left join symbols s on s.exchange = p.exchange and s.symbol = p.symbol
where p.quote < 100000000000000  -- 10^8 of them still sum up within DECIMAL(38, 16)
  and coalesce(case when e.consecutive_ids then p.prev_id = p.id - 1
                    else p.prev_id between p.id - getvariable('max_attested') and p.id - 1 end, true)
  and coalesce(p.id - getvariable('max_jump') <= s.top, true)
