//! `doctor`: databases that share our roles, and sessions of others that hold our locks.

use postrider::store::SCHEMA_VERSION;

use crate::cli::doctor::{doctor, found, text};
use crate::support::{Cluster, CommandOutput, Database, connect, one_endpoint};

#[tokio::test]
async fn another_database_of_the_server_that_has_the_schema_is_named_as_long_as_every_role_may_connect() {
    let cluster = Cluster::start(&["fsync=off"]);
    let (server, _) = cluster.url.rsplit_once('/').unwrap();
    let (one, two) = (format!("{server}/one"), format!("{server}/two"));
    let superuser = connect(&cluster.url).await;
    for name in ["one", "two", "three"] {
        superuser.batch_execute(&format!("create database {name}")).await.unwrap();
    }
    let migrated = CommandOutput::run(&one, &["migrate"]).await;
    assert!(migrated.stdout.ends_with(&format!("schema version {SCHEMA_VERSION}\n")), "{}", migrated.stderr);

    let alone = doctor(&one, &[]).await;
    CommandOutput::run(&two, &["migrate"]).await;
    let shared = found(&doctor(&one, &[]).await, "roles");
    superuser
        .batch_execute(
            "revoke connect on database one from public; revoke connect on database two from public",
        )
        .await
        .unwrap();
    let closed = found(&doctor(&one, &[]).await, "roles");

    assert!(!alone.stdout.contains("\"roles\""), "{}", alone.stdout);
    assert_eq!(shared["result"], "warn");
    assert!(text(&shared, "message").contains("in other databases too: two;"), "{shared}");
    assert!(
        text(&shared, "remedy").starts_with("revoke connect on database \"one\" from public"),
        "{shared}"
    );
    assert_eq!(closed["result"], "ok");
    assert!(text(&closed, "message").contains("two; not everybody may connect"), "{closed}");
}

#[tokio::test]
async fn a_session_of_somebody_else_that_holds_the_bell_or_the_leadership_is_named() {
    let database = Database::new().await;
    let url = database.login(Some("pg_monitor")).await;
    let role: String = database.value("select current_database() || '_pg_monitor'").await;
    for (lock, what) in [
        ("pg_advisory_lock_shared(hashtextextended('postrider.bell', 0))", "bell"),
        ("pg_advisory_lock(hashtextextended('postrider.bell', 0))", "bell"),
        ("pg_advisory_lock(hashtextextended('postrider.leader', 0))", "leadership"),
        ("pg_advisory_lock_shared(hashtextextended('postrider.leader', 0))", "leadership"),
    ] {
        let stranger = connect(&url).await;
        stranger.batch_execute(&format!("set application_name = 'a listener'; select {lock}")).await.unwrap();
        let pid: i32 = stranger.query_one("select pg_backend_pid()", &[]).await.unwrap().get(0);

        let check = found(&doctor(&database.url, &[]).await, "bell");

        assert_eq!(check["result"], "warn", "{lock}");
        let says = format!("session {pid} (role {role}, a listener) holds the {what}");
        assert!(text(&check, "message").contains(&says), "{check}");
        assert!(text(&check, "remedy").contains(&format!("pg_terminate_backend({pid})")), "{check}");
    }
}

#[tokio::test]
async fn a_dispatcher_that_sleeps_and_a_producer_in_flight_hold_what_is_theirs() {
    let (database, _receiver, _dispatcher) = one_endpoint("", &["--wake", "notify"]).await;
    database.until_bell_is_armed().await;
    let sleeping = doctor(&database.url, &[]).await;
    let producer = connect(&database.login(Some("postrider_producer")).await).await;
    let _awake = database.keep_the_leader_awake().await;
    producer
        .batch_execute("begin; insert into postrider.outbox (topic, payload) values ('a.b', '1')")
        .await
        .unwrap();

    let in_flight = doctor(&database.url, &[]).await;

    for output in [sleeping, in_flight] {
        assert!(!output.stdout.contains("\"bell\""), "{}", output.stdout);
    }
}
