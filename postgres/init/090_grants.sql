-- Each role has what it needs, and no more.

revoke all on function confirm(text, text, bigint, timestamptz) from public;
revoke all on function forget(text, text, timestamptz, timestamptz) from public;

grant select on all tables in schema public to crypto_reader, crypto_writer, crypto_monitor;

grant insert, update on exchanges, trades_1min_agg, coverage, latest_prices, alerts to crypto_writer;
grant insert, delete on rejected_messages, batches to crypto_writer;

grant insert, update on gaps, alerts, candles_1min to crypto_monitor;
grant execute on function confirm(text, text, bigint, timestamptz) to crypto_monitor;
grant execute on function forget(text, text, timestamptz, timestamptz) to crypto_monitor;
