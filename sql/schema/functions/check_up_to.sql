create or replace function postrider.check_up_to(up_to integer) returns void
language plpgsql immutable set search_path = pg_catalog, pg_temp as $$
begin
    if coalesce(up_to not between 1 and 100000, true) then
        raise exception 'invalid up_to' using errcode = 'invalid_parameter_value', detail = 'Allowed is up_to: 1 to 100000';
    end if;
end
$$;
comment on function postrider.check_up_to(integer) is 'Raises 22023 unless up_to is 1 to 100000. Private.';
revoke all on function postrider.check_up_to(integer) from public;
grant execute on function postrider.check_up_to(integer) to postrider_dispatcher;
