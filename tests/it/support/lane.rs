//! Lanes made by hand: deliveries of one key to an ordered endpoint, as dispatchers leave them.

use super::Database;

impl Database {
    /// Adds deliveries of one key to an endpoint, in this order, each with an event of its own; returns their ids. `held_up`: it failed
    /// and holds up its key; `failed`: the key went on without it; `retry`: its next attempt is due in an hour; `in_progress`: a
    /// dispatcher holds it; `pending` and `complete`. Of those that are pending only the first of the lane is due.
    pub(crate) async fn insert_lane(&self, endpoint: &str, key: &str, deliveries: &[&str]) -> Vec<i64> {
        let mut ids = Vec::new();
        for what in deliveries {
            let sql = format!(
                "with made as (
                     insert into postrider.outbox (topic, payload, key, status, deliveries, open_deliveries, failed, completed_at)
                     values ('order.changed', '{{}}', '{key}',
                             case '{what}' when 'complete' then 'complete' when 'failed' then 'failed' when 'held_up' then 'failed'
                                 else 'in_progress' end::postrider.status,
                             1, case when '{what}' in ('complete', 'failed', 'held_up') then 0 else 1 end,
                             case when '{what}' in ('failed', 'held_up') then 1 else 0 end,
                             case when '{what}' in ('complete', 'failed', 'held_up') then now() end)
                     returning id
                 ), claimed as (
                     select nextval('postrider.claim_id_seq') as id where '{what}' = 'in_progress'
                 ), born as (
                     insert into postrider.delivery (event_id, endpoint_no, status, attempts, claim_id, due_at, completed_at,
                                                     failed_at, last_status_code, last_error, lane, place, failing_since)
                     select m.id, e.endpoint_no,
                            case '{what}' when 'retry' then 'pending' when 'held_up' then 'failed' else '{what}' end::postrider.status,
                            case '{what}' when 'pending' then 0 else 1 end,
                            (select c.id from claimed as c),
                            case when '{what}' = 'retry' then now() + interval '1 hour' end,
                            case when '{what}' in ('complete', 'failed', 'held_up') then now() end,
                            case when '{what}' in ('failed', 'held_up') then now() end,
                            case when '{what}' in ('failed', 'held_up', 'retry') then 500 when '{what}' = 'complete' then 200 end,
                            case when '{what}' in ('failed', 'held_up', 'retry') then 'status 500' end,
                            case when '{what}' not in ('complete', 'failed') then '{key}' end,
                            case when '{what}' not in ('complete', 'failed') then m.id end,
                            case when '{what}' in ('held_up', 'retry') then now() end
                     from made as m
                     join postrider.endpoint as e on e.id = '{endpoint}' and e.state <> 'deleted'
                     returning id
                 ), dispatcher as (
                     insert into postrider.dispatcher (id, host, version, wake_mode, lease_until) overriding system value
                     select 1000000, 'elsewhere', '0', 'poll', now() + interval '1 hour' from claimed
                     on conflict do nothing
                 ), held as (
                     insert into postrider.claim (id, dispatcher_id, delivery_ids) overriding system value
                     select c.id, 1000000, array[b.id] from claimed as c cross join born as b
                 )
                 select id from born"
            );
            ids.push(self.value(&sql).await);
        }
        self.execute(&format!(
            "select postrider.open_lanes(array[endpoint_no], array['{key}']) from postrider.endpoint where id = '{endpoint}'"
        ))
        .await;
        ids
    }

    /// A line for each delivery in order of id: `1 failed`, `2 due`, `3 later` (the next attempt comes later), `4 waits` (for others of
    /// its key), `5 complete`.
    pub(crate) async fn deliveries(&self) -> Vec<String> {
        let rows = self
            .rows(
                "select format('%s %s', delivery_id,
                            case when status <> 'pending' then status::text when next_attempt_at is null then 'waits'
                                 when next_attempt_at > clock_timestamp() then 'later' else 'due' end)
                 from postrider.delivery_status order by delivery_id",
                &[],
            )
            .await;
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// The deliveries that are in the lane of a key, in their order.
    pub(crate) async fn lane(&self, key: &str) -> Vec<i64> {
        let rows =
            self.rows("select id from postrider.delivery where lane = $1 order by place", &[&key]).await;
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// Routes events of a key to an ordered endpoint: the first is due in an hour, and the others wait for it. Returns the first delivery.
    pub(crate) async fn route_key(&self, endpoint: &str, key: &str, count: usize) -> i64 {
        self.execute(&format!(
            "update postrider.endpoint set ordered = true where id = '{endpoint}' and not ordered;
             with event as (
                 insert into postrider.outbox (topic, payload, key, status, deliveries, open_deliveries, failed)
                 select 'order.created', '{{}}', '{key}', 'in_progress', 1, 1, 0 from generate_series(1, {count})
                 returning id
             )
             insert into postrider.delivery (event_id, endpoint_no, status, due_at, lane, place)
             select v.id, e.endpoint_no, 'pending', case when v.id = min(v.id) over () then now() + interval '1 h' end, '{key}', v.id
             from event as v
             join postrider.endpoint as e on e.id = '{endpoint}' and e.state <> 'deleted'
             order by v.id"
        ))
        .await;
        self.value(&format!(
            "select d.id from postrider.delivery as d join postrider.endpoint as e using (endpoint_no)
             where e.id = '{endpoint}' and d.lane = '{key}' order by d.place limit 1"
        ))
        .await
    }

    /// A dispatcher, which is not there, claims it.
    pub(crate) async fn claim_by_hand(&self, delivery: i64) {
        self.execute(&format!(
            "update postrider.delivery set status = 'in_progress', due_at = null, claim_id = 1, attempts = attempts + 1 where id = {delivery}"
        ))
        .await;
    }

    /// The attempt for which it was claimed fails: it is tried again in an hour (`pending`), or not at all (`failed`).
    pub(crate) async fn fail_by_hand(&self, delivery: i64, status: &str) {
        self.execute(&format!(
            "insert into postrider.attempt (delivery_id, started_at, endpoint_no, duration_ms, attempt, status_code, outcome, error)
             select id, now(), endpoint_no, 5, attempts, 500, '{status}', 'status 500' from postrider.delivery where id = {delivery};
             update postrider.delivery
             set status = '{status}', claim_id = null, last_status_code = 500, last_error = 'status 500',
                 failing_since = coalesce(failing_since, now()),
                 due_at = case when '{status}' = 'pending' then now() + interval '1 h' end,
                 completed_at = case when '{status}' = 'failed' then now() end,
                 failed_at = case when '{status}' = 'failed' then now() end
             where id = {delivery};
             update postrider.outbox
             set open_deliveries = open_deliveries - 1, failed = failed + 1, status = 'failed', completed_at = now()
             where '{status}' = 'failed' and id = (select event_id from postrider.delivery where id = {delivery})"
        ))
        .await;
    }

    /// Its first attempt failed, and with it (`failed`) or without (`pending`) the delivery.
    pub(crate) async fn block_key(&self, endpoint: &str, key: &str, count: usize, status: &str) -> i64 {
        let delivery = self.route_key(endpoint, key, count).await;
        self.claim_by_hand(delivery).await;
        self.fail_by_hand(delivery, status).await;
        delivery
    }
}
