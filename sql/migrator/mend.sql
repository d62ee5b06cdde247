-- does:   puts back what a copy without rows, emptied tables or a restore without triggers lack: the one row of
--         postrider.installation, and triggers of ours that fire always. The new row has a version of the endpoints that no running
--         dispatcher has seen.
-- locks:  none where nothing is missing; else share row exclusive on the trigger's table
-- repeat: changes nothing
insert into postrider.installation (server, endpoint_version)
select postrider.server_identity(), (extract(epoch from clock_timestamp()) * 1000)::bigint
where not exists (select from postrider.installation);
do $$
declare
    silent record;
begin
    for silent in
        select c.relname, g.tgname, case when g.tgisinternal then '' else 'always' end as always
        from pg_trigger as g
        join pg_class as c on c.oid = g.tgrelid and c.relnamespace = 'postrider'::regnamespace
        where g.tgisinternal and g.tgenabled in ('D', 'R')
           or not g.tgisinternal and g.tgenabled <> 'A'
              and (g.tgname, c.relname) in (('ring', 'outbox'), ('size_payload', 'outbox'),
                                            ('stamp_transaction', 'outbox'), ('note_row', 'outbox'),
                                            ('endpoint_changed', 'endpoint'), ('forget_circuit', 'endpoint'),
                                            ('judge_attachment', 'attachment'), ('attachment_changed', 'attachment'))
    loop
        begin
            execute format('alter table postrider.%I enable %s trigger %I', silent.relname, silent.always, silent.tgname);
        exception when insufficient_privilege then
            null; -- Only a superuser switches the triggers of foreign keys. "postrider doctor" names them.
        end;
    end loop;
end
$$;
