-- The batch itself, with the offsets planned for it, and where a job without a past goes on.
with counts as (
    select
        coalesce(sum(messages), 0) as messages, coalesce(sum(duplicates), 0) as duplicates,
        coalesce(sum(rejected), 0) as rejected, coalesce(sum(contradictions), 0) as contradictions,
        coalesce(sum(trades) filter (where kind = 'bar'), 0) as trades,
        max(newest_received_at_us) as newest_received_at_us
    from stage
),
inserted as (
    insert into batches (
        topic, offsets, positions, messages, trades, voids, duplicates, rejected, contradictions, time_falls, proven,
        started_at
    )
    select
        %(topic)s, %(offsets)s,
        coalesce((select positions from batches where topic = %(topic)s order by batch_no desc limit 1), '{}')
            || %(positions)s,
        messages, trades, messages - trades - duplicates - rejected, duplicates, rejected, contradictions,
        %(time_falls)s, %(proven)s, %(started_at)s
    from counts
    returning batch_no, messages, trades, voids, duplicates, rejected, contradictions, time_falls, proven
)
select inserted.*, newest_received_at_us from inserted, counts
