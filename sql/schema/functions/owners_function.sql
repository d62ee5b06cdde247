-- The generated functions of an attached table are its owner's, who may change them at any time. A dispatcher asks before each call, so
-- that such a function runs with the rights of its owner, and never with those of a dispatcher: also one that has just altered itself.
create or replace function postrider.owners_function(attachment_no integer, kind text) returns text
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    called text;
begin
    select format('%I.%I', n.nspname, p.proname) into called
    from postrider.attachment as a
    join pg_class as c on c.oid = a.relation::oid
    join pg_proc as p on p.proname = format('postrider_%s_%s', owners_function.kind, a.attachment_no) and p.proowner = c.relowner and p.prosecdef
    join pg_namespace as n on n.oid = p.pronamespace
    where a.attachment_no = owners_function.attachment_no
    order by (n.oid = c.relnamespace) desc, n.oid
    limit 1;
    if called is null then
        raise exception 'function postrider_%_% is gone, or not the one of the table''s owner: attach the table again',
            owners_function.kind, owners_function.attachment_no using errcode = 'undefined_function';
    end if;
    return called;
end
$$;
comment on function postrider.owners_function(integer, text) is
    'Returns the name of a generated function of an attached table, postrider_backfill_N or postrider_write_N, which runs with the rights of '
    'the table''s owner. Private.';
revoke all on function postrider.owners_function(integer, text) from public;
grant execute on function postrider.owners_function(integer, text) to postrider_dispatcher;
