insert into latest_prices as latest (exchange, symbol, price, trade_id, traded_at)
select distinct on (exchange, symbol)
    exchange, symbol, close, last_id, timestamptz 'epoch' + last_traded_at_us * interval '1 microsecond'
from stage
where kind = 'bar'
order by exchange, symbol, last_id desc
on conflict (exchange, symbol) do update set
    price = excluded.price, trade_id = excluded.trade_id, traded_at = excluded.traded_at
where excluded.trade_id > latest.trade_id
