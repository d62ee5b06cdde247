//! A run: events come, the receiver does as it likes, and in the end everything has arrived.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::check::{Ledger, Told, judge};
use super::host::Host;
use super::name::Name;
use super::plan::Plan;
use crate::support::{Database, Dispatcher, Scraped, Server, connect};

/// Of the receiver that speaks HTTP/2, and of that which speaks HTTP/1.1.
pub(crate) const ENDPOINTS: [&str; 2] = ["http2", "http1"];
/// Who loses an answer twice does not wait for minutes, as by default.
const RETRIES: &str = "retry_schedule => '{5s,5s,5s,10s,20s,30s}'";
/// What was late in the end has arrived by then: a burst, and retries.
const DRAIN_MAX: Duration = Duration::from_secs(90);

/// The name led elsewhere from a time on, and the address that it left served until another time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Move {
    pub(crate) left: usize,
    pub(crate) at: Duration,
    pub(crate) stopped: Duration,
}

/// Carries out a plan; panics with all breaches if a promise is broken.
pub(crate) async fn run(plan: Plan) -> Ledger {
    println!("one receiver with seed {}, {:?}, {} dispatchers", plan.seed, plan.lasts, plan.dispatchers);
    let server = Server::start().await;
    let database = server.database().await;
    let name = Name::new().await;
    let began = Instant::now();
    let mut host = Host::start(&plan, began, name.addresses()).await;
    let authority = format!("{RETRIES}, ca_certificates => '{}'", host.authority.pem());
    for ((id, url), more) in ENDPOINTS.iter().zip(host.urls(name.host())).zip([&authority, RETRIES]) {
        database.put_endpoint(id, &url, "**", more).await;
    }
    let login = database.login(Some("postrider_dispatcher")).await;
    let age_max = format!("{}s", plan.connection_age_max.as_secs());
    let flags = ["--no-migrate", "--connection-max-age", &age_max];
    let dispatchers: Vec<_> = (0..plan.dispatchers).map(|_| name.dispatcher(&login, &flags)).collect();

    let mut producing = JoinSet::new();
    producing.spawn(produce(database.url.clone(), plan.clone(), began));
    let moves = if name.moves() { move_about(&plan, &name, &mut host, began).await } else { Vec::new() };
    let committed = producing.join_next().await.unwrap().unwrap();
    let drained = drain(&database).await;

    let opened = circuits_opened(&dispatchers).await;
    let told = Told { committed, moves, opened, drained, has_name: name.moves(), counts: host.counts() };
    let books = [host.books[0].entries(), host.books[1].entries()];
    let ledger = judge(&plan, &database, told, &books).await;
    for dispatcher in dispatchers {
        assert!(dispatcher.terminate().await.success());
    }
    println!("{ledger}");
    ledger
}

/// Inserts what the plan says. Returns when each event was committed, by its number.
async fn produce(url: String, plan: Plan, began: Instant) -> Vec<Duration> {
    let client = connect(&url).await;
    let insert = "insert into postrider.outbox (topic, payload)
                  select 'order.created', json_build_object('number', n) from generate_series($1::int, $2::int) as n";
    let mut committed = Vec::new();
    for (at, count) in plan.arrivals() {
        sleep_until(began + at).await;
        let (first, now) = (committed.len(), began.elapsed());
        committed.resize(first + count, now);
        let [first, last] = [first, committed.len() - 1].map(|number| i32::try_from(number).unwrap());
        client.execute(insert, &[&first, &last]).await.unwrap();
    }
    committed
}

/// Moves the name to and fro until there is no time left for a whole move.
async fn move_about(plan: &Plan, name: &Name, host: &mut Host, began: Instant) -> Vec<Move> {
    let mut moves = Vec::new();
    let mut next = plan.first_move;
    let mut left = 0;
    while next + plan.both_for <= plan.lasts {
        sleep_until(began + next).await;
        let to = 1 - left;
        host.open(to).await;
        name.lead_to(to);
        let at = began.elapsed();
        sleep(plan.both_for).await;
        host.close(left);
        moves.push(Move { left, at, stopped: began.elapsed() });
        (left, next) = (to, next + plan.moves_each);
    }
    moves
}

/// Waits until nothing is left to do. `None` if something still is at the deadline.
async fn drain(database: &Database) -> Option<Duration> {
    let begun = Instant::now();
    let is_done =
        "select not exists (select from postrider.outbox where status in ('pending', 'in_progress'))
                          and not exists (select from postrider.claim)";
    timeout(DRAIN_MAX, database.until(is_done)).await.ok()?;
    Some(begun.elapsed())
}

/// How many circuits were opened by all of them.
async fn circuits_opened(dispatchers: &[Dispatcher]) -> usize {
    let mut opened = 0;
    for dispatcher in dispatchers {
        let metrics = Scraped::of(dispatcher).await;
        let count = metrics.value("postrider_circuit_transitions_total{to=\"open\"}");
        assert!(count.is_some(), "no count of opened circuits");
        opened += usize::from(count > Some(0.0));
    }
    opened
}
