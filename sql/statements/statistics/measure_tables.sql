-- does:   measures the tables that every event goes through
-- params: none
-- rows:   four: table_name, live_tuples, dead_tuples, size_bytes (with indexes and TOAST) bigint, hot_update_ratio float8 (of
--         all updates since the statistics were reset; null before the first); order unspecified
-- locks:  access share for the size: waits for a rewrite or a migration of the table
-- repeat: measures again
select s.relname::text as table_name,
       s.n_live_tup as live_tuples,
       s.n_dead_tup as dead_tuples,
       pg_total_relation_size(s.relid) as size_bytes,
       s.n_tup_hot_upd::float8 / nullif(s.n_tup_upd, 0) as hot_update_ratio
from pg_stat_user_tables as s
where s.schemaname = 'postrider' and s.relname in ('outbox', 'delivery', 'attempt', 'claim')
