select alert_id, about from alerts where what = %(what)s and closed_at is null
