-- does:   reads attached tables with their settings (postrider.attached_table)
-- params: $1 relation text (schema and name; null: all)
-- rows:   row text: a JSON object of the columns below; by name. rows_estimate is the planner's guess at the rows of the table, null
--         before the first analyze
-- locks:  none
-- repeat: the same
select postrider.readable(to_json(r)::text) as row
from (
    select t.relation::text as relation,
           t.state,
           t.reason,
           t.paused_at,
           t.topic,
           t.payload,
           t.key,
           t.destination,
           t.status_column as status,
           nullif(t.status_map, '{}') as status_map,
           t.write_back,
           t.on_ops as "on",
           t.when_sql as "when",
           t.columns,
           t.on_error,
           t.events,
           t.lag_events,
           t.rows_skipped,
           t.last_error,
           t.attached_at,
           t.backfill_state,
           t.backfill_rows,
           (select sum(c.reltuples)::bigint
            from pg_catalog.pg_class as c
            where c.oid in (select t.relation union all select p.relid from pg_partition_tree(t.relation) as p where p.isleaf)
              and c.reltuples >= 0) as rows_estimate
    from postrider.attached_table as t
    where $1::text is null or t.relation::text = $1
    order by 1) as r
