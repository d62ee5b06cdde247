create or replace function postrider.short_interval(interval) returns text
language sql immutable strict parallel safe set search_path = pg_catalog, pg_temp
return (
    select concat(nullif(t.ms / 86400000, 0) || 'd', nullif(t.ms / 3600000 % 24, 0) || 'h', nullif(t.ms / 60000 % 60, 0) || 'm',
                  nullif(t.ms / 1000 % 60, 0) || 's', nullif(t.ms % 1000, 0) || 'ms')
    from (select (extract(epoch from $1) * 1000)::bigint as ms) as t);
comment on function postrider.short_interval(interval) is 'A duration as people type it, in whole milliseconds: 1h30m. Private.';
revoke all on function postrider.short_interval(interval) from public;
grant execute on function postrider.short_interval(interval) to postrider_dispatcher;
