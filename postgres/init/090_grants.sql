-- Each role has what it needs, and no more.

revoke all on function confirm(text, text, bigint, timestamptz) from public;
revoke all on function forget(text, text, timestamptz, timestamptz) from public;
revoke all on function open_wanted(text, text, bigint, bigint) from public;
revoke all on function close_wanted(text, text) from public;
-- whoever may take the lock may keep the job from working
revoke all on function lock_bars() from public;

grant select on all tables in schema public to crypto_reader, crypto_writer, crypto_monitor;

grant insert, update on exchanges, trades_1min_agg, coverage, latest_prices, alerts to crypto_writer;
grant insert, update, delete on rejected_messages to crypto_writer;
grant insert, delete on batches to crypto_writer;
grant execute on function lock_bars() to crypto_writer, crypto_monitor;
-- a batch is copied into a temporary table first
do $$
begin
    execute format('grant temporary on database %I to crypto_writer', current_database());
end $$;

grant insert, update on gaps, alerts, candles_1min to crypto_monitor;
grant execute on function confirm(text, text, bigint, timestamptz) to crypto_monitor;
grant execute on function forget(text, text, timestamptz, timestamptz) to crypto_monitor;
grant execute on function open_wanted(text, text, bigint, bigint) to crypto_monitor;
grant execute on function close_wanted(text, text) to crypto_monitor;
