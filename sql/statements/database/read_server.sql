-- does:   reads facts about the server and this session that a dispatcher needs before there is a schema
-- params: none
-- rows:   one: row text: a JSON object of the columns below
-- locks:  none
-- repeat: the same
select to_json(r)::text as row
from (
    select current_setting('server_version') as version,
           current_setting('server_version_num')::int as version_no,
           pg_is_in_recovery() as is_standby,
           current_setting('transaction_read_only')::boolean as is_read_only,
           current_setting('server_encoding') as encoding,
           current_setting('synchronous_commit') as synchronous_commit,
           current_setting('autovacuum')::boolean as is_autovacuum_on,
           current_user::text as role,
           (select r.rolsuper from pg_catalog.pg_roles as r where r.rolname = current_user) as is_superuser,
           pg_has_role('pg_read_all_stats', 'usage') as sees_all_sessions,
           exists (select from pg_catalog.pg_class as c
                   join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
                   where n.nspname = 'postrider' and c.relname = 'schema_history') as has_schema,
           pg_notification_queue_usage() as notification_queue_usage,
           (extract(epoch from clock_timestamp()) * 1000)::bigint as now_ms
) as r
