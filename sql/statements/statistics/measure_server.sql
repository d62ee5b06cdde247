-- does:   measures the parts of the server that can hold Postrider up: the oldest transaction and the notification queue
-- params: none
-- rows:   one: oldest_snapshot_age_ms bigint (of the transactions in this database, prepared ones included, that hold a
--         snapshot or have written; others' sessions show only to a member of pg_read_all_stats; 0 if there is none),
--         notification_queue_usage float8, 0..=1
-- locks:  none
-- repeat: measures again
select coalesce(greatest(extract(epoch from clock_timestamp() - least(
           (select min(a.xact_start) from pg_stat_activity as a
            where a.datname = current_database() and a.pid <> pg_backend_pid() and a.backend_type = 'client backend'
              and (a.backend_xmin is not null or a.backend_xid is not null)),
           (select min(p.prepared) from pg_prepared_xacts as p where p.database = current_database()))) * 1000, 0), 0)::bigint
           as oldest_snapshot_age_ms,
       pg_notification_queue_usage() as notification_queue_usage
