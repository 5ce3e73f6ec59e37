-- Up to where the job has read the topic, and when it last committed.
select positions, extract(epoch from clock_timestamp() - committed_at)::double precision as age_s
from batches
where topic = %(topic)s
order by batch_no desc
limit 1
