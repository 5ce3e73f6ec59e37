delete from batches where topic = %(topic)s and committed_at < clock_timestamp() - interval '30 days'
