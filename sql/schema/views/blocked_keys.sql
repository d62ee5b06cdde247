create or replace view postrider.blocked_keys as
select e.id as endpoint_id,
       d.lane as key,
       d.id as delivery_id,
       d.event_id,
       d.status,
       d.attempts,
       d.due_at as next_attempt_at,
       d.last_error,
       d.failing_since as since,
       -- A bound, because a million may follow; in order of the index, which otherwise is read to its end before the first is counted.
       (select count(*)
        from (select from postrider.delivery as f
              where f.endpoint_no = d.endpoint_no and f.lane = d.lane and f.place > d.place
              order by f.place
              limit 10000) as f) as waiting
from postrider.delivery as d
join postrider.endpoint as e on e.endpoint_no = d.endpoint_no and e.state <> 'deleted'
-- Read by delivery_blocked.
where d.lane is not null
  and d.failing_since is not null
  -- Another one may have come before it since. `not exists` would be planned as a join with all deliveries.
  and d.id = (select f.id
              from postrider.delivery as f
              where f.endpoint_no = d.endpoint_no and f.lane = d.lane
              order by f.endpoint_no, f.lane, f.place
              limit 1);
comment on view postrider.blocked_keys is
    'One row per key of an ordered endpoint that is held up: its first delivery has failed at least once, and the others wait for it. The row '
    'goes when that delivery succeeds or is skipped, or is retried after it was given up. A query reads the blocked keys, and no others.';
comment on column postrider.blocked_keys.endpoint_id is 'The endpoint. Its other keys go on.';
comment on column postrider.blocked_keys.key is 'The key.';
comment on column postrider.blocked_keys.delivery_id is 'The delivery that holds up the key.';
comment on column postrider.blocked_keys.event_id is 'The event of that delivery: postrider.outbox.id.';
comment on column postrider.blocked_keys.status is
    'pending: it is tried again at next_attempt_at; in_progress: it is being tried again; failed: it has no attempts left, and waits for '
    'postrider.retry or postrider.skip.';
comment on column postrider.blocked_keys.attempts is 'Attempts begun, before and after a retry or replay.';
comment on column postrider.blocked_keys.next_attempt_at is 'The next attempt comes no earlier, while pending; null otherwise.';
comment on column postrider.blocked_keys.last_error is 'Why the last attempt failed.';
comment on column postrider.blocked_keys.since is
    'When the first failed attempt began, since the last retry or replay.';
comment on column postrider.blocked_keys.waiting is 'Deliveries behind it, counted up to 10,000.';
revoke all on postrider.blocked_keys from public;
grant select on postrider.blocked_keys to postrider_reader, postrider_dispatcher;
