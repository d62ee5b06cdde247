-- does:   counts failed attempts of an endpoint. Opens its circuit when there are too many in a row, or when a probe failed. Holds
--         the endpoint if it asked to be left alone.
-- params: $1 endpoint_no int; $2 dispatcher_id bigint; $3 answered boolean (the endpoint answered since the last call, so
--         earlier failures no longer count); $4 failures int (in a row since then); $5 failing_ms bigint (since the first
--         attempt after the last success began; null if none failed, and the endpoint is only held); $6 probe_failed boolean
--         (the probe is one of these failures); $7 delay_ms bigint (until the next probe, if this call opens the circuit);
--         $8 open_after int (failures); $9 against_endpoint boolean (one of the failures is not about its delivery alone);
--         $10 retry_ms bigint (until the last of the deliveries is due again; null if all were given up); $11 held_ms bigint (the
--         endpoint asked to be left alone for so long; null if it did not); $12 quiet_ms bigint (a longer gap between failures, in
--         which nothing was due, says nothing about the endpoint); $13 attempts bigint (failed since the last call, whatever the
--         answer)
-- rows:   one: is_locked boolean (somebody has locked the circuit, so nothing is counted); state (null if it is locked, or the
--         endpoint is deleted); is_changed boolean (this call changed the state; a new row that is closed does not count);
--         failures int; failed_probes int; probe_ms bigint (until probe_at; null while closed); probe_by bigint; failing_ms bigint
--         (since failing_since); held_ms bigint (until held_until; null if it was never held); failed_ms bigint (from failing_since to
--         this call, without quiet times; null unless $9); failed_attempts bigint (since the last success, those of this call
--         included)
-- locks:  the circuit's row, skipping a locked one; waits for a new row of the same endpoint, at most lock_timeout
-- repeat: counts the failures again
--
--    no row --+--> closed     failures < open_after
--             +--> open       failures >= open_after
--    closed -----> open       failures >= open_after
--    half_open --> open       probe_failed, and the dispatcher is probe_by; failed_probes + 1, next probe later
--    any --------> closed     answered, and failures since < open_after
--    Otherwise the state stays. take_probes makes a circuit half_open, and close_circuit deletes the row.
with free as materialized (
    select c.endpoint_no from postrider.circuit as c where c.endpoint_no = $1::int for update skip locked
), blocked as materialized (
    select from postrider.circuit as c where c.endpoint_no = $1 and not exists (select from free)
), noted as (
    insert into postrider.circuit as c
        (endpoint_no, failures, failing_since, state, changed_at, probe_at, failed_at, retry_at, held_until, failed_attempts)
    -- All changes take the statement's time. The last line tells by it what changed.
    select e.endpoint_no,
           $4::int,
           statement_timestamp() - $5::bigint * interval '1 millisecond',
           case when $4::int >= $8::int then 'open' else 'closed' end,
           statement_timestamp(),
           case when $4::int >= $8::int then statement_timestamp() + $7::bigint * interval '1 millisecond' end,
           case when $9::boolean then statement_timestamp() end,
           statement_timestamp() + $10::bigint * interval '1 millisecond',
           statement_timestamp() + $11::bigint * interval '1 millisecond',
           $13::bigint
    from postrider.endpoint as e
    where e.endpoint_no = $1 and e.state <> 'deleted' and not exists (select from blocked)
    on conflict (endpoint_no) do update
    set failed_attempts = c.failed_attempts + $13::bigint,
        failing_since = case
            when c.failing_since is null then excluded.failing_since
            when c.failing_since > statement_timestamp() - interval '1 hour' then c.failing_since
            -- Another dispatcher had a success, but did not know yet that the endpoint had a circuit row.
            else greatest(c.failing_since,
                          (select max(t.last_success_at) from postrider.endpoint_stat as t where t.endpoint_no = c.endpoint_no),
                          (select max(t.last_success_at) from postrider.endpoint_stat_hourly as t where t.endpoint_no = c.endpoint_no))
            end,
        quiet = case
            when not $9 or c.failing_since is null then c.quiet
            when c.failed_at is null then statement_timestamp() - c.failing_since
            -- While a delivery was due later, or waited for a probe or the end of a hold, the gap is a part of the failure.
            when statement_timestamp() - $12::bigint * interval '1 millisecond'
                > case when c.retry_at > c.failed_at then greatest(c.retry_at, c.probe_at, c.held_until) else c.failed_at end
                then c.quiet + (statement_timestamp() - c.failed_at)
            else c.quiet end,
        failed_at = case when $9 then statement_timestamp() else c.failed_at end,
        retry_at = greatest(c.retry_at, excluded.retry_at),
        held_until = greatest(c.held_until, excluded.held_until),
        (state, failures, failed_probes, changed_at, probe_at, probe_by) = (
        select n.state,
               n.failures,
               case when n.state = 'closed' or c.state = 'closed' then 0
                    when n.state = c.state then c.failed_probes
                    else c.failed_probes + 1 end,
               case when n.state = c.state then c.changed_at else statement_timestamp() end,
               case when n.state = c.state then c.probe_at
                    when n.state = 'open' then statement_timestamp() + $7::bigint * interval '1 millisecond' end,
               case when n.state = c.state then c.probe_by end
        from (select f.failures,
                     case when $3::boolean and f.failures < $8::int then 'closed'
                          when c.state = 'closed' and f.failures >= $8::int then 'open'
                          -- Fencing: the result of a prober does not count after its right has passed to another.
                          when c.state = 'half_open' and c.probe_by = $2::bigint and $6::boolean then 'open'
                          else c.state end as state
              from (select case when $3::boolean then 0 else c.failures end + $4::int as failures) as f) as n)
    returning c.state,
        c.changed_at = statement_timestamp() and (c.state <> 'closed' or c.xmax <> '0') as is_changed,
        c.failures,
        c.failed_probes,
        ceil(extract(epoch from c.probe_at - statement_timestamp()) * 1000)::bigint as probe_ms,
        c.probe_by,
        (extract(epoch from statement_timestamp() - c.failing_since) * 1000)::bigint as failing_ms,
        ceil(extract(epoch from c.held_until - statement_timestamp()) * 1000)::bigint as held_ms,
        case when $9 then (extract(epoch from c.failed_at - c.failing_since - c.quiet) * 1000)::bigint end as failed_ms,
        c.failed_attempts
)
select exists (select from blocked) as is_locked,
       n.state, n.is_changed, n.failures, n.failed_probes, n.probe_ms, n.probe_by, n.failing_ms, n.held_ms,
       n.failed_ms, n.failed_attempts
from (select) as one
left join noted as n on true
