create or replace view postrider.capture_right as
select w.object, w.privilege, w.column_name::name as column_name
from (values
    ('schema postrider', 'usage', null),
    ('table postrider.outbox', 'insert', 'topic'),
    ('table postrider.outbox', 'insert', 'payload'),
    ('table postrider.outbox', 'insert', 'key'),
    ('table postrider.outbox', 'insert', 'headers'),
    ('table postrider.outbox', 'insert', 'destination'),
    ('table postrider.outbox', 'insert', 'row_key'),
    -- Whether it is paused, and what the table is called.
    ('table postrider.attachment', 'select', 'attachment_no'),
    ('table postrider.attachment', 'select', 'state'),
    ('table postrider.attachment', 'select', 'relation'),
    -- How its rows are found, and what is written.
    ('table postrider.attachment', 'select', 'key_columns'),
    ('table postrider.attachment', 'select', 'status_column'),
    ('table postrider.attachment', 'select', 'write_back'),
    ('function postrider.row_access(integer)', 'execute', null),
    ('table postrider.row_skipped', 'insert', 'attachment_no'),
    ('table postrider.row_skipped', 'insert', 'row_count'),
    ('table postrider.row_skipped', 'insert', 'reason'),
    ('function postrider.is_as_attached(integer)', 'execute', null),
    ('function postrider.foreign_actions(integer)', 'execute', null),
    ('function postrider.is_resumed(integer)', 'execute', null),
    ('function postrider.capture_now(integer,text,boolean)', 'execute', null),
    ('function postrider.refuse_event(integer,text,text)', 'execute', null),
    -- Checks and triggers of the outbox call these with the rights of the role that inserts.
    ('function postrider.are_headers_valid(jsonb)', 'execute', null),
    ('function postrider.bell_key()', 'execute', null),
    ('function postrider.ring()', 'execute', null)
) as w (object, privilege, column_name);
comment on view postrider.capture_right is
    'What the owner of an attached table is granted, because its triggers insert events, and its statuses are written, with that '
    'role''s rights. Private.';
comment on column postrider.capture_right.object is 'As grant takes it: table postrider.outbox.';
comment on column postrider.capture_right.privilege is 'The right, in small letters.';
comment on column postrider.capture_right.column_name is 'The column that it is for; null: the whole object.';
revoke all on postrider.capture_right from public;
grant select on postrider.capture_right to postrider_dispatcher;
