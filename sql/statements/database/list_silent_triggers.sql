-- does:   lists triggers of ours that do not fire, or not in every session: somebody dropped or disabled them, or a restore did.
--         Postrider's own fire always. Those of foreign keys fire in sessions that are no replica's.
-- params: none
-- rows:   trigger text, as "ring on postrider.outbox"; is_missing boolean: it does not exist; by name; no row without a schema
-- locks:  none
-- repeat: the same
select s.trigger, s.is_missing
from (
    select format('%s on postrider.%s', w.name, w.table_name) as trigger, g.oid is null as is_missing
    from (values ('ring', 'outbox'), ('size_payload', 'outbox'), ('stamp_transaction', 'outbox'), ('note_row', 'outbox'),
                 ('endpoint_changed', 'endpoint'), ('forget_circuit', 'endpoint'),
                 ('judge_attachment', 'attachment'), ('attachment_changed', 'attachment'))
        as w (name, table_name)
    join pg_catalog.pg_class as c on c.relname = w.table_name and c.relnamespace = to_regnamespace('postrider')
    left join pg_catalog.pg_trigger as g on g.tgrelid = c.oid and g.tgname = w.name and not g.tgisinternal
    where g.tgenabled is distinct from 'A'
    union all
    select format('%s on postrider.%s', coalesce('foreign key ' || k.conname, g.tgname), c.relname), false
    from pg_catalog.pg_trigger as g
    join pg_catalog.pg_class as c on c.oid = g.tgrelid and c.relnamespace = to_regnamespace('postrider')
    left join pg_catalog.pg_constraint as k on k.oid = g.tgconstraint
    where g.tgisinternal and g.tgenabled in ('D', 'R')
) as s
group by s.trigger, s.is_missing
order by s.trigger
