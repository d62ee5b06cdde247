create or replace view postrider.attached_table as
-- Once for all tables, and from the work that is left, because finished events may be many.
with unsettled as materialized (
    select split_part(o.row_key, '[', 1)::integer as attachment_no, count(*) as events
    from (select o.row_key
          from postrider.outbox as o
          where o.created_xid >= postrider.routed_below() and o.status = 'pending' and o.row_key is not null
          union all
          (select o.row_key
           from (select d.event_id from postrider.waiting_delivery as d
                 union
                 select h.event_id from postrider.claimed_delivery as h
                 limit 100000) as d
           join postrider.outbox as o on o.id = d.event_id
           where o.row_key is not null)) as o
    group by 1
)
select a.relation,
       a.topic,
       case when broken.problem is not null then 'broken' else a.state end as state,
       a.status_column,
       events.events,
       coalesce(lag.events, 0) as lag_events,
       -- Attaching it again mends all but what somebody else has to grant.
       coalesce(broken.problem || case when broken.place > 1 then ': attach it again' else '' end,
                'grant ' || lacking.rights, a.last_error) as last_error,
       a.attached_at,
       a.payload,
       a.key,
       a.destination,
       a.status_map,
       a.write_back,
       a.on_ops,
       a.when_sql,
       a.columns,
       a.on_error,
       a.reason,
       a.paused_at,
       backfill.state as backfill_state,
       coalesce(backfill.rows_read, 0) as backfill_rows,
       backfill.rows_estimated as backfill_rows_estimated,
       backfill.rows_sent as backfill_rows_sent,
       backfill.rows_refused as backfill_rows_refused,
       backfill.rows_held as backfill_rows_held,
       a.rows_skipped + coalesce((select sum(s.row_count) from postrider.row_skipped as s where s.attachment_no = a.attachment_no), 0)::bigint
           as rows_skipped
from postrider.attachment as a
left join postrider.backfill_progress as backfill on backfill.attachment_no = a.attachment_no
left join lateral (
    select p.problem, p.place
    from postrider.attachment_problem as p
    where p.attachment_no = a.attachment_no
    order by p.place, p.problem
    limit 1) as broken on true
cross join lateral (
    select array_to_string(
        postrider.lacking_rights(a, a.write_back <> 'none' or backfill.state is not distinct from 'running'), '; grant ') as rights) as lacking
cross join lateral (
    select count(*) as events
    from (select
          from postrider.outbox as o
          where o.row_key is not null
            and o.row_key collate "C" >= a.attachment_no || '[' and o.row_key collate "C" < a.attachment_no || '\'
          limit 100000) as o) as events
left join unsettled as lag on lag.attachment_no = a.attachment_no;
comment on view postrider.attached_table is 'One row per table that is attached by postrider.attach_table.';
comment on column postrider.attached_table.relation is 'The table.';
comment on column postrider.attached_table.topic is 'Topic of the events; {column} and {op} stand for values.';
comment on column postrider.attached_table.state is
    'active: changes become events; paused: they are not heard; broken: something that is needed is gone or has changed, as last_error says.';
comment on column postrider.attached_table.status_column is 'Column that gets the status of the row''s newest event; null: none.';
comment on column postrider.attached_table.events is 'Events of it that are kept, counted up to 100,000.';
comment on column postrider.attached_table.lag_events is 'Events of it that are not complete and not failed, counted among 100,000 unsettled ones.';
comment on column postrider.attached_table.last_error is
    'What is broken, what somebody has to grant before the status can be written or a backfill goes on, or else what went wrong last; null: nothing.';
comment on column postrider.attached_table.attached_at is 'When the table was attached.';
comment on column postrider.attached_table.payload is 'row, change, supabase, debezium, or a column.';
comment on column postrider.attached_table.key is 'Column that is the key of the events; null: the primary key.';
comment on column postrider.attached_table.destination is 'Destination of the events; {column} stands for a value; null: every endpoint that subscribes.';
comment on column postrider.attached_table.status_map is 'Words of the status column, where it has others.';
comment on column postrider.attached_table.write_back is 'none, final, all, or delete: the row goes when its event is complete.';
comment on column postrider.attached_table.on_ops is 'Operations that make events: insert, update, delete, truncate.';
comment on column postrider.attached_table.when_sql is 'Condition on new and old; null: every row.';
comment on column postrider.attached_table.columns is 'Columns that payloads show and an update is noticed in; null: all.';
comment on column postrider.attached_table.on_error is 'fail: an event that cannot be written fails the statement; skip: it is counted.';
comment on column postrider.attached_table.reason is 'Why it is paused.';
comment on column postrider.attached_table.paused_at is 'Since when it is paused; null: it is not.';
comment on column postrider.attached_table.backfill_state is 'running: rows that were there before become events; done; null: not asked for.';
comment on column postrider.attached_table.backfill_rows is 'Rows that the backfill has looked at.';
comment on column postrider.attached_table.backfill_rows_estimated is
    'How many rows it has to look at, as the planner estimates; null: the planner does not know.';
comment on column postrider.attached_table.backfill_rows_sent is 'Rows that the backfill has made events of: they meet when_sql.';
comment on column postrider.attached_table.backfill_rows_refused is 'Rows that the backfill has left out, because the database refuses the event.';
comment on column postrider.attached_table.backfill_rows_held is 'Rows that the backfill comes back to, because somebody has locked them.';
comment on column postrider.attached_table.rows_skipped is
    'Rows whose events could not be written, and whose statements went on without them (on_error => ''skip'', or the table has changed).';
revoke all on postrider.attached_table from public;
grant select on postrider.attached_table to postrider_reader, postrider_dispatcher;
