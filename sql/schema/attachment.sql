-- Tables of the user's own that are attached: a trigger turns changes of their rows into events, and a dispatcher writes the status of
-- the newest event back into the row.
create table postrider.attachment (
    attachment_no   integer     generated always as identity primary key,
    relation        regclass    not null unique,
    state           text        not null default 'active' check (state in (
        'active',   -- changes become events
        'paused')), -- changes are not heard; write-back goes on
    topic           text        not null,
    payload         text        not null,
    key             text,
    destination     text,
    status_column   name,
    status_map      jsonb       not null default '{}',
    write_back      text        not null check (write_back in ('none', 'final', 'all', 'delete')),
    on_ops          text[]      not null,
    when_sql        text,
    columns         name[],
    on_error        text        not null default 'fail' check (on_error in ('fail', 'skip')),
    key_columns     name[]      not null,
    known_columns   jsonb       not null,
    rows_skipped    bigint      not null default 0,
    last_error      text,
    last_error_at   timestamptz,
    attached_at     timestamptz not null default now(),
    reason          text,
    paused_at       timestamptz,
    digest          text        not null default '',
    constraint status_is_written_somewhere check ((write_back in ('final', 'all')) <= (status_column is not null))
);
comment on table postrider.attachment is 'Attached tables. Private; read postrider.attached_table, and change it with postrider.attach_table.';
comment on column postrider.attachment.attachment_no is 'Private short key. Every row_key of its events begins with it.';
comment on column postrider.attachment.relation is 'The table. It may be renamed.';
comment on column postrider.attachment.state is 'active, or paused: changes are not heard.';
comment on column postrider.attachment.topic is 'Topic of the events; {column} and {op} stand for values.';
comment on column postrider.attachment.payload is 'row, change, supabase, debezium, or a column''s name.';
comment on column postrider.attachment.key is 'Column whose value is the key of the events; null: the primary key.';
comment on column postrider.attachment.destination is 'Destination of the events; {column} stands for a value; null: whoever subscribes.';
comment on column postrider.attachment.status_column is 'Column that gets the status of the row''s newest event; null: none.';
comment on column postrider.attachment.status_map is 'Words for in_progress, complete and failed, where the column has others.';
comment on column postrider.attachment.write_back is
    'none; final: complete and failed; all: in_progress, too; delete: the row goes when its newest event is complete.';
comment on column postrider.attachment.on_ops is 'Operations that make events: insert, update, delete, truncate.';
comment on column postrider.attachment.when_sql is 'Condition on new and old, evaluated with the rights of the table''s owner; null: every row.';
comment on column postrider.attachment.columns is 'Columns that payload shows and an update is noticed in; null: all that were there when it was attached.';
comment on column postrider.attachment.on_error is 'fail: an event that cannot be written fails the statement; skip: it is counted.';
comment on column postrider.attachment.key_columns is 'The primary key.';
comment on column postrider.attachment.known_columns is 'The columns when the table was attached: an array of {name, type}.';
comment on column postrider.attachment.rows_skipped is 'Rows whose events could not be written, but for those that row_skipped has.';
comment on column postrider.attachment.last_error is 'What went wrong last.';
comment on column postrider.attachment.last_error_at is 'When that was.';
comment on column postrider.attachment.attached_at is 'When the table was attached.';
comment on column postrider.attachment.reason is 'Why it is paused.';
comment on column postrider.attachment.paused_at is 'Since when it is paused; null: it is not.';
comment on column postrider.attachment.digest is 'Of the statements that made its functions and triggers.';
-- The role that attaches a table inserts the row, not a SECURITY DEFINER function. So this trigger sees that role.
create trigger judge_attachment
    before insert or delete
        or update of attachment_no, relation, topic, payload, key, destination, status_column, status_map, write_back, on_ops, when_sql,
            columns, on_error, key_columns, known_columns, digest
    on postrider.attachment
    for each row execute function postrider.judge_attachment();
alter table postrider.attachment enable always trigger judge_attachment;
comment on trigger judge_attachment on postrider.attachment is 'Only a table''s owner attaches and detaches it.';
create trigger attachment_changed after insert or delete or update of relation on postrider.attachment
    for each row execute function postrider.attachment_changed();
alter table postrider.attachment enable always trigger attachment_changed;
comment on trigger attachment_changed on postrider.attachment is
    'Grants the owners of attached tables what their triggers need, and takes it back.';
-- The generated functions are granted what view capture_right lists, to the owner of each attached table.
grant select, insert, update, delete on postrider.attachment to postrider_dispatcher;
grant select, usage on sequence postrider.attachment_attachment_no_seq to postrider_dispatcher;

-- It changes with every batch. Triggers of users read the row of attachment, and old versions of a row cost its readers time while an
-- old snapshot keeps them: so this stands apart.
create table postrider.backfill (
    attachment_no integer     primary key references postrider.attachment on delete cascade,
    state         text        not null default 'running' check (state in ('running', 'done')),
    after         text,
    held          text[]      not null default '{}' check (cardinality(held) <= 3000),
    held_at       timestamptz,
    sent_since    bigint      not null default 0,
    batch_max     integer     not null default 50 check (batch_max between 10 and 1000),
    sample        bigint[]    not null default '{}' check (cardinality(sample) <= 64),
    sent_at       timestamptz,
    rows_read     bigint      not null default 0,
    rows_sent     bigint      not null default 0,
    rows_refused  bigint      not null default 0,
    tries         integer     not null default 0,
    retry_at      timestamptz,
    started_at    timestamptz not null default now(),
    finished_at   timestamptz,
    constraint done_has_a_time check ((state = 'done') = (finished_at is not null))
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_cost_delay = 0);
comment on table postrider.backfill is
    'Backfills: rows that an attached table had before become events, in order of the primary key. Private; read postrider.attached_table.';
comment on column postrider.backfill.attachment_no is 'The attached table.';
comment on column postrider.backfill.state is 'running or done.';
comment on column postrider.backfill.after is 'The last row that was looked at, as outbox.row_key; null: none yet.';
comment on column postrider.backfill.held is 'Rows before it that somebody has locked, as outbox.row_key. They are tried again.';
comment on column postrider.backfill.held_at is 'When they were tried last.';
comment on column postrider.backfill.sent_since is 'A row that has an event above this id was sent by the trigger, and is not sent again.';
comment on column postrider.backfill.batch_max is 'The most events of the next batch.';
comment on column postrider.backfill.sample is 'Some events of the last batch: the next one waits until most of them are out of the way.';
comment on column postrider.backfill.sent_at is 'When the last batch was sent.';
comment on column postrider.backfill.rows_read is 'Rows looked at.';
comment on column postrider.backfill.rows_sent is 'Rows that became events.';
comment on column postrider.backfill.rows_refused is 'Rows left out, because the condition or the event failed: attachment.last_error says why.';
comment on column postrider.backfill.tries is 'How often in a row no batch could be made.';
comment on column postrider.backfill.retry_at is 'No batch is tried before.';
comment on column postrider.backfill.started_at is 'When the backfill was asked for.';
comment on column postrider.backfill.finished_at is 'When the backfill was done; null: it is not.';
grant select, insert, update, delete on postrider.backfill to postrider_dispatcher;

create table postrider.row_due (
    id            bigint           generated always as identity primary key,
    attachment_no integer          not null,
    row_key       text             not null,
    event_id      bigint           not null,
    status        postrider.status not null,
    noted_at      timestamptz      not null default clock_timestamp(),
    due_at        timestamptz      not null default clock_timestamp(),
    tries         integer          not null default 0
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0,
        autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 50000, vacuum_truncate = off);
comment on table postrider.row_due is
    'Rows of attached tables whose status may have to be written. A row may stand here more than once. Private.';
comment on column postrider.row_due.id is 'Private key.';
comment on column postrider.row_due.attachment_no is 'The attachment. It may be gone: then the entry is dropped.';
comment on column postrider.row_due.row_key is 'The row, as outbox.row_key.';
comment on column postrider.row_due.event_id is 'The event whose status changed.';
comment on column postrider.row_due.status is
    'The status that it got. It counts only if the event was deleted before the row could be written; otherwise the event is asked.';
comment on column postrider.row_due.noted_at is 'When that was.';
comment on column postrider.row_due.due_at is 'Not looked at before: somebody held the row, or the write failed.';
comment on column postrider.row_due.tries is 'How often the write failed.';
create index row_due_by_time on postrider.row_due (attachment_no, due_at, id);
grant select, insert, update, delete on postrider.row_due to postrider_dispatcher;

create table postrider.row_skipped (
    id            bigint      generated always as identity primary key,
    attachment_no integer     not null,
    row_count     bigint      not null,
    reason        text        not null,
    skipped_at    timestamptz not null default now()
);
comment on table postrider.row_skipped is
    'Rows of attached tables whose events could not be written, of one statement each. Triggers add here, so that no statement waits for '
    'another. Private.';
comment on column postrider.row_skipped.id is 'Private key.';
comment on column postrider.row_skipped.attachment_no is 'The attached table.';
comment on column postrider.row_skipped.row_count is 'How many rows.';
comment on column postrider.row_skipped.reason is 'SQLSTATE of the last failure.';
comment on column postrider.row_skipped.skipped_at is 'When the statement''s transaction began.';
grant select, insert, update, delete on postrider.row_skipped to postrider_dispatcher;
