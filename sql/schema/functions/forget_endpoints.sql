-- Rows of deleted endpoints go when no history can name them any more. Rows of circuits and statistics go with them.
create or replace function postrider.forget_endpoints(deleted_before timestamptz) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
    gone integer[];
begin
    -- The rows are locked first, because even a delete of nothing makes the dispatchers read the endpoints again. Rows that
    -- somebody else has locked go another time.
    gone := array(
        select e.endpoint_no from postrider.endpoint as e
        where e.state = 'deleted' and e.changed_at < deleted_before
          and not exists (select from postrider.old_secret as s where s.endpoint_no = e.endpoint_no)
        limit 1000 for update skip locked);
    if cardinality(gone) = 0 then
        return 0;
    end if;
    delete from postrider.endpoint as e where e.endpoint_no = any (gone);
    delete from postrider.endpoint_stat_hourly as h
    using (select t.endpoint_no, t.hour from postrider.endpoint_stat_hourly as t
           where not exists (select from postrider.endpoint as e where e.endpoint_no = t.endpoint_no)
           for update of t skip locked) as lost
    where h.endpoint_no = lost.endpoint_no and h.hour = lost.hour;
    delete from postrider.circuit as c
    using (select t.endpoint_no from postrider.circuit as t
           where not exists (select from postrider.endpoint as e where e.endpoint_no = t.endpoint_no)
           for update of t skip locked) as lost
    where c.endpoint_no = lost.endpoint_no;
    return cardinality(gone);
end
$$;
comment on function postrider.forget_endpoints(timestamptz) is
    'Removes the rows of endpoints deleted before a time; returns how many endpoints. Private.';
revoke all on function postrider.forget_endpoints(timestamptz) from public;
grant execute on function postrider.forget_endpoints(timestamptz) to postrider_dispatcher;
