-- A line for each setting that differs, for people. A setting whose value is to be shown is named here; of any other one there is only
-- that it changed. Of headers there are the names.
create or replace function postrider.changed_settings(old postrider.endpoint, new postrider.endpoint) returns text[]
language plpgsql stable parallel safe set search_path = pg_catalog, pg_temp as $$
declare
    shown   constant text[] := '{url,topics,max_in_flight,rate_limit,timeout,retry_schedule,ordered,on_failed,format,description,allow_http,allow_cidr}';
    before  jsonb := to_jsonb(old) - 'headers'::text - 'public_key'::text;
    after   jsonb := to_jsonb(new) - 'headers'::text - 'public_key'::text;
    lines   text[] := '{}';
    setting text;
begin
    foreach setting in array
        shown || array(select s.name from jsonb_object_keys(after) as s (name) where s.name <> all (shown) order by s.name)
    loop
        continue when before -> setting is not distinct from after -> setting;
        lines := lines || (setting || ': ' || case
            when setting <> all (shown) and before ->> setting is null then 'added'
            when setting <> all (shown) and after ->> setting is null then 'removed'
            when setting <> all (shown) then 'changed'
            when setting = 'topics' then
                coalesce(nullif(array_to_string(old.topics, ','), ''), 'none') || ' -> '
                || coalesce(nullif(array_to_string(new.topics, ','), ''), 'none')
            when setting = 'allow_cidr' then
                coalesce(array_to_string(old.allow_cidr, ','), 'none') || ' -> ' || coalesce(array_to_string(new.allow_cidr, ','), 'none')
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
