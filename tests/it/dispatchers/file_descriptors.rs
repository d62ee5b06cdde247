//! File descriptors: what they are not enough for is no fault of an endpoint, and the database and the API keep theirs.

use std::time::Duration;

use postrider::rules::descriptors::{Budget, raise_limit};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{CommandOutput, Database, Dispatcher, Receiver, SECRET, command, eventually, limited};

const HOSTS: usize = 3_000;

#[tokio::test]
async fn three_thousand_hosts_receive_at_the_first_attempt_with_1024_descriptors() {
    let (database, receiver) = hosts(HOSTS).await;
    receiver.hold();
    let dispatcher = Dispatcher::start_limited(&database, "-n 1024", &[]).await;
    let budget = Budget::new(1024, 512);

    for round in 1..=2 {
        database.insert("a.b", "1").await;
        eventually("as many requests as may be under way", || async {
            assert_healthy(&dispatcher).await;
            receiver.under_way() == budget.in_flight
        })
        .await;
        receiver.release();
        until_complete(&database, &dispatcher, round * HOSTS).await;
        receiver.hold();
    }

    assert_eq!(receiver.count(), 2 * HOSTS);
    assert_all_at_the_first_attempt(&database).await;
    eventually("no more connections idle than may be", || async {
        dispatcher.open_files() <= budget.kept + 100
    })
    .await;
    let log = dispatcher.log();
    assert!(log.contains("endpoints are on 3000 hosts") && log.contains("LimitNOFILE="), "{log}");
    assert!(log.contains("--max-in-flight") && !log.contains("cannot be sent"), "{log}");
}

#[tokio::test]
async fn with_128_descriptors_300_hosts_receive_and_probes_are_answered() {
    let (database, receiver) = hosts(300).await;
    let dispatcher = Dispatcher::start_limited(&database, "-n 128", &[]).await;
    let address = dispatcher.api().await;

    let mut idle = Vec::new();
    for _ in 0..600 {
        idle.push(TcpStream::connect(&address).await.unwrap());
    }
    database.insert("a.b", "1").await;
    until_complete(&database, &dispatcher, 300).await;

    assert_eq!(receiver.count(), 300);
    assert_all_at_the_first_attempt(&database).await;
}

#[tokio::test]
async fn the_soft_limit_is_raised_to_the_hard_one() {
    let hard = raise_limit();
    let (database, receiver) = hosts(HOSTS).await;
    let dispatcher = Dispatcher::start_limited(&database, "-Sn 1024", &[]).await;

    database.insert("a.b", "1").await;
    until_complete(&database, &dispatcher, HOSTS).await;

    assert_eq!(receiver.count(), HOSTS);
    assert_all_at_the_first_attempt(&database).await;
    if Budget::new(hard, 512).kept > HOSTS {
        assert!(dispatcher.open_files() > HOSTS, "{}", dispatcher.open_files());
        assert!(!dispatcher.log().contains("file descriptors"), "{}", dispatcher.log());
    }
}

#[tokio::test]
async fn a_connection_for_which_there_is_no_descriptor_is_no_attempt() {
    let (database, receiver) = (Database::new().await, Receiver::start_everywhere().await);
    let issuer = Receiver::start().await;
    issuer.answer_once(200, &[], br#"{"access_token": "t", "token_type": "Bearer"}"#);
    let login = format!(
        r#"auth => '{{"type": "oauth2", "token_url": "{}", "client_id": "a", "client_secret": "b"}}'"#,
        issuer.url()
    );
    database.put_endpoint("warm", &receiver.url_at("127.0.0.1"), "warm", "").await;
    database.put_endpoint("new", &receiver.url_at("127.0.0.2"), "a.*", "").await;
    database.put_endpoint("named", &receiver.url_at("localhost"), "a.*", "").await;
    database.put_endpoint("login", &receiver.url_at("127.0.0.1"), "a.*", &login).await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    database.insert("warm", "1").await;
    database.until_settled().await;

    dispatcher.limit_files(10).await;
    database.insert("a.b", "1").await;
    dispatcher.logged("requests cannot be sent, trying again").await;
    // Each is tried again and again meanwhile; a second is the pause.
    database.until("select clock_timestamp() > max(created_at) + interval '3 s' from postrider.outbox").await;
    let tried = database.value::<i64>("select count(*) from postrider.attempt").await;
    let circuits = database.value::<i64>("select count(*) from postrider.circuit").await;
    dispatcher.limit_files(1024).await;
    database.until_settled().await;

    assert_eq!((tried, circuits), (0, 0));
    assert_all_at_the_first_attempt(&database).await;
    assert_eq!(receiver.count(), 4);
    // Said when it begins, and every half a minute.
    assert!(dispatcher.log().matches("requests cannot be sent").count() <= 3, "{}", dispatcher.log());
}

#[tokio::test]
async fn doctor_says_what_descriptors_are_not_enough_for() {
    let (database, _receiver) = hosts(HOSTS).await;

    let short = check(&database, "-n 1024", &[]).await;
    let few = check(&database, "-n 600", &["--max-in-flight", "8"]).await;

    assert_eq!(short["result"], "warn");
    let (says, mend) = (short["message"].as_str().unwrap(), short["remedy"].as_str().unwrap());
    assert!(
        says.contains("3000 hosts") && says.contains("1024") && says.contains("--max-in-flight"),
        "{says}"
    );
    assert!(mend.contains("ulimit -n") && mend.contains("LimitNOFILE="), "{mend}");
    let says = few["message"].as_str().unwrap();
    assert!(says.contains("3000 hosts") && !says.contains("--max-in-flight"), "{says}");
    let enough = mend.split(|c: char| !c.is_ascii_digit()).find_map(|word| word.parse().ok()).unwrap();
    let budget = Budget::new(enough, 512);
    assert_eq!((budget.lacks_requests(512), budget.lacks_connections(HOSTS)), (None, None));
}

#[test]
fn whatever_the_limit_its_parts_do_not_exceed_it() {
    for limit in [128, 256, 300, 512, 1024, 4096, 20_000, 65_536, 1 << 20] {
        for max_in_flight in [1, 64, 512, 10_000] {
            let Budget { api, outgoing, in_flight, kept, .. } = Budget::new(limit, max_in_flight);

            assert!(api + outgoing + 64 <= limit, "{limit}: {api} + {outgoing}");
            assert!(
                in_flight + kept <= outgoing && in_flight > 0 && kept > 0,
                "{limit}: {in_flight} + {kept}"
            );
            assert!(in_flight <= max_in_flight && api >= 32, "{limit}: {in_flight}, {api}");
        }
    }
}

/// A receiver, and endpoints on so many addresses of it, each a host of its own.
async fn hosts(count: usize) -> (Database, Receiver) {
    // The receiver's, which are of this process.
    raise_limit();
    let (database, receiver) = (Database::new().await, Receiver::start_everywhere().await);
    let url = receiver.url_at("127.0.'||1 + n / 250||'.'||1 + n % 250||'");
    database
        .execute(&format!(
            "select postrider.put_endpoint('e'||n, '{url}', topics => '{{a.*}}', secret => '{SECRET}')
             from generate_series(0, {count} - 1) as n"
        ))
        .await;
    (database, receiver)
}

async fn until_complete(database: &Database, dispatcher: &Dispatcher, count: usize) {
    eventually(&format!("{count} are complete"), || async {
        assert_healthy(dispatcher).await;
        database.count("complete").await == count
    })
    .await;
}

async fn assert_healthy(dispatcher: &Dispatcher) {
    let address = dispatcher.api().await;
    for path in ["/healthz", "/readyz"] {
        let url = format!("http://{address}{path}");
        let answered = timeout(Duration::from_secs(5), crate::support::get(&url)).await;
        let status = answered.unwrap_or_else(|_| panic!("no answer of {path}")).status();
        assert_eq!(status, 200, "{path}");
    }
}

async fn assert_all_at_the_first_attempt(database: &Database) {
    let others = "select count(*) from postrider.delivery where status <> 'complete' or attempts <> 1";
    assert_eq!(database.value::<i64>(others).await, 0);
    assert_eq!(database.value::<i64>("select count(*) from postrider.circuit").await, 0);
}

/// What doctor says of file descriptors, under a limit of them.
async fn check(database: &Database, ulimit: &str, flags: &[&str]) -> Value {
    let mut doctor = command(&["doctor", "--json", "--allow-http", "--allow-cidr", "127.0.0.0/8"]);
    doctor.args(flags).env("DATABASE_URL", &database.url);
    let output = CommandOutput::of(limited(ulimit, &doctor)).await;
    let checks = output.json()["checks"].as_array().unwrap().clone();
    checks.into_iter().find(|check| check["name"] == "file descriptors").expect("a check")
}
