-- An alert holds: it is opened, or noted as still holding. A mail has news where it is new or its gist changed.
insert into alerts (what, about, detail, gist, unsent)
values (%(what)s, %(about)s, %(detail)s, %(gist)s, case when %(mailed)s then 'opened' end)
on conflict (what, about) where closed_at is null do update set
    last_seen_at = clock_timestamp(),
    detail = excluded.detail,
    gist = excluded.gist,
    unsent = case
        when alerts.gist = excluded.gist or not %(mailed)s or alerts.unsent = 'opened' then alerts.unsent
        else 'changed'
    end
