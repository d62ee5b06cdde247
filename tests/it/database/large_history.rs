//! What people ask costs the same with a million finished deliveries as with none: counted in pages, not in time.

use postrider::store::{STATEMENTS, Session};
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::support::{Database, set_up};

/// Pages that an answer may touch. A walk through the smallest index of a table of a million rows touches 2,700, through
/// the rows themselves 9,000 to 40,000.
const PAGES_MAX: u64 = 2_000;
/// The same where every row looked at is looked up in the outbox too: at most a thousand.
const TOPIC_PAGES_MAX: u64 = 10_000;
/// The same where the statistics of every endpoint are read twice: to find those in trouble, and to show them.
const BY_TROUBLE_PAGES_MAX: u64 = 2 * PAGES_MAX;
/// The same where all attempts of half a day are counted, an eleventh of those there are: those that have a row of their
/// own, and the deliveries that tell of theirs. All deliveries have 21,000 pages.
const HALF_A_DAY_PAGES_MAX: u64 = 4_000;

#[tokio::test]
async fn views_answer_without_a_walk_through_the_history() {
    let database = history().await;
    let client = database.connect().await;

    for query in [
        "select * from postrider.endpoint_health",
        "select * from postrider.endpoint_health where endpoint_id = 'endpoint-7'",
        "select * from postrider.endpoint_health order by pending desc limit 5",
        "select * from postrider.backlog",
        "select * from postrider.dispatcher_status",
        "select * from postrider.blocked_keys",
        "select * from postrider.delivery_in_progress",
        "select * from postrider.delivery_in_progress where endpoint_id = 'endpoint-7'",
        "select * from postrider.delivery_status where delivery_id = 500000",
        "select waits_for, count(*) from postrider.delivery_status where next_attempt_at is not null group by 1",
        "select * from postrider.delivery_status where event_id = 500000 order by delivery_id",
        "select * from postrider.delivery_status where failed_at > now() - interval '1 hour' order by failed_at desc",
        "select * from postrider.delivery_status where failed_at > now() - interval '1 day' and endpoint_id = 'endpoint-1'",
        "select * from postrider.delivery_status where next_attempt_at is not null order by next_attempt_at limit 20",
        "select * from postrider.attempt_log where delivery_id = 500000 order by attempt",
        "select endpoint_id, status_code, count(*) from postrider.attempt_log where started_at > now() - interval '1 hour' group by 1, 2",
    ] {
        let pages = pages(&client, query).await;

        assert!(pages <= PAGES_MAX, "{query}: {pages}");
    }
}

#[tokio::test]
async fn recipes_answer_without_a_walk_through_the_history() {
    let database = history().await;
    let client = database.connect().await;
    let mut recipes: Vec<String> = Vec::new();
    for line in pages_of_recipes().lines() {
        match (line.strip_prefix("app=> "), line.strip_prefix("app-> "), recipes.last_mut()) {
            (Some(first), ..) => recipes.push(first.replace("\\gx", "")),
            (None, Some(more), Some(recipe)) => recipe.extend([" ", more]),
            _ => {}
        }
    }
    // What changes something is not tried here.
    recipes.retain(|recipe| !calls_a_function(recipe));

    assert!(recipes.len() >= 10, "{recipes:?}");
    for recipe in recipes {
        let pages_max = if recipe.contains("interval '12 hours'") { HALF_A_DAY_PAGES_MAX } else { PAGES_MAX };
        let pages = pages(&client, &recipe).await;

        assert!(pages <= pages_max, "{recipe}: {pages}");
    }
}

/// The text of every how-to page but one, which is about tables of the reader's own.
fn pages_of_recipes() -> String {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/how-to")).unwrap();
    let pages = folder.map(|page| page.unwrap().path()).filter(|page| !page.ends_with("attach-a-table.md"));
    pages.map(|page| std::fs::read_to_string(page).unwrap()).collect()
}

#[tokio::test]
async fn a_reader_is_answered_as_quickly_as_its_superuser() {
    let database = history().await;
    let client = database.connect().await;
    client.batch_execute("set role postrider_reader").await.unwrap();

    for view in ["endpoint_health", "backlog", "delivery_in_progress", "blocked_keys"] {
        let pages = pages(&client, &format!("select * from postrider.{view}")).await;

        assert!(pages <= PAGES_MAX, "{view}: {pages}");
    }
}

#[tokio::test]
async fn pages_of_deliveries_are_read_without_a_walk_through_the_history() {
    let database = history().await;

    for (filter, pages_max) in [
        ("null, null, null, null", PAGES_MAX),
        ("'endpoint-7', null, null, null", PAGES_MAX),
        ("'nobody', null, null, null", PAGES_MAX),
        ("null, 'complete', null, null", PAGES_MAX),
        ("null, 'failed', null, null", PAGES_MAX),
        ("null, 'pending', null, null", PAGES_MAX),
        ("null, 'in_progress', null, null", PAGES_MAX),
        ("'endpoint-1', 'failed', null, null", PAGES_MAX),
        ("'endpoint-2', 'failed', null, null", PAGES_MAX),
        ("'endpoint-7', 'pending', null, null", PAGES_MAX),
        ("null, null, 500000, null", PAGES_MAX),
        ("null, null, null, 'topic.7'", TOPIC_PAGES_MAX),
        ("null, null, null, 'nothing'", TOPIC_PAGES_MAX),
        ("null, 'failed', null, 'nothing'", TOPIC_PAGES_MAX),
    ] {
        let scan_max = if pages_max == PAGES_MAX { 10_000 } else { 1_000 };
        let arguments = format!("9223372036854775807, {filter}, 50, {scan_max}");

        for (plans, pages) in pages_of(&database, "list_deliveries", &arguments).await {
            assert!(pages <= pages_max, "{filter} with {plans}: {pages}");
        }
    }
}

#[tokio::test]
async fn one_of_something_is_read_without_a_walk_through_the_history() {
    let database = history().await;

    for (statement, arguments) in [
        ("read_event", "500000"),
        ("read_event", "1"),
        ("read_delivery", "500000"),
        ("read_event_status", "500000"),
        ("list_endpoints", "null, null, 100, false, null, true"),
        ("list_endpoints", "'endpoint-7', null, 1, false, null, false"),
        ("count_endpoints", ""),
        ("measure_endpoints", "100"),
        ("read_lateness", ""),
        ("read_backlog", ""),
        ("read_dispatchers", ""),
        ("list_blocked_endpoints", "100"),
    ] {
        for (plans, pages) in pages_of(&database, statement, arguments).await {
            assert!(pages <= PAGES_MAX, "{statement} with {plans}: {pages}");
        }
    }
}

#[tokio::test]
async fn endpoints_in_trouble_are_found_without_a_walk_through_the_history() {
    let database = history().await;

    for (plans, pages) in pages_of(&database, "list_endpoints", "null, null, 100, true, null, false").await {
        assert!(pages <= BY_TROUBLE_PAGES_MAX, "{plans}: {pages}");
    }
}

#[tokio::test]
async fn a_replay_reads_the_time_it_is_of_and_no_more() {
    let database = history().await;
    let client = database.connect().await;

    for arguments in [
        "now() - interval '70 hours', now() - interval '70 hours' + interval '10 minutes'",
        "now() - interval '70 hours', now() - interval '70 hours' + interval '10 minutes', '{nothing}'",
        "now() - interval '10 minutes'",
        "now() - interval '10 years', now() - interval '9 years'",
        "'-infinity', topics => '{topic.*}'",
        "'-infinity', topics => '{topic.*}', after_event_id => 500000",
    ] {
        let replay =
            format!("select postrider.replay('endpoint-7', {arguments}, up_to => 50, dry_run => true)");

        let pages = pages(&client, &replay).await;

        assert!(pages <= PAGES_MAX, "{arguments}: {pages}");
    }
}

#[tokio::test]
async fn housekeeping_finds_what_is_to_be_given_up_without_a_walk_through_the_history() {
    let database = history().await;
    let client = database.connect().await;
    set_up(&client, Session::Dispatcher).await;

    for (statement, arguments) in
        [("find_unwanted", "1000"), ("compact_stats", "1000, '{}', null"), ("rescue_claims", "20, 0, null")]
    {
        client.batch_execute(&format!("begin; prepare {statement} as {}", sql(statement))).await.unwrap();
        let pages = pages(&client, &format!("execute {statement} ({arguments})")).await;
        client.batch_execute("rollback").await.unwrap();

        assert!(pages <= PAGES_MAX, "{statement}: {pages}");
    }
}

/// Whether it calls one of ours.
fn calls_a_function(recipe: &str) -> bool {
    let is_call = |rest: &str| {
        rest.find('(').is_some_and(|end| rest[..end].bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
    };
    recipe.split("postrider.").skip(1).any(is_call)
}

/// A million finished events with a delivery and an attempt each, two a second up to now, one in a hundred failed; beside
/// them 250 that wait, 50 that are held, and a hundred that are not routed yet.
async fn history() -> Database {
    static URL: OnceCell<String> = OnceCell::const_new();
    let fill = || async {
        let database = Database::new().await;
        database.execute(FILL).await;
        // Not in the transaction of the rest.
        database.execute("vacuum analyze").await;
        // Claims come and go; statistics remember a time when there were many.
        database.execute("delete from postrider.claim where delivery_ids = '{0}'").await;
        database.url
    };
    Database::at(URL.get_or_init(fill).await).await
}

const FILL: &str = "
    alter table postrider.outbox set (autovacuum_enabled = off);
    alter table postrider.delivery set (autovacuum_enabled = off);
    alter table postrider.attempt set (autovacuum_enabled = off);
    select postrider.put_endpoint('endpoint-' || n, 'https://example.com/', '{nothing}') from generate_series(1, 40) as n;
    insert into postrider.outbox (topic, payload, created_xid, status, deliveries, open_deliveries, failed, created_at, completed_at)
    select 'topic.' || n % 50, '{}', (3 + n / 2000)::text::xid8, case when n % 100 = 0 then 'failed' else 'complete' end::postrider.status,
           1, 0, (n % 100 = 0)::int, at, at
    from (select n, now() - (1000000 - n) * interval '0.5 s' as at from generate_series(1, 1000000) as n) as events order by n;
    insert into postrider.delivery
        (event_id, endpoint_no, status, attempts, created_at, completed_at, failed_at, last_status_code)
    select o.id, 1 + (o.id / 100 % 40), o.status, 1, o.created_at, o.completed_at,
           case when o.status = 'failed' then o.completed_at end, case when o.status = 'failed' then 500 else 200 end
    from postrider.outbox as o order by o.id;
    insert into postrider.attempt (delivery_id, started_at, endpoint_no, duration_ms, attempt, status_code, outcome)
    select d.id, d.completed_at, d.endpoint_no, 5, 1, d.last_status_code, d.status from postrider.delivery as d order by d.id;
    insert into postrider.endpoint_stat_hourly (endpoint_no, hour, complete, failed, last_success_at, last_failure_at)
    select endpoint_no, date_trunc('hour', started_at), count(*) filter (where outcome = 'complete'),
           count(*) filter (where outcome = 'failed'), max(started_at) filter (where outcome = 'complete'),
           max(started_at) filter (where outcome = 'failed')
    from postrider.attempt where started_at > now() - interval '24 hours' group by 1, 2;
    insert into postrider.endpoint_stat (endpoint_no, complete, failed, last_success_at)
    select 1 + n % 40, 1, 0, now() from generate_series(1, 1000) as n;

    insert into postrider.outbox (topic, payload, status, deliveries, open_deliveries, failed)
    select 'topic.1', '{}', 'in_progress', 1, 1, 0 from generate_series(1, 300);
    insert into postrider.dispatcher (host, version, lease_until, wake_mode) values ('test', '0', now() + interval '1 day', 'poll');
    insert into postrider.delivery (event_id, endpoint_no, status, due_at, claim_id)
    select id, 1 + id % 40, case when id % 6 = 0 then 'in_progress' else 'pending' end::postrider.status,
           case when id % 6 <> 0 then now() end, case when id % 6 = 0 then 1 end
    from postrider.outbox where status = 'in_progress' order by id;
    insert into postrider.claim (dispatcher_id, delivery_ids)
    select 1, array_agg(id) from postrider.delivery where claim_id is not null;
    insert into postrider.claim (dispatcher_id, delivery_ids) select 1, '{0}' from generate_series(1, 5000);
    update postrider.installation set routed_below = pg_current_xact_id();
    insert into postrider.outbox (topic, payload) select 'topic.1', '{}' from generate_series(1, 100);";

/// Pages that a statement touches in a session of the API, planned for its arguments and planned for any.
async fn pages_of(database: &Database, statement: &str, arguments: &str) -> [(&'static str, u64); 2] {
    let client = database.connect().await;
    set_up(&client, Session::Api).await;
    client.batch_execute(&format!("prepare {statement} as {}", sql(statement))).await.unwrap();
    let execute = if arguments.is_empty() {
        format!("execute {statement}")
    } else {
        format!("execute {statement} ({arguments})")
    };
    let mut found = [("force_custom_plan", 0), ("force_generic_plan", 0)];
    for (plans, count) in &mut found {
        client.batch_execute(&format!("set plan_cache_mode = {plans}")).await.unwrap();
        *count = pages(&client, &execute).await;
    }
    found
}

/// Pages that a statement touches, whether they were in memory or not.
async fn pages(client: &Client, statement: &str) -> u64 {
    let explain = format!("explain (analyze, buffers, timing off, format json) {statement}");
    let answer = client.simple_query(&explain).await.unwrap_or_else(|fault| panic!("{statement}: {fault:?}"));
    let text = answer
        .iter()
        .find_map(|message| if let SimpleQueryMessage::Row(row) = message { row.get(0) } else { None });
    let plan: Value = serde_json::from_str(text.unwrap()).unwrap();
    let count = |name| plan[0]["Plan"][name].as_u64().unwrap();
    count("Shared Hit Blocks") + count("Shared Read Blocks")
}

fn sql(name: &str) -> &'static str {
    STATEMENTS.iter().find(|statement| statement.name == name).unwrap().sql
}
