-- Did two tasks count ids of one symbol in overlapping spans? Then each may have counted the same trade.
select exists (
    select from stage a
    join stage b using (exchange, symbol)
    where a.kind = 'ids' and b.kind = 'ids' and a.ctid < b.ctid
        and a.first_id <= b.last_id and b.first_id <= a.last_id
)
