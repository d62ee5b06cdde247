//! Sessions that do not wait for the disk: an outcome is settled, or an event inserted, and a crash of the server takes it back.

use crate::support::{Database, Dispatcher};

/// How the log begins to say so.
const WARNING: &str = "synchronous_commit is off for this session";

#[tokio::test]
async fn sessions_that_do_not_wait_for_the_disk_are_warned_about_wherever_that_is_set() {
    let database = Database::new().await;
    let name: String = database.value("select current_database()::text").await;
    let login = database.login(Some("postrider_dispatcher")).await;
    let role = format!("{name}_postrider_dispatcher");

    for (set, reset, url) in [
        (
            format!("alter role {role} set synchronous_commit = off"),
            format!("alter role {role} reset all"),
            &login,
        ),
        (
            format!("alter database {name} set synchronous_commit = off"),
            format!("alter database {name} reset all"),
            &login,
        ),
        (String::new(), String::new(), &format!("{login}?options=-c%20synchronous_commit%3Doff")),
    ] {
        database.execute(&set).await;

        let log = log_of_a_start(url).await;

        assert_eq!(log.matches(WARNING).count(), 1, "{url}: {log}");
        database.execute(&reset).await;
    }
}

#[tokio::test]
async fn sessions_that_wait_for_the_disk_are_not_warned_about() {
    let database = Database::new().await;
    let login = database.login(Some("postrider_dispatcher")).await;

    for url in [login.clone(), format!("{login}?options=-c%20synchronous_commit%3Dlocal")] {
        let log = log_of_a_start(&url).await;

        assert!(!log.contains("synchronous_commit"), "{url}: {log}");
    }
}

async fn log_of_a_start(url: &str) -> String {
    let dispatcher = Dispatcher::spawn(url, &["--no-migrate"]);
    dispatcher.logged(" runs, schema version").await;
    dispatcher.log()
}
