-- a mail has told of it, unless it was issued anew meanwhile
update certificates
set mailed_at = clock_timestamp()
where exchange = %(exchange)s and symbol = %(symbol)s and day = %(day)s and issued_at = %(issued_at)s
