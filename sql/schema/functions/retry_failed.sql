create or replace function postrider.retry_failed(endpoint_id text, since timestamptz default '-infinity', up_to integer default 10000)
returns bigint
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    target postrider.endpoint := postrider.existing_endpoint(endpoint_id);
begin
    perform postrider.check_up_to(up_to);
    if since is null then
        raise exception 'invalid since' using errcode = 'invalid_parameter_value', detail = 'Allowed is since: any time';
    end if;
    return postrider.make_pending(array(
        select d.id
        from postrider.delivery as d
        where d.endpoint_no = target.endpoint_no and d.failed_at >= retry_failed.since and d.cancelled_at is null
          and not exists (select from postrider.outbox as o where o.id = d.event_id and o.topic = 'postrider.test')
        order by d.failed_at
        limit up_to));
end
$$;
comment on function postrider.retry_failed(text, timestamptz, integer) is
    'Retries deliveries of an endpoint that failed since a time, the oldest first, except cancelled ones and tests. Returns how many. If it '
    'returns up_to (10000), there may be more: call again, in a transaction of its own. Raises P0002 for an unknown id, 22023 for an '
    'invalid argument.';
revoke all on function postrider.retry_failed(text, timestamptz, integer) from public;
grant execute on function postrider.retry_failed(text, timestamptz, integer) to postrider_dispatcher;
