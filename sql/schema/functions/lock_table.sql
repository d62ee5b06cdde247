-- While this waits for a lock, every writer of the table waits behind it. So it waits a quarter of a second for all of them together, gives up
-- what it has, and lets the writers through before it tries again.
create or replace function postrider.lock_table(relation regclass, mode text) returns void
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '250ms' as $$
declare
    deadline timestamptz := clock_timestamp() + interval '1 minute';
    -- A partitioned table before its partitions, which is the order in which PostgreSQL locks them.
    parts    constant regclass[] := lock_table.relation || array(
                 select p.relid from pg_partition_tree(lock_table.relation) as p where p.level > 0 order by p.level, p.relid);
    part     regclass;
    ends_at  timestamptz;
    holders  text;
begin
    if current_setting('statement_timeout') <> '0' then
        deadline := least(deadline, statement_timestamp() + current_setting('statement_timeout')::interval - interval '3 seconds');
    end if;
    loop
        begin
            ends_at := clock_timestamp() + interval '250 milliseconds';
            foreach part in array parts loop
                perform set_config('lock_timeout',
                    greatest(1, ceil(extract(epoch from ends_at - clock_timestamp()) * 1000))::integer || 'ms', true);
                execute format('lock table only %s in %s mode', part, lock_table.mode);
            end loop;
            return;
        exception when lock_not_available or deadlock_detected then
            holders := postrider.lock_holders(parts, lock_table.mode);
        end;
        if clock_timestamp() >= deadline then
            raise exception 'table %: others hold it, and it could not be locked: %', lock_table.relation,
                    coalesce(holders, 'many short statements')
                using errcode = 'lock_not_available',
                      detail = 'It was tried again and again, a quarter of a second each time, so that no writer waits for long',
                      hint = 'Wait until they are done, or end them (pg_terminate_backend), and call this again.';
        end if;
        perform pg_sleep(0.2 + random() * 0.3);
    end loop;
end
$$;
comment on function postrider.lock_table(regclass, text) is
    'Locks a table and its partitions until the transaction ends, for a minute if others hold it, and lets their writers through meanwhile. '
    'Raises 55P03, which names who is in the way. Private.';
revoke all on function postrider.lock_table(regclass, text) from public;
grant execute on function postrider.lock_table(regclass, text) to postrider_dispatcher;
