//! Plans that must not flip: what the dispatcher's sessions do to the big tables, whatever the statistics say.

use postrider::store::{STATEMENTS, Session};
use serde_json::Value;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::support::{Database, Dispatcher, Receiver, connect, set_up};

/// Statements of the hot path, and the one that all events meet when they are old; arguments for them.
const HOT_PATH: [(&str, &str); 13] = [
    ("claim_events", "('0', 0, '18446744073709551615', 9223372036854775807, 500, true, null, true)"),
    ("find_keyed", "('0', '5:7:5', 9223372036854775807, '{}', 500)"),
    ("claim_keyed_events", "('{1,20001}', true)"),
    ("route_events", "(1, '{20001}', '{1}', '{20001}', '{1}', '{null}', '{true}')"),
    ("find_unrouted", "('0', 0)"),
    ("find_due", ""),
    ("claim_deliveries", "(1, '{1}', '{500}', '{0}', true, '{10}', 100)"),
    (
        "settle_deliveries",
        "('{20001}', '{1}', '{complete}', '{null}', '{200}', '{null}', '{1}', '{1}', '{null}', '{true}', '{1}', true)",
    ),
    ("release_deliveries", "('{20001}', '{1}', '{true}', '{1}')"),
    ("load_events", "('{20001}')"),
    ("open_lanes", "('{20001}', '{1}')"),
    ("sweep_lanes", "(1000, 0, '', true)"),
    ("delete_finished", "('0', 0, 1000, 1000, 1000, 2000, null)"),
];

#[tokio::test]
async fn the_hot_path_neither_scans_nor_sorts_an_empty_database() {
    let database = Database::new().await;

    let faults = scans_and_sorts(&database).await;

    assert_eq!(faults, Vec::<String>::new());
}

#[tokio::test]
async fn the_hot_path_neither_scans_nor_sorts_a_history_that_was_never_analyzed() {
    let database = Database::new().await;
    fill(&database).await;

    let faults = scans_and_sorts(&database).await;

    assert_eq!(faults, Vec::<String>::new());
}

#[tokio::test]
async fn the_hot_path_neither_scans_nor_sorts_a_history_that_was_analyzed() {
    let database = Database::new().await;
    fill(&database).await;
    database.execute("vacuum analyze").await;

    let faults = scans_and_sorts(&database).await;

    assert_eq!(faults, Vec::<String>::new());
}

#[tokio::test]
async fn metrics_do_not_read_the_history() {
    let database = Database::new().await;
    fill(&database).await;
    let client = database.connect().await;
    set_up(&client, Session::Scrape).await;

    let mut faults = Vec::new();
    for (name, arguments) in
        [("measure_backlog", ""), ("measure_endpoints", "(100)"), ("list_blocked_endpoints", "(100)")]
    {
        client.batch_execute(&format!("prepare {name} as {}", sql(name))).await.unwrap();
        let plan = explain(&client, &format!("execute {name} {arguments}")).await;
        judge(&plan[0]["Plan"], name, &mut faults);
    }

    // What was counted is sorted, and claims are few.
    faults.retain(|fault| fault.contains("Seq Scan") && !fault.ends_with("claim"));
    assert_eq!(faults, Vec::<String>::new());
}

#[tokio::test]
async fn counts_are_summed_up_without_a_look_at_each_of_ten_thousand_endpoints() {
    let database = Database::new().await;
    database.put_endpoint("devices", "https://example.com/{id}", "", "").await;
    database
        .execute(
            "insert into postrider.endpoint (id, template_no, topics)
             select 'devices/' || n, 1, '{}' from generate_series(1, 10000) as n;
             insert into postrider.endpoint_stat (endpoint_no, complete, failed)
             select e.endpoint_no, 1, 0 from postrider.endpoint as e",
        )
        .await;
    database.execute("vacuum analyze postrider.endpoint").await;
    let client = database.connect().await;
    set_up(&client, Session::Dispatcher).await;
    client.batch_execute(&format!("prepare sum_up as {}", sql("aggregate_stats"))).await.unwrap();

    let plan = explain_by(&client, "analyze, timing off, ", "execute sum_up (1000, '{}', null)").await;

    let rows = most_rows(&plan[0]["Plan"]);
    assert!(rows <= 10_000.0, "{rows} in {plan:#}");
}

#[tokio::test]
async fn looks_for_order_walk_neither_what_was_sent_nor_what_waits_behind_heads() {
    let database = Database::new().await;
    database
        .execute(
            "insert into postrider.outbox (topic, key, payload, status, deliveries, open_deliveries, failed, completed_at)
             overriding system value
             select 'a.b', 'k' || n % 10, '1', 'complete', 0, 0, 0, now() from generate_series(1, 20000) as n;
             insert into postrider.delivery (event_id, endpoint_no, status, lane, place, due_at)
             select n, 1, 'pending', 'k' || n % 10, n, case when n <= 10 then now() end from generate_series(1, 20000) as n",
        )
        .await;
    database.execute("vacuum analyze postrider.outbox, postrider.delivery").await;
    let seen: String = database.value("select pg_current_snapshot()::text").await;
    let client = database.connect().await;
    set_up(&client, Session::Dispatcher).await;

    for (name, arguments) in [
        ("find_keyed", format!("('0', '{seen}', 9223372036854775807, '{{}}', 500)")),
        ("sweep_lanes", "(1000, 0, '', true)".to_owned()),
        ("sweep_lanes", "(1000, 1, 'k5', true)".to_owned()),
    ] {
        client.batch_execute(&format!("deallocate all; prepare look as {}", sql(name))).await.unwrap();
        let plan = explain_by(&client, "analyze, timing off, ", &format!("execute look {arguments}")).await;

        let rows = most_rows(&plan[0]["Plan"]);
        assert!(rows <= 1000.0, "{name}: {rows} in {plan:#}");
    }
}

/// The rows that the busiest node of a plan that was run looked at, over all of its loops.
fn most_rows(node: &Value) -> f64 {
    let number = |name: &str| node[name].as_f64().unwrap_or_default();
    let seen =
        number("Actual Rows") + number("Rows Removed by Filter") + number("Rows Removed by Join Filter");
    children(node).map(most_rows).fold(seen * number("Actual Loops"), f64::max)
}

/// What a planner may be driven to: every kind of join and scan, with and without the parameters' values.
const FORCED: [&str; 9] = [
    "set enable_indexscan = off; set enable_bitmapscan = off",
    "set enable_seqscan = off; set enable_indexscan = off",
    "set enable_nestloop = off; set enable_hashjoin = off",
    "set enable_nestloop = off; set enable_mergejoin = off",
    "set enable_hashjoin = off; set enable_mergejoin = off",
    "set enable_hashjoin = off; set enable_mergejoin = off; set enable_material = off; set enable_indexscan = off",
    // What is left is brute force.
    "set enable_hashjoin = off; set enable_mergejoin = off; set enable_material = off; set enable_memoize = off;
     set enable_hashagg = off; set enable_sort = off; set enable_indexscan = off; set enable_bitmapscan = off",
    "set plan_cache_mode = force_generic_plan",
    "set plan_cache_mode = force_custom_plan",
];

#[tokio::test]
async fn one_free_slot_claims_one_delivery_under_every_plan() {
    let database = Database::new().await;
    fill(&database).await;

    for forced in FORCED {
        let mut client = database.connect().await;
        client.batch_execute(forced).await.unwrap();
        let tx = client.transaction().await.unwrap();
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 7] =
            [&1_i64, &vec![1_i32], &vec![1_i64], &vec![0_i64], &true, &vec![0_i64], &0_i64];

        let claimed = tx.query(sql("claim_deliveries"), &params).await.unwrap().len();

        let left = "select count(*) from postrider.delivery where status = 'pending'";
        let left: i64 = tx.query_one(left, &[]).await.unwrap().get(0);
        assert_eq!((claimed, left), (1, 999), "{forced}");
    }
}

#[tokio::test]
async fn a_batch_of_one_claims_one_event_under_every_plan() {
    let database = Database::new().await;
    fill(&database).await;

    for forced in FORCED {
        let mut client = database.connect().await;
        client.batch_execute(forced).await.unwrap();
        let tx = client.transaction().await.unwrap();

        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 8] =
            [&"0", &0_i64, &"18446744073709551615", &i64::MAX, &1_i64, &true, &None::<&str>, &false];
        let claimed = tx.query(sql("claim_events"), &params).await.unwrap();

        let free = "select count(*) from (
                        select from postrider.outbox where status = 'pending' for update skip locked) as free";
        let free: i64 = database.value(free).await;
        assert_eq!((claimed.len(), free), (1, 999), "{forced}");
    }
}

#[tokio::test]
async fn nine_of_ten_updates_under_load_touch_no_index() {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    // An analysis that happens to run meanwhile keeps dead versions, and with them their room, for as long as it takes.
    database
        .execute(
            "alter table postrider.outbox set (autovacuum_enabled = off);
             alter table postrider.delivery set (autovacuum_enabled = off)",
        )
        .await;
    // Bursts of 400, and room for 500 of one endpoint in the dispatcher (twice its --max-in-flight). What finds no room
    // waits in the queue's index, and the update that claims it from there cannot be HOT.
    database.put_endpoint("one", &receiver.url(), "**", "max_in_flight => 10000").await;
    let dispatcher = Dispatcher::start(&database, &["--max-in-flight", "250"]).await;

    for _ in 0..8 {
        for _ in 0..8 {
            database
                .execute(
                    "insert into postrider.outbox (topic, payload)
                     select 'a.b', json_build_object('n', n) from generate_series(1, 50) as n",
                )
                .await;
        }
        database.until_settled().await;
    }
    // A server process that ends reports what it counted.
    assert!(dispatcher.terminate().await.success());
    database
        .until(
            "select (select n_tup_upd >= 6400 from pg_stat_user_tables where relid = 'postrider.outbox'::regclass)
                and (select n_tup_upd >= 3200 from pg_stat_user_tables where relid = 'postrider.delivery'::regclass)",
        )
        .await;

    let hot_share = "select min(n_tup_hot_upd::float8 / n_tup_upd) from pg_stat_user_tables
                     where relid in ('postrider.outbox'::regclass, 'postrider.delivery'::regclass)";
    let share: f64 = database.value(hot_share).await;
    assert!(share > 0.9, "{share}");
}

/// 20,000 events that are delivered, 1,000 that are not routed yet, 1,000 deliveries that wait, and a dispatcher.
async fn fill(database: &Database) {
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    database
        .execute(
            "alter table postrider.outbox set (autovacuum_enabled = off);
             alter table postrider.delivery set (autovacuum_enabled = off);
             alter table postrider.attempt set (autovacuum_enabled = off);
             insert into postrider.outbox (topic, payload, status, deliveries, open_deliveries, failed, completed_at)
             select 'a.b', '{}', 'complete', 1, 0, 0, now() from generate_series(1, 20000);
             insert into postrider.delivery (event_id, endpoint_no, status, attempts, completed_at, last_status_code)
             select id, 1, 'complete', 1, now(), 200 from postrider.outbox;
             insert into postrider.attempt (delivery_id, started_at, endpoint_no, duration_ms, attempt, status_code, outcome)
             select id, now(), 1, 5, 1, 200, 'complete' from postrider.delivery;
             insert into postrider.outbox (topic, payload, status, deliveries, open_deliveries, failed)
             select 'a.b', '{}', 'in_progress', 1, 1, 0 from generate_series(1, 1000);
             insert into postrider.delivery (event_id, endpoint_no, status, due_at)
             select id, 1, 'pending', now() from postrider.outbox where status = 'in_progress';
             insert into postrider.outbox (topic, payload) select 'a.b', '{}' from generate_series(1, 1000);
             insert into postrider.dispatcher (host, version, lease_until, wake_mode)
             values ('test', '0', now() + interval '1 hour', 'poll')",
        )
        .await;
}

/// Every sequential scan of a table that grows, and every sort of its rows, in the plans of the hot path: for the owner of the
/// schema, and for a dispatcher's role, which the policies of the outbox let see everything.
async fn scans_and_sorts(database: &Database) -> Vec<String> {
    let dispatcher = connect(&database.login(Some("postrider_dispatcher")).await).await;
    let (of_owner, of_dispatcher) = (plans(&database.connect().await).await, plans(&dispatcher).await);
    let mut faults = Vec::new();
    for (name, plan) in of_owner.iter().chain(&of_dispatcher) {
        judge(&plan[0]["Plan"], name, &mut faults);
    }
    for ((name, plan), (_, other)) in of_owner.iter().zip(&of_dispatcher) {
        let (plan, other) = (shape(&plan[0]["Plan"]), shape(&other[0]["Plan"]));
        if plan != other {
            faults.push(format!("{name}: {plan} for the owner, {other} for a dispatcher"));
        }
    }
    faults
}

/// What a plan does in which order, without its estimates.
fn shape(node: &Value) -> String {
    let text = |name: &str| node[name].as_str().unwrap_or_default().to_owned();
    let below: Vec<String> = children(node).map(shape).collect();
    format!("{} {} {}({})", text("Node Type"), text("Relation Name"), text("Index Name"), below.join(", "))
}

/// The plans of the hot path, as a dispatcher's session makes them without knowing the arguments.
async fn plans(client: &Client) -> Vec<(&'static str, Value)> {
    set_up(client, Session::Dispatcher).await;
    client.batch_execute("set plan_cache_mode = force_generic_plan").await.unwrap();
    let mut plans = Vec::new();
    for (name, arguments) in HOT_PATH {
        client.batch_execute(&format!("prepare {name} as {}", sql(name))).await.unwrap();
        plans.push((name, explain(client, &format!("execute {name} {arguments}")).await));
    }
    plans
}

async fn explain(client: &Client, statement: &str) -> Value {
    explain_by(client, "", statement).await
}

/// With further options of `explain`, each with a comma behind it.
async fn explain_by(client: &Client, options: &str, statement: &str) -> Value {
    let answer = client.simple_query(&format!("explain ({options}format json) {statement}")).await.unwrap();
    let text = answer
        .iter()
        .find_map(|message| if let SimpleQueryMessage::Row(row) = message { row.get(0) } else { None });
    serde_json::from_str(text.unwrap()).unwrap()
}

fn judge(node: &Value, name: &str, faults: &mut Vec<String>) {
    let kind = node["Node Type"].as_str().unwrap();
    let table = node["Relation Name"].as_str().unwrap_or_default();
    let is_scan = kind == "Seq Scan" && is_big(table);
    let is_sort = kind.ends_with("Sort") && reads_big_table(node);
    if is_scan || is_sort {
        faults.push(format!("{name}: {kind} {table}"));
    }
    for child in children(node) {
        judge(child, name, faults);
    }
}

fn reads_big_table(node: &Value) -> bool {
    node["Relation Name"].as_str().is_some_and(is_big) || children(node).any(reads_big_table)
}

fn is_big(table: &str) -> bool {
    ["outbox", "delivery", "attempt", "claim"].contains(&table)
}

fn children(node: &Value) -> impl Iterator<Item = &Value> {
    node["Plans"].as_array().into_iter().flatten()
}

fn sql(name: &str) -> &'static str {
    let found = STATEMENTS.iter().find(|statement| statement.name == name);
    found.unwrap().sql
}
