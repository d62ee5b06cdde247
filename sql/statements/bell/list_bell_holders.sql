-- does:   lists sessions that hold the bell or the leadership and belong to neither a dispatcher nor a producer. Every role
--         that may connect can take an advisory lock.
-- params: none
-- rows:   what text: bell or leadership; pid integer; role text; application text; by pid
-- locks:  none
-- repeat: the same
select distinct k.what, l.pid, coalesce(a.usename::text, '') as role, coalesce(a.application_name, '') as application
from (values ('bell', postrider.bell_key()), ('leadership', postrider.leader_key())) as k (what, key)
join pg_catalog.pg_locks as l
    on l.locktype = 'advisory' and l.objsubid = 1 and l.granted
   and l.database = (select d.oid from pg_catalog.pg_database as d where d.datname = current_database())
   and l.classid::bigint = (k.key >> 32) & 4294967295 and l.objid::bigint = k.key & 4294967295
join pg_catalog.pg_stat_activity as a on a.pid = l.pid
where not case
    -- A dispatcher takes both in its listening session, exclusively.
    when l.mode = 'ExclusiveLock' then
        a.application_name like '%listener%' and has_function_privilege(a.usesysid, 'postrider.leader_key()', 'execute')
    -- A producer shares the bell until its transaction ends; a session without a transaction has no virtual id.
    when k.what = 'bell' then
        exists (select from pg_catalog.pg_locks as v where v.pid = l.pid and v.locktype = 'virtualxid')
        and has_function_privilege(a.usesysid, 'postrider.bell_key()', 'execute')
    else false
end
order by 2, 1
