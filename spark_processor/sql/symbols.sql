-- The symbols with coverage get numbers: ordering by a number costs half of ordering by two texts.
create temp table symbols as
select row_number() over () as symbol_no, exchange, symbol, max(hi) as top from seen group by exchange, symbol
