//! TLS to the database: what each `sslmode` accepts and refuses, proven by what the server says of the session.

use postrider::store::{DatabaseUrl, Environment};
use serde_json::json;
use tokio_postgres::Client;

use crate::support::{
    ASKED, CARDHOLDER, CommandOutput, Database, Dispatcher, Encrypted, Folder, PASSWORD, Receiver, command,
    open,
};

const RUN: [&str; 3] = ["run", "--api-listen", "127.0.0.1:0"];

#[tokio::test]
async fn verify_full_takes_the_server_that_the_certificate_is_for() {
    let server = Encrypted::server().await;

    let client =
        connect(&server.url("postgres", "localhost", "sslmode=verify-full&sslrootcert=ca.crt")).await;

    assert!(is_encrypted(&client).await);
}

#[tokio::test]
async fn the_name_counts_for_verification_and_the_address_for_the_way() {
    let server = Encrypted::server().await;
    let options = "hostaddr=127.0.0.1&sslmode=verify-full&sslrootcert=ca.crt";

    let client = connect(&server.url("postgres", "db.example", options)).await;

    assert!(is_encrypted(&client).await);
}

#[tokio::test]
async fn verify_full_refuses_a_certificate_for_another_name() {
    let server = Encrypted::server().await;
    let url = server.url("postgres", "127.0.0.1", "sslmode=verify-full&sslrootcert=ca.crt");

    for args in [&RUN[..], &["migrate"], &["status"]] {
        let output = failed(&url, args).await;

        assert!(output.complaint().contains("127.0.0.1"), "{}", output.stderr);
        assert!(
            output.complaint().contains("connect by a name that the certificate is for"),
            "{}",
            output.stderr
        );
    }
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused_wherever_one_is_named() {
    let server = Encrypted::server().await;

    for mode in ["verify-full", "verify-ca", "require", "prefer"] {
        let options = format!("sslmode={mode}&sslrootcert=other.crt");
        let url = server.url("postgres", "localhost", &options);

        for args in [&RUN[..], &["migrate"], &["status"]] {
            let output = failed(&url, args).await;

            assert!(output.complaint().contains("UnknownIssuer"), "{mode}: {}", output.stderr);
            assert!(output.complaint().contains("sslrootcert=FILE"), "{mode}: {}", output.stderr);
        }
    }
}

#[tokio::test]
async fn verify_ca_does_not_mind_the_name() {
    let server = Encrypted::server().await;

    let client = connect(&server.url("postgres", "127.0.0.1", "sslmode=verify-ca&sslrootcert=ca.crt")).await;

    assert!(is_encrypted(&client).await);
}

#[tokio::test]
async fn what_asks_for_no_verification_is_encrypted_all_the_same() {
    let server = Encrypted::server().await;

    for mode in ["require", "prefer", "allow"] {
        let client = connect(&server.url("postgres", "127.0.0.1", &format!("sslmode={mode}"))).await;

        assert!(is_encrypted(&client).await, "{mode}");
    }
}

#[tokio::test]
async fn disable_goes_in_the_clear() {
    let server = Encrypted::server().await;

    let client = connect(&server.url("postgres", "127.0.0.1", "sslmode=disable")).await;

    assert!(!is_encrypted(&client).await);
}

#[tokio::test]
async fn prefer_goes_in_the_clear_where_no_tls_is_offered() {
    let database = Database::new().await;

    for mode in ["prefer", "allow"] {
        let client = connect(&format!("{}?sslmode={mode}", database.url)).await;

        assert!(!is_encrypted(&client).await, "{mode}");
    }
}

#[tokio::test]
async fn a_server_without_tls_is_refused_where_tls_is_asked_for() {
    let server = Encrypted::server().await;
    let database = Database::new().await;
    let root = server.file("ca.crt");

    for options in ["sslmode=require".to_owned(), format!("sslmode=verify-full&sslrootcert={root}")] {
        for args in [&RUN[..], &["migrate"], &["status"]] {
            let output = failed(&format!("{}?{options}", database.url), args).await;

            assert!(
                output.complaint().contains("server does not support TLS; switch ssl on"),
                "{}",
                output.stderr
            );
        }
    }
}

#[tokio::test]
async fn the_systems_authorities_serve_where_none_is_named() {
    let server = Encrypted::server().await;
    for options in ["sslmode=verify-full", "sslrootcert=system"] {
        let mut check = command(&["migrate", "--check"]);
        check.env("DATABASE_URL", server.url("postgres", "localhost", options));
        check.env("SSL_CERT_FILE", server.file("ca.crt"));

        let output = CommandOutput::of(check).await;

        // It is connected: what is missing is the schema.
        assert!(output.complaint().contains("schema version 0"), "{options}: {}", output.stderr);
    }
}

#[tokio::test]
async fn the_usual_files_are_read_from_the_home_directory() {
    let server = Encrypted::server().await;
    let home = Folder::new();
    std::fs::create_dir(home.path().join(".postgresql")).unwrap();
    for (ours, usual) in
        [("ca.crt", "root.crt"), ("client.crt", "postgresql.crt"), ("client.key", "postgresql.key")]
    {
        std::fs::copy(server.file(ours), home.path().join(".postgresql").join(usual)).unwrap();
    }
    let home = [("HOME".to_owned(), home.path().display().to_string())].into_iter().collect();
    let url = server.url(CARDHOLDER, "localhost", "sslmode=verify-full");

    let client = open(&DatabaseUrl::parse(&url, &home).unwrap()).await;

    assert!(is_encrypted(&client).await);
}

#[tokio::test]
async fn a_role_may_come_with_a_certificate_instead_of_a_password() {
    let server = Encrypted::server().await;
    let own = format!("sslcert={}&sslkey={}", server.file("client.crt"), server.file("client.key"));

    let client = connect(&server.url(CARDHOLDER, "localhost", &format!("sslmode=require&{own}"))).await;

    assert!(is_encrypted(&client).await);
}

#[tokio::test]
async fn a_certificate_that_is_missing_is_said() {
    let server = Encrypted::server().await;

    let output = failed(&server.url(CARDHOLDER, "localhost", "sslmode=require"), &RUN).await;

    assert!(output.complaint().contains("give sslcert=FILE and sslkey=FILE"), "{}", output.stderr);
}

#[tokio::test]
async fn channel_binding_may_be_required_over_tls() {
    let server = Encrypted::server().await;
    let login = format!("{ASKED}:{PASSWORD}");

    let client = connect(&server.url(&login, "localhost", "sslmode=require&channel_binding=require")).await;

    assert!(is_encrypted(&client).await);
}

#[tokio::test]
async fn without_tls_there_is_no_channel_binding_to_require() {
    let server = Encrypted::server().await;
    let login = format!("{ASKED}:{PASSWORD}");
    let url = server.url(&login, "localhost", "sslmode=disable&channel_binding=require");

    for args in [&RUN[..], &["status"]] {
        let output = failed(&url, args).await;

        assert!(output.complaint().contains("channel_binding=require needs TLS"), "{}", output.stderr);
        assert!(!output.stderr.contains(PASSWORD), "{}", output.stderr);
    }
}

#[tokio::test]
async fn an_event_is_delivered_with_every_connection_verified() {
    let server = Encrypted::server().await;
    let database = server.database().await;
    let receiver = Receiver::start().await;
    let url = database.url.replace("127.0.0.1", "localhost");
    let url = format!("{url}?sslmode=verify-full&sslrootcert={}", server.file("ca.crt"));

    let dispatcher = Dispatcher::spawn(&url, &["--wake", "notify", "--poll-interval", "1h"]);

    dispatcher.logged("listening for notifications").await;
    database.put_endpoint("one", &receiver.url(), "**", "").await;
    database.until_bell_is_armed().await;
    database.insert("order.created", "{\"number\": 1}").await;
    receiver.next().await.verify();
    let ours = "from pg_stat_ssl join pg_stat_activity using (pid) \
                where datname = current_database() and application_name like 'postrider%'";
    database
        .assert_row(
            &format!("select count(*) >= 2 as are_both_there, bool_and(ssl) as have_tls {ours}"),
            json!({"are_both_there": true, "have_tls": true}),
        )
        .await;
    assert!(!dispatcher.log().contains("unencrypted"), "{}", dispatcher.log());
}

async fn connect(url: &str) -> Client {
    open(&DatabaseUrl::parse(url, &Environment::default()).unwrap()).await
}

async fn is_encrypted(client: &Client) -> bool {
    let row = client.query_one("select ssl from pg_stat_ssl where pid = pg_backend_pid()", &[]).await;
    row.unwrap().get(0)
}

/// Runs a command that fails with exit code 1.
async fn failed(url: &str, args: &[&str]) -> CommandOutput {
    let output = CommandOutput::run(url, args).await;
    assert_eq!(output.code, Some(1), "{args:?}: {}", output.stderr);
    output
}
