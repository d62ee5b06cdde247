-- A line for each setting that differs, for people. Values that may be secret are not shown: of headers there is the name alone.
create or replace function postrider.changed_settings(old postrider.endpoint, new postrider.endpoint) returns text[]
language plpgsql stable parallel safe set search_path = pg_catalog, pg_temp as $$
declare
    unshown constant text[] := '{secret,signing_key,auth,ca_certificates,client_certificate}';
    before  jsonb := to_jsonb(old);
    after   jsonb := to_jsonb(new);
    lines   text[] := '{}';
    setting text;
begin
    foreach setting in array
        '{url,topics,secret,max_in_flight,rate_limit,timeout,retry_schedule,ordered,format,description}'::text[] || unshown[2:]
    loop
        continue when before -> setting is not distinct from after -> setting;
        lines := lines || (setting || ': ' || case
            when setting = any (unshown) and before ->> setting is null then 'added'
            when setting = any (unshown) and after ->> setting is null then 'removed'
            when setting = any (unshown) then 'changed'
            when setting = 'topics' then
                coalesce(nullif(array_to_string(old.topics, ','), ''), 'none') || ' -> '
                || coalesce(nullif(array_to_string(new.topics, ','), ''), 'none')
            when setting = 'timeout' then
                coalesce(postrider.short_interval(old.timeout), 'default') || ' -> '
                || coalesce(postrider.short_interval(new.timeout), 'default')
            when setting = 'retry_schedule' then
                coalesce((select string_agg(postrider.short_interval(s.delay), ',' order by s.nth)
                          from unnest(old.retry_schedule) with ordinality as s (delay, nth)), 'default') || ' -> '
                || coalesce((select string_agg(postrider.short_interval(s.delay), ',' order by s.nth)
                             from unnest(new.retry_schedule) with ordinality as s (delay, nth)), 'default')
            -- The text of a person, quoted: it may have lines of its own.
            when setting = 'description' then
                coalesce(to_json(old.description)::text, 'none') || ' -> ' || coalesce(to_json(new.description)::text, 'none')
            else coalesce(before ->> setting, 'none') || ' -> ' || coalesce(after ->> setting, 'none') end);
    end loop;
    return lines || array(
        select 'headers: ' || string_agg(h.name || case when not old.headers ? h.name then ' added'
                                                        when not new.headers ? h.name then ' removed' else ' changed' end,
                                         ', ' order by h.name)
        from jsonb_object_keys(old.headers || new.headers) as h (name)
        where old.headers -> h.name is distinct from new.headers -> h.name
        having count(*) > 0);
end
$$;
comment on function postrider.changed_settings(postrider.endpoint, postrider.endpoint) is
    'What differs between two states of an endpoint, a line for each setting, as "topics: order.* -> **". Secrets and the values of '
    'headers are not shown. Private.';
revoke all on function postrider.changed_settings(postrider.endpoint, postrider.endpoint) from public;
grant execute on function postrider.changed_settings(postrider.endpoint, postrider.endpoint) to postrider_dispatcher;
