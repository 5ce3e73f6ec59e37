-- What the monitor found and did, newest first.
select gap_id, exchange, symbol, kind, ids, window_from, window_to, state, attempts, detail
  from gaps
 order by gap_id desc
 limit 100;
