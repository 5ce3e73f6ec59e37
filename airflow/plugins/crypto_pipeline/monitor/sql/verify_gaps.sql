-- Coverage judges: whole gaps are verified, also those given up; of the rest, what has been tried often enough is
-- given up, and what is not is for the next run.
with judged as (
    select
        gap_id, state, attempts,
        coalesce(seen @> ids, false) or candles_fetched_at is not null and not consecutive as whole
    from gaps
    left join coverage using (exchange, symbol)
    cross join lateral (
        select coalesce((
            select consecutive_ids from exchanges where exchanges.exchange = gaps.exchange
        ), true) as consecutive
    ) as known
    where state <> 'verified' and ids is not null
)
update gaps
set state = case
        when whole then 'verified' when judged.attempts >= %(max_attempts)s then 'unfillable' else 'detected'
    end,
    verified_at = case when whole then clock_timestamp() end,
    changed_at = clock_timestamp()
from judged
where gaps.gap_id = judged.gap_id and (whole or judged.state = 'filling')
returning gaps.gap_id, exchange, symbol, gaps.state
