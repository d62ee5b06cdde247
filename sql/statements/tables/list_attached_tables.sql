-- does:   reads attached tables with their settings (postrider.attached_table)
-- params: $1 relation text (schema and name; null: all)
-- rows:   row text: a JSON object of the columns below; by name
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
           t.backfill_rows_estimated,
           t.backfill_rows_sent,
           t.backfill_rows_refused
    from postrider.attached_table as t
    where $1::text is null or t.relation::text = $1
    order by 1) as r
