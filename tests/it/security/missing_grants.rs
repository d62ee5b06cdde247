//! What a role that lacks a grant is told: which one, and how to give it.

use crate::support::{CommandOutput, Database};

#[tokio::test]
async fn a_role_without_a_grant_is_told_which_grant_it_lacks() {
    let database = Database::new().await;
    let login = database.login(None).await;

    for args in [
        &["run", "--api-listen", "127.0.0.1:0"][..],
        &["run", "--no-migrate", "--api-listen", "127.0.0.1:0"],
        &["publish", "order.created", "{}"],
        &["status"],
        &["endpoint", "list"],
        &["endpoint", "put", "one", "--url", "https://example.com/"],
        &["endpoint", "delete", "one", "--yes"],
        &["endpoint", "rotate-secret", "one"],
        &["endpoint", "test", "one"],
        &["event", "show", "1"],
        &["event", "cancel", "1"],
        &["delivery", "list"],
        &["delivery", "show", "1"],
        &["delivery", "retry", "1"],
        &["delivery", "retry", "--endpoint", "one"],
        &["replay", "one", "--since", "1h"],
    ] {
        let output = CommandOutput::run(&login, args).await;

        assert_eq!(output.code, Some(1), "{args:?}");
        let complaint = output.complaint();
        assert!(complaint.starts_with("permission denied for "), "{args:?}: {complaint}");
        assert!(complaint.contains("grant postrider_dispatcher"), "{args:?}: {complaint}");
    }
}

#[tokio::test]
async fn a_role_with_another_grant_is_told_which_grant_it_lacks() {
    let database = Database::new().await;
    let producer = database.login(Some("postrider_producer")).await;
    let reader = database.login(Some("postrider_reader")).await;

    for (login, args) in [
        (&producer, &["status"][..]),
        (&producer, &["endpoint", "list"]),
        (&producer, &["endpoint", "pause", "one"]),
        (&reader, &["publish", "order.created", "{}"]),
        (&reader, &["endpoint", "resume", "one"]),
        (&reader, &["run", "--no-migrate", "--api-listen", "127.0.0.1:0"]),
    ] {
        let output = CommandOutput::run(login, args).await;

        assert_eq!(output.code, Some(1), "{args:?}");
        let complaint = output.complaint();
        assert!(complaint.contains("grant postrider_dispatcher"), "{args:?}: {complaint}");
    }
}

#[tokio::test]
async fn a_role_that_may_not_create_a_schema_is_told_which_grant_it_lacks() {
    let database = Database::without_schema().await;
    let login = database.login(None).await;

    for args in [&["migrate"][..], &["run", "--api-listen", "127.0.0.1:0"]] {
        let output = CommandOutput::run(&login, args).await;

        assert_eq!(output.code, Some(1), "{args:?}");
        let complaint = output.complaint();
        assert!(complaint.contains("grant create on database"), "{args:?}: {complaint}");
    }
}
