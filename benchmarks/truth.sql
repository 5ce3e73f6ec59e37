-- The bars that the published trades make, and where those found in the database (bars.csv) differ from them.
create view expected as
select
    symbol, traded_at_us // 60000000 as minute,
    arg_min(price, trade_id)::decimal(38, 16) as open,
    max(price)::decimal(38, 16) as high,
    min(price)::decimal(38, 16) as low,
    arg_max(price, trade_id)::decimal(38, 16) as close,
    sum(quantity)::decimal(38, 16) as volume,
    sum(quote) as quote_volume,
    count(*) as trade_count,
    coalesce(sum(quantity) filter (buy), 0)::decimal(38, 16) as taker_buy_volume,
    coalesce(sum(quote) filter (buy), 0) as taker_buy_quote_volume
from (
    select *, price::decimal(19, 8) * quantity::decimal(19, 8) as quote
    from read_parquet(getvariable('folder') || '/trades_*.parquet')
)
group by symbol, minute;

create view found as
from read_csv(getvariable('folder') || '/bars.csv', header = false, columns = {
    'symbol': 'varchar', 'minute': 'bigint',
    'open': 'decimal(38, 16)', 'high': 'decimal(38, 16)', 'low': 'decimal(38, 16)', 'close': 'decimal(38, 16)',
    'volume': 'decimal(38, 16)', 'quote_volume': 'decimal(38, 16)', 'trade_count': 'bigint',
    'taker_buy_volume': 'decimal(38, 16)', 'taker_buy_quote_volume': 'decimal(38, 16)'})
where symbol <> getvariable('last_symbol');

create view differing as
(from expected except from found) union all (from found except from expected);
