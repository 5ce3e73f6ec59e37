-- The newest batches: how much each took in, and how long.
select *
  from batches
 order by batch_no desc
 limit 50;
