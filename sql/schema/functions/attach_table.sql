-- A face with named arguments over postrider.write_attachment, which checks them all. Null is an argument that was not named.
create or replace function postrider.attach_table(
    inout relation regclass, topic text default null, payload text default null, key text default null, destination text default null,
    status text default null, status_map jsonb default null, write_back text default null, on_ops text[] default null,
    when_sql text default null, columns text[] default null, backfill boolean default null, on_error text default null,
    out result text, out missing_grants text[], out notes text[]
) language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
    done record;
    said text;
begin
    select w.* into done
    from postrider.write_attachment(attach_table.relation, jsonb_build_object(
        'topic', attach_table.topic, 'payload', attach_table.payload, 'key', attach_table.key, 'destination', attach_table.destination,
        'status', attach_table.status, 'status_map', attach_table.status_map, 'write_back', attach_table.write_back,
        'on_ops', attach_table.on_ops, 'when_sql', attach_table.when_sql, 'columns', attach_table.columns,
        'backfill', attach_table.backfill, 'on_error', attach_table.on_error)) as w;
    attach_table.result := done.result;
    attach_table.missing_grants := array(select format('grant %s', m.lacking)
                                         from unnest(done.missing) with ordinality as m (lacking, place) order by m.place);
    attach_table.notes := done.changes || done.notes
        || array(select format('granted %s', g.what) from unnest(done.granted) as g (what));
    foreach said in array attach_table.notes loop
        raise notice 'table %: %', attach_table.relation, said;
    end loop;
    foreach said in array attach_table.missing_grants loop
        raise warning 'table %: no status is written, and no backfill made, before somebody does this: %', attach_table.relation, said;
    end loop;
end
$$;
comment on function postrider.attach_table(regclass, text, text, text, text, text, jsonb, text, text[], text, text[], boolean, text) is
    'Attaches a table: changes of its rows become events, and the status of a row''s newest event is written back into the row. '
    'Attached again, the table gets the new settings. A setting that is left out, or null, gets its default. '
    'The topic may have {column} and {op} for values. It is required, except where payload is debezium. '
    'The payload is row (default), change, supabase, debezium, or a column as it stands (column:NAME, if it is called like one of these). '
    'The key is a column (default: the primary key). '
    'The destination is an endpoint''s id or TEMPLATE/{column} (default: every endpoint that subscribes). '
    'The column status gets the status, in the words of status_map, as {"complete": "done"}. '
    'Argument write_back is none, final, all (default with status) or delete. '
    'Argument on_ops lists what is heard: insert, update, delete (default: these three), truncate. '
    'The condition when_sql is on new and old. It runs with the rights of the table''s owner. '
    'Payloads show columns, and updates are noticed in them (default: all). '
    'With backfill, the rows that are there are sent, too. '
    'An event that cannot be written fails the statement (on_error fail, the default), or is counted (skip). '
    'The caller must be a member of the table''s owner and of postrider_dispatcher. No writer waits longer than a second for this. After a '
    'minute of vain attempts the error names who holds the table. '
    'Returns (relation, result: created | changed | unchanged, missing_grants: what somebody else must grant before the status is written or a '
    'backfill is made, '
    'notes: what changed, and what to know). '
    'Raises 22023 for an invalid argument, 42703 for an unknown column, 42809 for what cannot be attached, 42501 without rights, 55P03 if '
    'it cannot be locked.';
revoke all on function postrider.attach_table(regclass, text, text, text, text, text, jsonb, text, text[], text, text[], boolean, text) from public;
grant execute on function postrider.attach_table(regclass, text, text, text, text, text, jsonb, text, text[], text, text[], boolean, text)
    to postrider_dispatcher;
