-- What each role may do, all of it in this file: no more than the statements that run as it need. Rights that a
-- database had besides are taken away, in one transaction with the granting, so that a job that runs notices nothing.
begin;

-- Of the database and of what PostgreSQL lets everyone do in any. Whoever takes the lock of the bars by its number
-- keeps the job from working; large objects fill the disk. On a server whose superuser is another's, the functions of
-- PostgreSQL stay as they are, with a warning.
do $$
declare
    func regprocedure;
begin
    execute format('revoke all on database %I from public', current_database());
    execute format(
        'grant connect on database %I to crypto_reader, crypto_writer, crypto_monitor', current_database()
    );
    -- a batch is copied into a temporary table first
    execute format('grant temporary on database %I to crypto_writer', current_database());
    for func in
        select oid from pg_proc
        where pronamespace = 'pg_catalog'::regnamespace
            and (proname ~ '^pg_(try_)?advisory_' or proname in ('lo_creat', 'lo_create', 'lo_from_bytea'))
    loop
        execute format('revoke all on function %s from public', func);
    end loop;
end $$;

revoke create on schema public from public;
revoke all on all functions in schema public from public;
revoke all on all tables in schema public from public, crypto_reader, crypto_writer, crypto_monitor, crypto_definer;

grant select on all tables in schema public to crypto_reader;
grant execute on function
    missing_ids(text, text, timestamptz, timestamptz),
    bars_1min_grid(text, text, timestamptz, timestamptz),
    audited_minutes(text, text, timestamptz, timestamptz),
    differing_fields(text, text, timestamptz, timestamptz)
to crypto_reader, crypto_monitor;

grant select, insert, update on exchanges, trades_1min_agg, coverage, latest_prices, alerts to crypto_writer;
grant select, insert, update, delete on rejected_messages to crypto_writer;
grant select, insert, delete on batches to crypto_writer;
grant execute on function
    lock_bars(),
    mark_proven(text, text, int8multirange),
    pg_advisory_xact_lock(bigint)
to crypto_writer;

grant select on exchanges, trades_1min_agg, coverage, latest_prices, batches, bars_1min to crypto_monitor;
grant select, insert, update on
    gaps, alerts, candles_1min, candle_checks, bar_differences, certificates, history_days, rest_limits
to crypto_monitor;
grant select, insert, delete on rest_calls to crypto_monitor;
grant execute on function
    confirm(text, text, bigint, timestamptz),
    forget(text, text, timestamptz, timestamptz),
    open_wanted(text, text, bigint, bigint),
    ids_in_ledger(text, text),
    spend_weight(text, text, int, numeric, numeric, numeric),
    -- one task at a time collects and sends mails; one call at a time is counted
    pg_advisory_lock(bigint),
    pg_advisory_unlock(bigint),
    pg_advisory_xact_lock(int, int)
to crypto_monitor;

-- The monitor changes bars and coverage through functions, which run with the rights of a role that has just these,
-- and not with those of the superuser who made them. Who is none made them with his own.
grant select, insert, update on coverage to crypto_definer;
grant select, update, delete on trades_1min_agg to crypto_definer;
grant execute on function
    lock_bars(),
    mark_proven(text, text, int8multirange),
    pg_advisory_xact_lock(bigint)
to crypto_definer;
do $$
declare
    func regprocedure;
begin
    if (select rolsuper from pg_roles where rolname = current_user) then
        for func in select oid from pg_proc where prosecdef and pronamespace = 'public'::regnamespace loop
            execute format('alter function %s owner to crypto_definer', func);
        end loop;
    end if;
end $$;

commit;
