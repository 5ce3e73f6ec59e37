-- The batch itself, with the Kafka positions reached so far: where a job without a past resumes.
with read as (
    select "partition"::text as "partition", min(offset_from) as offset_from, max(offset_until) as offset_until
    from stage where kind = 'offsets' group by "partition"
),
counts as (
    select
        sum(messages) as messages, sum(duplicates) as duplicates, sum(rejected) as rejected,
        sum(contradictions) as contradictions, coalesce(sum(trades) filter (where kind = 'bar'), 0) as trades,
        max(newest_received_at_us) as newest_received_at_us
    from stage
),
inserted as (
    insert into batches (
        topic, offsets, positions, messages, trades, voids, duplicates, rejected, contradictions, time_falls, proven,
        started_at
    )
    select
        %(topic)s,
        (select jsonb_object_agg("partition", jsonb_build_array(offset_from, offset_until)) from read),
        coalesce((select positions from batches where topic = %(topic)s order by batch_no desc limit 1), '{}')
            || (select jsonb_object_agg("partition", offset_until) from read),
        messages, trades, messages - trades - duplicates - rejected, duplicates, rejected, contradictions,
        %(time_falls)s, %(proven)s, %(started_at)s
    from counts
    returning batch_no, messages, trades, voids, duplicates, rejected, contradictions, time_falls, proven
)
select inserted.*, newest_received_at_us from inserted, counts
