-- What the demo shows of each symbol: its newest price, how many of its bars are proven, how many ranges of its
-- trade ids are missing, and how old its newest trade was, by the exchange's clock, when it was committed.
select c.exchange,
       c.symbol,
       p.price,
       (select count(*)
          from trades_1min_agg b
         where b.exchange = c.exchange and b.symbol = c.symbol and b.proven_at is not null) as bars_proven,
       (select count(*)
          from unnest(c.wanted * int8multirange(int8range(null, upper(c.seen))) - c.seen)) as holes,
       extract(epoch from c.updated_at - p.traded_at)::float8 as lag_s
  from coverage c
  left join latest_prices p using (exchange, symbol)
 order by c.exchange, c.symbol
