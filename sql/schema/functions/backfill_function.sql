-- The generated function of a backfill is the table owner's. It is called only as it was made: it runs with the rights of its owner,
-- never with those of a dispatcher.
create or replace function postrider.backfill_function(attachment_no integer) returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare
    called text;
begin
    select format('%I.%I', n.nspname, p.proname) into called
    from postrider.attachment as a
    join pg_class as c on c.oid = a.relation::oid
    join pg_proc as p on p.proname = 'postrider_backfill_' || a.attachment_no and p.proowner = c.relowner and p.prosecdef
    join pg_namespace as n on n.oid = p.pronamespace
    where a.attachment_no = backfill_function.attachment_no
    order by (n.oid = c.relnamespace) desc, n.oid
    limit 1;
    if called is null then
        raise exception 'function postrider_backfill_% is gone, or not the one of the table''s owner: detach the table and attach it again',
            backfill_function.attachment_no using errcode = 'undefined_function';
    end if;
    return called;
end
$$;
comment on function postrider.backfill_function(integer) is 'The generated function that reads and sends the rows of an attached table. Private.';
revoke all on function postrider.backfill_function(integer) from public;
grant execute on function postrider.backfill_function(integer) to postrider_dispatcher;
