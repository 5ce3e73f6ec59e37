select a.pid, a.application_name, host(a.client_addr), a.xact_start
from pg_locks l
join pg_stat_activity a using (pid)
where l.locktype = 'advisory' and l.granted and l.objid = 4711
    and l.database = (select oid from pg_database where datname = current_database())
