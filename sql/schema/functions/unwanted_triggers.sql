create or replace function postrider.unwanted_triggers(a postrider.attachment, is_wanted boolean default true) returns setof text
language sql stable set search_path = pg_catalog, pg_temp as $$
    select format('drop trigger %I on %s', t.tgname, t.tgrelid::regclass)
    from pg_trigger as t
    join pg_proc as p on p.oid = t.tgfoid and p.proname = 'postrider_capture_' || a.attachment_no and p.pronargs = 0
    where not t.tgisinternal
      and (not is_wanted or not exists (
          select from postrider.wanted_triggers(a) as w where w.relation = t.tgrelid and w.name = t.tgname))
    order by t.tgrelid, t.tgname
$$;
comment on function postrider.unwanted_triggers(postrider.attachment, boolean) is
    'SQL: the commands that drop triggers of an attachment: those that it needs no more, or, where it is not wanted itself, all. Private.';
revoke all on function postrider.unwanted_triggers(postrider.attachment, boolean) from public;
grant execute on function postrider.unwanted_triggers(postrider.attachment, boolean) to postrider_dispatcher;
