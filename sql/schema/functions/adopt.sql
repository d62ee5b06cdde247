create or replace function postrider.adopt(
    kind text, inout name text default null, out code text, out events_cancelled bigint, out endpoints_paused bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    was postrider.installation;
begin
    if adopt.kind is null or adopt.kind not in ('copy', 'original') then
        raise exception 'a database is adopted as copy or as original, not as "%"', left(adopt.kind, 64)
            using errcode = 'invalid_parameter_value';
    end if;
    if adopt.name !~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$' then
        raise exception 'a name has 1 to 64 of [A-Za-z0-9_.-], and begins with a letter or a digit'
            using errcode = 'invalid_parameter_value';
    end if;
    select i.* into strict was from postrider.installation as i for update;
    events_cancelled := 0;
    endpoints_paused := 0;
    if adopt.kind = 'original' then
        adopt.name := coalesce(adopt.name, was.name);
    else
        if adopt.name = was.name then
            raise exception 'a copy needs a name of its own, and "%" is the original''s', was.name
                using errcode = 'invalid_parameter_value';
        end if;
        if postrider.why_not_at_home(was.name) is null
           and exists (select from postrider.dispatcher as d where d.lease_until > clock_timestamp()) then
            raise exception 'dispatchers work here, or did when this was copied: their leases have not ended'
                using errcode = 'object_not_in_prerequisite_state',
                      hint = 'Stop them, or try again when the leases that dispatcher_status shows have ended.';
        end if;
        select c.events_cancelled, c.endpoints_paused into events_cancelled, endpoints_paused from postrider.forsake_work() as c;
        update postrider.installation as i set code = left(replace(gen_random_uuid()::text, '-', ''), 10);
    end if;
    perform postrider.take_home(adopt.name);
    select i.code into code from postrider.installation as i;
end
$$;
comment on function postrider.adopt(text, text) is
    'Says what this database is, so that dispatchers send from it. original: the installation was moved or restored, and goes on as '
    'it was. copy: it is a new installation. Its events get webhook-ids of their own, what waits is cancelled, and every endpoint is '
    'paused until somebody resumes it. The name is what its dispatchers are told by --installation; null keeps the original''s name, '
    'and gives a copy none. Returns (name, code, events_cancelled, endpoints_paused). Raises 22023 for invalid arguments, 55000 for a '
    'copy where dispatchers work.';
revoke all on function postrider.adopt(text, text) from public;
grant execute on function postrider.adopt(text, text) to postrider_dispatcher;
