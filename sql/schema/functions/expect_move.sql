create or replace function postrider.expect_move(within interval default '1 day') returns timestamptz
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    was postrider.installation;
begin
    if within is null or within < interval '0' or within > interval '7 days' then
        raise exception 'a move is expected within 0 to 7 days, not %', within using errcode = 'invalid_parameter_value';
    end if;
    select i.* into strict was from postrider.installation as i for no key update;
    if postrider.why_not_at_home(was.name) is not null then
        raise exception 'this database is not at home itself: adopt it first' using errcode = 'object_not_in_prerequisite_state';
    end if;
    if was.name is null then
        raise exception 'this installation has no name, so every copy that is made meanwhile would send'
            using errcode = 'object_not_in_prerequisite_state',
                  hint = 'Name it first: postrider adopt --as original --installation NAME, and tell its dispatchers --installation NAME.';
    end if;
    update postrider.installation as i
    set move_expected_until = case when within > interval '0' then clock_timestamp() + within end
    returning i.move_expected_until into was.move_expected_until;
    return was.move_expected_until;
end
$$;
comment on function postrider.expect_move(interval) is
    'Says beforehand that the installation will move to another server or database, as by a major upgrade, within this time (0 to 7 '
    'days; 0 takes it back). The first dispatcher there that is told the right name by --installation goes on as the original. '
    'Returns the end of that time. Raises 22023 for an invalid time, 55000 if the installation has no name or is not at home.';
revoke all on function postrider.expect_move(interval) from public;
grant execute on function postrider.expect_move(interval) to postrider_dispatcher;
