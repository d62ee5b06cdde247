//! PgBouncer in transaction mode in front of the database: Postrider works through it, polls, says so, and leaves nothing
//! behind in the connections that it shares with others.

use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, chown};

use futures_util::future::join_all;
use serde_json::json;
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;
use tokio_postgres::SimpleQueryMessage;

use crate::support::{
    CommandOutput, Database, Dispatcher, Folder, Receiver, connect, eventually, get, password, skip,
};

/// How PgBouncer treats what it does not know of a session.
pub(crate) const REFUSED: &str = "";
pub(crate) const IGNORED: &str = "ignore_startup_parameters = options";

#[tokio::test]
async fn a_dispatcher_behind_a_transaction_pooler_delivers_polls_and_says_why() {
    for settings in [REFUSED, IGNORED] {
        let Some((database, receiver, pooler)) = behind_pooler("pooled::delivers", settings).await else {
            return;
        };
        let dispatcher =
            Dispatcher::spawn(&pooler.url(&database), &["--wake", "notify", "--poll-interval", "100ms"]);

        for number in 0..20 {
            database.insert_many("order.created", 20).await;
            database.insert("order.created", &number.to_string()).await;
        }
        database.until_settled().await;
        database
            .until("select wake_reason like '%--listen-database-url%' from postrider.dispatcher_status")
            .await;

        assert_eq!(receiver.webhook_ids().len(), 20 * 21);
        database.assert_counts_agree().await;
        let log = dispatcher.log();
        assert_eq!(log.matches("a connection pooler stands in front").count(), 1, "{log}");
        assert!(!log.contains("prepared statement"), "{log}");
        assert!(dispatcher.terminate().await.success());
    }
}

#[tokio::test]
async fn a_direct_connection_to_listen_restores_notifications_behind_a_pooler() {
    let Some((database, receiver, pooler)) = behind_pooler("pooled::listens", REFUSED).await else { return };
    let flags = ["--wake", "notify", "--poll-interval", "1h", "--listen-database-url", &database.url];
    let _dispatcher = Dispatcher::spawn(&pooler.url(&database), &flags);

    database.until_bell_is_armed().await;
    database.insert("order.created", "1").await;

    assert_eq!(receiver.next().await.text(), "1");
    database.until("select wake_mode = 'notify' from postrider.dispatcher_status").await;
}

#[tokio::test]
async fn others_behind_the_same_pooler_keep_their_settings() {
    let Some((database, receiver, pooler)) = behind_pooler("pooled::keeps settings", REFUSED).await else {
        return;
    };
    let url = pooler.url(&database);
    let dispatcher = Dispatcher::spawn(&url, &["--wake", "poll", "--poll-interval", "100ms"]);
    get(&format!("http://{}/metrics", dispatcher.api().await)).await;
    database.insert("order.created", "1").await;
    receiver.next().await;

    let others = join_all((0..4).map(|_| connect(&url))).await;
    // All at once, so that each has another connection of the server; what PgBouncer itself keeps track of aside.
    let changed = "select count(*)::text from pg_settings, pg_sleep(0.2) where source = 'session' and name not in \
                   ('application_name', 'client_encoding', 'DateStyle', 'TimeZone', 'standard_conforming_strings')";
    let answers = join_all(others.iter().map(|other| other.simple_query(changed))).await;

    for answer in answers {
        let SimpleQueryMessage::Row(row) = &answer.unwrap()[1] else { panic!("a row") };
        assert_eq!(row.get(0), Some("0"));
    }
}

#[tokio::test]
async fn commands_work_behind_a_pooler_and_only_a_migration_wants_a_direct_connection() {
    let Some((database, _receiver, pooler)) = behind_pooler("pooled::commands", IGNORED).await else {
        return;
    };
    let url = pooler.url(&database);
    for args in [&["publish", "order.created", "{}"][..], &["status"], &["endpoint", "list"], &["migrate"]] {
        let output = CommandOutput::run(&url, args).await;

        assert_eq!(output.code, Some(0), "{args:?}: {}", output.stderr);
    }
    // Several statements in one transaction; one that is refused leaves nothing behind on the server's connection.
    let key = ["--encryption-key", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="];
    for (url_of_it, result) in [
        ("https://a.example", "two created\n"),
        ("https://b.example", ""),
        ("https://a.example", "two unchanged\n"),
    ] {
        let put = ["endpoint", "put", "two", "--url", url_of_it];
        let login: &[&str] = if result.is_empty() { &[] } else { &["--bearer-token", "hushhush"] };

        let output = CommandOutput::run(&url, &[&put[..], &key, login].concat()).await;

        assert!(output.stdout.starts_with(result), "{output:?}");
        assert_eq!(output.code, Some(if result.is_empty() { 64 } else { 0 }), "{}", output.stderr);
    }
    database.execute("update postrider.schema_object set digest = 'another' where name = 'backlog'").await;

    let output = CommandOutput::run(&url, &["migrate"]).await;

    assert!(output.complaint().contains("over a direct connection"), "{}", output.stderr);
}

#[tokio::test]
async fn a_database_that_is_replaced_behind_a_pooler_is_not_sent_from_until_it_is_adopted() {
    let Some((database, receiver, pooler)) = behind_pooler("pooled::replaced", REFUSED).await else { return };
    let url = pooler.url(&database);
    let flags = ["--lease", "4s", "--request-timeout", "2s", "--poll-interval", "100ms"];
    let first = Dispatcher::spawn(&url, &flags);
    database.insert("order.created", "\"first\"").await;
    receiver.next().await;
    database.until_settled().await;
    assert!(first.terminate().await.success());
    // The pooler keeps connections, and a template must have none.
    database
        .execute(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid()",
        )
        .await;
    let (database, backup) = database.copied().await;
    let dispatcher = Dispatcher::spawn(&url, &flags);
    database.insert("order.created", "\"of the original\"").await;
    receiver.next().await;

    let replaced = database.dropped_and_restored_from(backup).await;
    dispatcher.logged("nothing is sent: this is a copy").await;
    replaced.insert("order.created", "\"of the copy\"").await;
    replaced
        .assert_row(
            "select status from postrider.outbox where payload::text like '%copy%'",
            json!({"status": "pending"}),
        )
        .await;
    assert_eq!(receiver.count(), 2);

    let adopted = CommandOutput::run(&replaced.url, &["adopt", "--as", "original"]).await;

    assert_eq!(adopted.code, Some(0), "{}", adopted.stderr);
    assert_eq!(receiver.next().await.text(), "\"of the copy\"");
    replaced.until_settled().await;
    replaced.assert_counts_agree().await;
}

/// A migrated database with an endpoint, and a pooler in front; none: skipped.
pub(crate) async fn behind_pooler(test: &str, settings: &str) -> Option<(Database, Receiver, Pooler)> {
    static FOUND: OnceCell<Result<String, String>> = OnceCell::const_new();
    let program = match FOUND.get_or_init(find).await {
        Ok(program) => program,
        Err(reason) => {
            skip(test, reason);
            return None;
        }
    };
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    database.put_endpoint("one", &receiver.url(), "**", "").await;
    let pooler = Pooler::start(program, &database, settings).await;
    Some((database, receiver, pooler))
}

/// The path of PgBouncer, or why there is none.
async fn find() -> Result<String, String> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/pgbouncer");
    let found = Command::new(script).output().await.unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if found.status.success() { Ok(said(&found.stdout)) } else { Err(said(&found.stderr)) }
}

/// A running PgBouncer. Killed when dropped.
pub(crate) struct Pooler {
    port: u16,
    _child: Child,
    _folder: Folder,
}

impl Pooler {
    /// In front of the server of a database, in transaction mode, with four connections to it.
    async fn start(program: &str, database: &Database, settings: &str) -> Self {
        let folder = Folder::new();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (_, place) = database.url.split_once('@').unwrap();
        let (server, _) = place.split_once('/').unwrap();
        let (host, server_port) = server.split_once(':').unwrap();
        // It is asked for the server's own password: behind it everybody would be let in otherwise.
        let (password, kind) = password(&database.url).map_or(("", "trust"), |it| (it, "scram-sha-256"));
        let users = folder.write("users.txt", &format!("\"postgres\" \"{password}\"\n"));
        let config = folder.write(
            "pgbouncer.ini",
            &format!(
                "[databases]\n* = host={host} port={server_port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
                 listen_port = {port}\nunix_socket_dir =\nauth_type = {kind}\nauth_file = {users}\n\
                 pool_mode = transaction\ndefault_pool_size = 4\nmax_client_conn = 100\n{settings}\n"
            ),
        );
        let mut command = Command::new(program);
        // It refuses to run as root, which may hand its folder to somebody else.
        if std::fs::metadata("/proc/self").unwrap().uid() == 0 {
            for path in [folder.path().to_str().unwrap(), &users, &config] {
                chown(path, Some(65534), Some(65534)).unwrap();
            }
            command = Command::new("setpriv");
            command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--", program]);
        }
        let child = command.args(["-q", &config]).kill_on_drop(true).spawn().unwrap();
        let pooler = Self { port, _child: child, _folder: folder };
        let url = pooler.url(database);
        eventually("the pooler takes connections", || async {
            tokio_postgres::connect(&url, tokio_postgres::NoTls).await.is_ok()
        })
        .await;
        pooler
    }

    /// A database's URL by way of it.
    pub(crate) fn url(&self, database: &Database) -> String {
        let (server, name) = database.url.rsplit_once('/').unwrap();
        let (login, _) = server.rsplit_once('@').unwrap();
        format!("{login}@127.0.0.1:{}/{name}", self.port)
    }
}
