-- does:   lists what keeps the triggers of attached tables from firing, or the status from being written, by PostgreSQL's catalogs:
--         a subscription that writes into the table, a setting session_replication_role, policies that are forced on its owner; tables
--         whose owner's code is called by the current role, which is a superuser; and tables with such triggers that are not attached,
--         as a restore without postrider.attachment leaves them
-- params: none
-- rows:   relation text (null: every table), reason text (subscription | replica_role | row_security | superuser | not_attached), role
--         text (of the setting, or null for every role; the table's owner); by relation and reason
-- locks:  none
-- repeat: the same
select a.relation::text as relation, 'subscription' as reason, null::text as role
from postrider.attachment as a
where exists (select from pg_catalog.pg_subscription_rel as s
              where s.srrelid in (select a.relation union all select p.relid from pg_partition_tree(a.relation) as p))
union all
select null, 'replica_role', r.rolname::text
from pg_catalog.pg_db_role_setting as s
left join pg_catalog.pg_roles as r on r.oid = s.setrole
where s.setdatabase in (0, (select d.oid from pg_catalog.pg_database as d where d.datname = current_database()))
  and exists (select from unnest(s.setconfig) as c (setting) where c.setting = 'session_replication_role=replica')
  and exists (select from postrider.attachment)
union all
select a.relation::text, 'row_security', pg_get_userbyid(c.relowner)::text
from postrider.attachment as a
join pg_catalog.pg_class as c on c.oid = a.relation
where (a.write_back <> 'none' or exists (select from postrider.backfill as b where b.attachment_no = a.attachment_no and b.state = 'running'))
  and postrider.hiding_policy(a.relation) is not null
union all
select a.relation::text, 'superuser', r.rolname::text
from postrider.attachment as a
join pg_catalog.pg_class as c on c.oid = a.relation
join pg_catalog.pg_roles as r on r.oid = c.relowner and not r.rolsuper
where (a.write_back <> 'none' or exists (select from postrider.backfill as b where b.attachment_no = a.attachment_no and b.state = 'running'))
  and (select me.rolsuper from pg_catalog.pg_roles as me where me.rolname = current_user)
union all
select distinct t.tgrelid::regclass::text, 'not_attached', null
from pg_catalog.pg_trigger as t
join pg_catalog.pg_proc as p on p.oid = t.tgfoid and p.proname ~ '^postrider_capture_[0-9]+$' and p.pronargs = 0
where not t.tgisinternal
  and not exists (select from postrider.attachment as a
                  where p.proname = 'postrider_capture_' || a.attachment_no
                    and t.tgrelid in (select a.relation union all select r.relid from pg_partition_tree(a.relation) as r))
order by 1, 2, 3
