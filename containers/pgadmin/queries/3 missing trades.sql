-- Which trade ids each symbol lacks now: wanted, below our newest, and not seen.
select c.exchange, c.symbol, h.ids, upper(h.ids) - lower(h.ids) as trades
  from coverage c,
       unnest(c.wanted * int8multirange(int8range(null, upper(c.seen))) - c.seen) as h(ids)
 order by c.exchange, c.symbol, h.ids;
