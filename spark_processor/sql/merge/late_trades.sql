-- A trade that reaches a bar after it was proven should be impossible. It is merged, and people are told.
insert into alerts as a (what, about, detail)
select
    'late trade', format('%s %s %s', exchange, symbol, to_char(b.window_start, 'YYYY-MM-DD HH24:MI')),
    format('%s trades with ids %s to %s reached this bar after it was proven: were trade times falling?',
           sum(s.trades), min(s.first_id), max(s.last_id))
from (select *, to_timestamp(minute * 60) as window_start from stage where kind = 'bar') s
join trades_1min_agg b using (exchange, symbol, window_start)
where b.proven_at is not null
group by exchange, symbol, b.window_start
on conflict (what, about) where closed_at is null do update set
    last_seen_at = clock_timestamp(), detail = excluded.detail
