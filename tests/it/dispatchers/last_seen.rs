//! A dispatcher that was killed is not shown as one that runs: when it was last seen, and that it is silent.

use crate::cli::doctor::{doctor, found, text};
use crate::support::{Api, CommandOutput, Database, Dispatcher};

/// A renewal every ten seconds, and silent after fifteen: the other dispatcher may be five seconds late on a busy machine.
const LEASE: [&str; 4] = ["--lease", "60s", "--request-timeout", "1s"];

#[tokio::test]
async fn a_killed_dispatcher_is_silent_long_before_its_lease_ends() {
    let database = Database::new().await;
    let killed = Dispatcher::start(&database, &LEASE).await;
    let host = format!("%:{}", killed.pid());
    let other = Dispatcher::start(&database, &LEASE).await;
    database.until("select count(*) = 2 from postrider.dispatcher_status where state = 'live'").await;

    killed.kill().await;
    database
        .until(&format!("select state = 'silent' and lease_until > now() from postrider.dispatcher_status where host like '{host}'"))
        .await;

    let status = CommandOutput::run(&database.url, &["status"]).await;
    let api = Api::of(&other).await.get("/v1/status").await.json();
    let doctor = doctor(&database.url, &[]).await;
    let line = status.stdout.lines().find(|line| line.contains(&host[1..])).unwrap();
    assert!(line.contains("silent") && line.contains(" s ago"), "{}", status.stdout);
    let rows = api["dispatchers"].as_array().unwrap();
    let row = |state: &str| rows.iter().find(|row| row["state"] == state).unwrap();
    assert_eq!((&row("silent")["is_live"], &row("live")["is_live"]), (&false.into(), &true.into()), "{api}");
    assert!(row("silent")["last_seen_at"].as_str() < row("live")["last_seen_at"].as_str(), "{api}");
    let check = found(&doctor, "dispatchers");
    assert!(text(&check, "message").contains("was last seen") && check["result"] == "warn", "{check}");
}

#[tokio::test]
async fn a_dispatcher_whose_lease_ended_is_gone() {
    let database = Database::new().await;
    database
        .execute(
            "insert into postrider.dispatcher (host, version, lease_until, last_seen_at, wake_mode)
             values ('here:1', '0', now() - interval '1 s', now() - interval '61 s', 'notify'),
                    ('here:2', '0', now() + interval '44 s', now() - interval '16 s', 'notify'),
                    ('here:3', '0', now() + interval '46 s', now() - interval '14 s', 'notify')",
        )
        .await;

    let states =
        database.json_rows("select state from postrider.dispatcher_status order by dispatcher_id").await;

    assert_eq!(
        states.iter().map(|row| row["state"].as_str().unwrap()).collect::<Vec<_>>(),
        ["gone", "silent", "live"]
    );
}
