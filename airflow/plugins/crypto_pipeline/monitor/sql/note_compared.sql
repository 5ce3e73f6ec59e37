insert into candle_checks (exchange, symbol, compared_through)
values (%(exchange)s, %(symbol)s, %(compared_through)s)
on conflict (exchange, symbol) do update set compared_through = excluded.compared_through
