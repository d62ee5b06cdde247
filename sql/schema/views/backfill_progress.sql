create or replace view postrider.backfill_progress as
select b.attachment_no,
       b.state,
       b.rows_read,
       b.rows_sent,
       b.rows_refused,
       cardinality(b.held) as rows_held,
       case when b.state = 'done' or b.rows_read > size.rows_estimated then b.rows_read else size.rows_estimated end as rows_estimated,
       b.started_at,
       b.finished_at
from postrider.backfill as b
join postrider.attachment as a on a.attachment_no = b.attachment_no
-- What the planner knows of the table, or of its partitions: as of the last analyze; null if there was none.
cross join lateral (
    select sum(nullif(greatest(c.reltuples, 0), 0))::bigint as rows_estimated
    from pg_class as c
    where c.relkind in ('r', 'p')
      and (c.oid = a.relation::oid and c.relkind = 'r'
           or c.oid in (select t.relid from pg_partition_tree(a.relation) as t where t.isleaf))) as size;
comment on view postrider.backfill_progress is 'How far the backfills of attached tables have come. Private; read postrider.attached_table.';
comment on column postrider.backfill_progress.attachment_no is 'The attached table.';
comment on column postrider.backfill_progress.state is 'running or done.';
comment on column postrider.backfill_progress.rows_read is 'Rows looked at.';
comment on column postrider.backfill_progress.rows_sent is 'Rows that became events.';
comment on column postrider.backfill_progress.rows_refused is 'Rows left out, because the condition or the event failed.';
comment on column postrider.backfill_progress.rows_held is 'Rows that wait, because somebody has locked them.';
comment on column postrider.backfill_progress.rows_estimated is 'How many rows there are, as the planner estimates; null: it does not know.';
comment on column postrider.backfill_progress.started_at is 'When the backfill was asked for.';
comment on column postrider.backfill_progress.finished_at is 'When the backfill was done; null: it is not.';
revoke all on postrider.backfill_progress from public;
grant select on postrider.backfill_progress to postrider_dispatcher;
