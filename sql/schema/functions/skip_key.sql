create or replace function postrider.skip_key(
    endpoint_id text, key text, until timestamptz default now(), reason text default null, up_to integer default 10000)
returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    target postrider.endpoint := postrider.existing_endpoint(endpoint_id);
begin
    perform postrider.check_up_to(up_to);
    if skip_key.key is null or until is null then
        raise exception 'endpoint "%": invalid argument of skip_key', target.id
            using errcode = 'invalid_parameter_value', detail = 'Allowed are key: any text; until: any time';
    end if;
    return postrider.skip_deliveries(array(
        select d.id
        from postrider.delivery as d
        where d.endpoint_no = target.endpoint_no and d.lane = skip_key.key and d.status in ('pending', 'failed')
          and coalesce((select o.created_at from postrider.outbox as o where o.id = d.event_id), d.created_at) <= skip_key.until
        order by d.endpoint_no, d.lane, d.place
        limit up_to), nullif(btrim(skip_key.reason), ''));
end
$$;
comment on function postrider.skip_key(text, text, timestamptz, text, integer) is
    'Skips the deliveries of one key of an ordered endpoint: the one that holds up the key, and those behind it whose events were created '
    'up to a time (now). Those under way stay. Returns how many. If it returns up_to (10000), there may be more: call again, in a '
    'transaction of its own. Raises P0002 for an unknown id, 22023 for an invalid argument.';
revoke all on function postrider.skip_key(text, text, timestamptz, text, integer) from public;
grant execute on function postrider.skip_key(text, text, timestamptz, text, integer) to postrider_dispatcher;
