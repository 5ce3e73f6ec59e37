-- Raised when a file here changes in a way that the job cannot work without: it refuses to start on less.
create or replace function schema_version() returns int
language sql immutable
as $$
    select 1
$$;
comment on function schema_version() is 'Which schema this is, as far as the job depends on it';
revoke all on function schema_version() from public;
grant execute on function schema_version() to crypto_reader, crypto_writer, crypto_monitor;
