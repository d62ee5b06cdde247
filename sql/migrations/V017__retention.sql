-- why: after a restore into another server the order of transactions says nothing of age, and retention and routing went by it.
--      A sequence that lies behind its table failed inserts, or hid them. What a stranger's transaction has locked held up
--      the tidying of all the rest.
-- old code: runs on.

-- Transactions are numbered by the server: what was routed elsewhere says nothing here.
create function postrider.server_identity() returns text
language plpgsql stable set search_path = pg_catalog, pg_temp as $$
begin
    return (select s.system_identifier::text from pg_control_system() as s);
exception when insufficient_privilege or undefined_function then
    return ''; -- Not told: this server is taken for the one that it was before.
end
$$;
comment on function postrider.server_identity() is
    'What PostgreSQL calls the cluster: another one after a dump and restore, or a logical copy. Empty where it may not be asked. Private.';

alter table postrider.installation
    add column server text,
    add column restored_at timestamptz,
    add column restored_until xid8 not null default '0';
update postrider.installation set server = postrider.server_identity();
comment on column postrider.installation.server is 'The cluster whose transactions routed_below counts: postrider.server_identity.';
comment on column postrider.installation.restored_at is 'When a dispatcher noticed that the rows were brought here from another cluster.';
comment on column postrider.installation.restored_until is
    'The highest transaction of an event at that time: up to there events of another cluster stand among ours. 0: there was none.';

-- Asked at every start, and by every new connection: notes that the rows were brought here from another cluster.
create function postrider.note_restore() returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    identity text := postrider.server_identity();
begin
    if identity = '' or exists (select from postrider.installation as i where i.server = identity) then
        return false;
    end if;
    update postrider.installation as i
    set server = identity,
        routed_below = '0',
        restored_at = now(),
        restored_until = coalesce((
            -- Index: outbox_by_transaction.
            select o.created_xid from postrider.outbox as o order by o.created_xid desc, o.id desc limit 1), '0')
    where i.server is distinct from identity;
    return found;
end
$$;
comment on function postrider.note_restore() is
    'Forgets what was routed elsewhere, if the rows were brought here from another cluster; returns whether it did. Private.';

create or replace function postrider.routed_below() returns xid8
language sql stable security definer set search_path = pg_catalog, pg_temp
return (
    select case when i.server is distinct from postrider.server_identity() and postrider.server_identity() <> '' then '0'::xid8
                when i.routed_below > pg_snapshot_xmin(pg_current_snapshot()) then '0'::xid8
                else i.routed_below end
    from postrider.installation as i);

-- Sequences are copied by no logical replication.
create function postrider.lagging_sequences()
returns table (relation text, sequence text, next_id bigint, highest_id bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
    owned record;
begin
    for owned in
        select c.relname::text as relation_name, a.attname::text as column_name, s.relname::text as sequence_name
        from pg_depend as d
        join pg_class as s on s.oid = d.objid and s.relkind = 'S'
        join pg_class as c on c.oid = d.refobjid
        join pg_attribute as a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
        where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.deptype in ('i', 'a')
          and c.relnamespace = 'postrider'::regnamespace
        order by c.relname
    loop
        return query execute format(
            'select %L::text, %L::text, s.next_id, h.highest_id
             from (select case when q.is_called then q.last_value + 1 else q.last_value end as next_id from postrider.%I as q) as s
             cross join (select max(t.%I)::bigint as highest_id from postrider.%I as t) as h
             where h.highest_id >= s.next_id',
            owned.relation_name, 'postrider.' || owned.sequence_name, owned.sequence_name, owned.column_name, owned.relation_name);
    end loop;
end
$$;
comment on function postrider.lagging_sequences() is
    'Sequences that will give out ids which are taken, with the next id and the highest one in the table. Private.';

create function postrider.mend_sequences()
returns table (relation text, sequence text, next_id bigint, highest_id bigint)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
    lagging record;
    taken   bigint;
begin
    for lagging in select l.* from postrider.lagging_sequences() as l loop
        if lagging.highest_id - lagging.next_id < 10000 then
            -- Others take ids meanwhile, and may pass the highest one: to set it then would set it back.
            loop
                taken := nextval(lagging.sequence::regclass);
                exit when taken >= lagging.highest_id;
            end loop;
        else
            perform setval(lagging.sequence::regclass, lagging.highest_id);
        end if;
        relation := lagging.relation;
        sequence := lagging.sequence;
        next_id := lagging.next_id;
        highest_id := lagging.highest_id;
        return next;
    end loop;
end
$$;
comment on function postrider.mend_sequences() is
    'Sets each sequence that lies behind its table forward, never back; returns those, as they were. Private: postrider doctor --mend calls it.';

-- A producer may not read: whether an INSERT that did nothing met a repeated idempotency key, or an id that was taken.
create function postrider.has_event(id bigint) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp
return exists (select from postrider.outbox as o where o.id = has_event.id);
comment on function postrider.has_event(bigint) is 'Whether there is an event of that id. Private.';

-- An insert would wait for whoever has locked the endpoint's row. forget_endpoints clears up instead.
alter table postrider.hourly_tally drop constraint hourly_tally_endpoint_no_fkey;
alter table postrider.circuit drop constraint circuit_endpoint_no_fkey;

create or replace function postrider.forget_endpoints(deleted_before timestamptz) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    gone integer[];
begin
    -- Locked first: even a delete of nothing makes the dispatchers read the endpoints again. What somebody else has locked
    -- goes another time.
    gone := array(
        select e.no from postrider.endpoint as e
        where e.state = 'deleted' and e.changed_at < deleted_before
          and not exists (select from postrider.old_secret as s where s.endpoint_no = e.no)
        limit 1000 for update skip locked);
    if cardinality(gone) = 0 then
        return 0;
    end if;
    delete from postrider.endpoint as e where e.no = any (gone);
    delete from postrider.hourly_tally as h
    using (select t.endpoint_no, t.hour from postrider.hourly_tally as t
           where not exists (select from postrider.endpoint as e where e.no = t.endpoint_no)
           for update of t skip locked) as lost
    where h.endpoint_no = lost.endpoint_no and h.hour = lost.hour;
    delete from postrider.circuit as c
    using (select t.endpoint_no from postrider.circuit as t
           where not exists (select from postrider.endpoint as e where e.no = t.endpoint_no)
           for update of t skip locked) as lost
    where c.endpoint_no = lost.endpoint_no;
    return cardinality(gone);
end
$$;

create or replace function postrider.forget_secrets() returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp
begin atomic
    delete from postrider.old_secret as s
    using (select o.endpoint_no, o.secret from postrider.old_secret as o
           where o.valid_until <= clock_timestamp()
              or exists (select from postrider.endpoint as e where e.no = o.endpoint_no and e.state = 'deleted')
           for update of o skip locked) as past
    where s.endpoint_no = past.endpoint_no and s.secret = past.secret;
end;

revoke all on function postrider.server_identity(), postrider.note_restore(), postrider.lagging_sequences(),
    postrider.mend_sequences(), postrider.has_event(bigint)
    from public;
grant execute on function postrider.server_identity() to postrider_reader, postrider_dispatcher;
grant execute on function postrider.note_restore(), postrider.lagging_sequences(), postrider.mend_sequences()
    to postrider_dispatcher;
grant execute on function postrider.has_event(bigint) to postrider_producer, postrider_dispatcher;
