//! An ordered endpoint, its receiver, a dispatcher, and events by key and number.

use std::ops::RangeInclusive;

use crate::support::{Database, Dispatcher, LaneReceiver, Proxy, Rules};

/// Housekeeping steps every second, and a dispatcher that is killed is missed soon.
pub(super) const SHORT_LEASE: [&str; 4] = ["--lease", "4s", "--request-timeout", "2s"];
/// Two dispatchers.
pub(super) const TWO: usize = 2;
/// A schedule in which nobody has to wait for a timer: what waits longer than a moment waits for an event.
pub(super) const HOURS: &str = "retry_schedule => '{1h,1h,1h}'";

/// An endpoint `one` that is ordered and receives everything; `more` as in [`Database::put_endpoint`].
pub(super) async fn ordered_database(more: &str, rules: Rules) -> (Database, LaneReceiver) {
    let database = Database::new().await;
    let receiver = LaneReceiver::start_with(rules).await;
    put_ordered(&database, "one", &receiver, more).await;
    (database, receiver)
}

/// The same, and a dispatcher.
pub(super) async fn ordered_endpoint(more: &str, flags: &[&str]) -> (Database, LaneReceiver, Dispatcher) {
    let (database, receiver) = ordered_database(more, Rules::STRICT).await;
    let dispatcher = Dispatcher::start(&database, flags).await;
    (database, receiver, dispatcher)
}

/// The same, with a dispatcher behind a proxy, and faults to come.
pub(super) async fn behind_proxy(more: &str) -> (Database, LaneReceiver, Proxy, Dispatcher) {
    let (database, receiver) = ordered_database(more, Rules::AFTER_FAULTS).await;
    let proxy = Proxy::to_postgres(&database.url).await;
    let dispatcher = Dispatcher::spawn(&proxy.url(&database.url), &SHORT_LEASE);
    dispatcher.logged("dispatcher 1 runs").await;
    (database, receiver, proxy, dispatcher)
}

/// Puts an ordered endpoint that receives everything.
pub(super) async fn put_ordered(database: &Database, id: &str, receiver: &LaneReceiver, more: &str) {
    let comma = if more.is_empty() { "" } else { ", " };
    database.put_endpoint(id, &receiver.url(), "**", &format!("ordered => true{comma}{more}")).await;
}

/// Dispatchers, all of which run.
pub(super) async fn dispatchers(database: &Database, count: usize, flags: &[&str]) -> Vec<Dispatcher> {
    let mut started = Vec::new();
    for _ in 0..count {
        started.push(Dispatcher::start(database, flags).await);
    }
    started
}

/// SQL that inserts events of a key, with these numbers.
pub(super) fn lane_events(key: &str, numbers: RangeInclusive<u64>) -> String {
    format!(
        "insert into postrider.outbox (topic, key, payload)
         select 'lane.event', '{key}', json_build_object('key', '{key}', 'number', n)
         from generate_series({}, {}) as n order by n",
        numbers.start(),
        numbers.end()
    )
}

/// Inserts events of a key in one transaction.
pub(super) async fn insert(database: &Database, key: &str, numbers: RangeInclusive<u64>) {
    database.execute(&lane_events(key, numbers)).await;
}

/// SQL for the id of the event of a key and number.
pub(super) fn event(key: &str, number: u64) -> String {
    format!(
        "(select o.id from postrider.outbox as o where o.key = '{key}' and (o.payload ->> 'number')::int = {number})"
    )
}

/// SQL for the id of its delivery to endpoint `one`.
pub(super) fn delivery(key: &str, number: u64) -> String {
    format!(
        "(select d.delivery_id from postrider.delivery_status as d where d.event_id = {} and d.endpoint_id = 'one'
          order by d.delivery_id limit 1)",
        event(key, number)
    )
}

/// SQL for whether that delivery has this status.
pub(super) fn has_status(key: &str, number: u64, status: &str) -> String {
    format!(
        "select exists (select from postrider.delivery_status as d where d.event_id = {} and d.endpoint_id = 'one'
                        and d.status = '{status}')",
        event(key, number)
    )
}

/// SQL for whether that delivery was attempted so often, and waits for the next attempt.
pub(super) fn has_failed(key: &str, number: u64, attempts: u64) -> String {
    format!(
        "select exists (select from postrider.delivery_status as d where d.event_id = {} and d.status = 'pending'
                        and d.attempts = {attempts})",
        event(key, number)
    )
}

/// Waits until all events of all keys are routed.
pub(super) async fn until_routed(database: &Database) {
    database.until("select unrouted = 0 from postrider.backlog").await;
}

/// Calls `postrider.retry`.
pub(super) async fn retry(database: &Database, key: &str, number: u64) {
    database.execute(&format!("select * from postrider.retry({})", delivery(key, number))).await;
}
