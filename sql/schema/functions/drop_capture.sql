-- A table that moved to another schema gets its functions there, and these go here.
create or replace function postrider.drop_capture(attachment_no integer, kept_in regclass, is_written boolean) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    made regprocedure;
begin
    for made in
        select p.oid
        from pg_proc as p
        join unnest('{capture,backfill,write}'::text[]) as k (kind)
            on p.proname = format('postrider_%s_%s', k.kind, drop_capture.attachment_no)
        where pg_has_role(p.proowner, 'usage')
          and (p.pronamespace is distinct from (select c.relnamespace from pg_class as c where c.oid = kept_in)
               or k.kind = 'write' and not is_written)
          and not exists (select from pg_trigger as g where g.tgfoid = p.oid)
    loop
        execute format('drop function %s', made);
    end loop;
end
$$;
comment on function postrider.drop_capture(integer, regclass, boolean) is
    'Drops the functions of an attached table, or of one that is no longer attached; not those in the schema of kept_in, but for the one '
    'that writes the status, unless it is written. Private.';
revoke all on function postrider.drop_capture(integer, regclass, boolean) from public;
grant execute on function postrider.drop_capture(integer, regclass, boolean) to postrider_dispatcher;
