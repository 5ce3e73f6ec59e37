-- a mail a row
select
    *,
    minutes_proven + minutes_attested + minutes_empty as minutes_known,
    minutes_proven + minutes_attested + minutes_empty + minutes_unproven as minutes
from certificates
where mailed_at is null
order by day, exchange, symbol
