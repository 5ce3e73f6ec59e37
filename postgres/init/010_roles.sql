-- Roles that hold rights; nobody logs in as one. Whoever sets the database up makes logins that are members:
--   create role alice login password '...' in role crypto_reader;
-- All files here are numbered, and can be applied again at any time, in their order, also on a database with data.
do $$
declare
    role text;
begin
    foreach role in array array['crypto_reader', 'crypto_writer', 'crypto_monitor', 'crypto_definer'] loop
        if not exists (select from pg_roles where rolname = role) then
            execute format('create role %I nologin', role);
        end if;
    end loop;
end $$;

comment on role crypto_reader is 'People: reads everything, changes nothing';
comment on role crypto_writer is 'The Spark job: merges trades into bars and coverage';
comment on role crypto_monitor is 'Airflow: confirms, forgets, keeps gaps, alerts and candles';
comment on role crypto_definer is 'Nobody: the functions that change bars for the monitor run with its rights';
