-- does:   reads attached tables with their settings
-- params: $1 relation text (schema and name; null: all)
-- rows:   row text: a JSON object of the columns below; by name. rows_estimate is the planner's guess at the rows of the table, null
--         before the first analyze
-- locks:  none
-- repeat: the same
select postrider.readable(to_json(r)::text) as row
from (
    select a.relation::text as relation,
           v.state,
           a.topic,
           a.payload,
           a.key,
           a.destination,
           a.status_column as status,
           nullif(a.status_map, '{}') as status_map,
           a.write_back,
           a.on_ops as "on",
           a.when_sql as "when",
           a.columns,
           a.on_error,
           v.events,
           v.lag_events,
           v.last_error,
           v.attached_at,
           a.backfill_state,
           a.backfill_rows,
           (select sum(c.reltuples)::bigint
            from pg_catalog.pg_class as c
            where c.oid in (select a.relation union all select p.relid from pg_partition_tree(a.relation) as p where p.isleaf)
              and c.reltuples >= 0) as rows_estimate
    from postrider.attachment as a
    join postrider.attached_table as v on v.relation::text = a.relation::text
    where $1::text is null or a.relation::text = $1
    order by 1) as r
