-- A dead job's lock must go with it: the server gives a peer up that does not answer, and a session that is silent
-- within a transaction.
set tcp_keepalives_idle = 10;
set tcp_keepalives_interval = 5;
set tcp_keepalives_count = 3;
set tcp_user_timeout = 25000;
set idle_in_transaction_session_timeout = %(idle)s;
set lock_timeout = %(lock)s;
set timezone = 'UTC';
-- compiling costs more than these statements
set jit = off
