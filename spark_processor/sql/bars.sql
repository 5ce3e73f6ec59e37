-- What the new trades add to the bars.
select 'bar' as kind, exchange, symbol, b.* exclude (symbol_no)
from (
    select symbol_no, traded_at_us // 60000000 as minute,
           arg_min(price, id)::varchar as open, max(price)::varchar as high, min(price)::varchar as low,
           arg_max(price, id)::varchar as close, sum(quantity)::varchar as volume, sum(quote)::varchar as quote_volume,
           coalesce(sum(quantity) filter (buy), 0)::varchar as taker_buy_volume,
           coalesce(sum(quote) filter (buy), 0)::varchar as taker_buy_quote_volume,
           count(*) as trades, min(id) as first_id, max(id) as last_id,
           arg_max(traded_at_us, id) as last_traded_at_us
    from parsed anti join repeats using (i) where price is not null group by symbol_no, minute
    union all by name
    -- wide ones one by one: Postgres' numeric sums them up
    select p.symbol_no, p.traded_at_us // 60000000 as minute,
           s.price as open, s.price as high, s.price as low, s.price as close,
           s.quantity as volume, s.quote as quote_volume,
           case when p.buy then s.quantity else '0' end as taker_buy_volume,
           case when p.buy then s.quote else '0' end as taker_buy_quote_volume,
           1 as trades, p.id as first_id, p.id as last_id, p.traded_at_us as last_traded_at_us
    from parsed p join slow s using (i) anti join repeats using (i) where s.wide and s.quote <> '0'
) b
join symbols using (symbol_no)
