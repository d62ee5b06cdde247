//! Tenants of one outbox, kept apart by row-level security as docs/how-to/separate-tenants.md says: its statements are what is run here.

use serde_json::json;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::cli::doctor::{doctor, found, text};
use crate::project::promises_named::read;
use crate::support::{CommandOutput, Database, Dispatcher, Receiver, as_role, connect, login_clause};

#[tokio::test]
async fn a_tenant_inserts_topics_of_its_own_and_they_are_delivered() {
    let tenants = Tenants::new().await;
    let dispatcher = tenants.dispatcher(&[]).await;

    for tenant in [&tenants.one, &tenants.two] {
        let name = &tenant.name;
        tenant.insert(&format!("'{name}.order.created', '{{}}', null, null")).await.unwrap();
        tenant.insert(&format!("'{name}.order.created', '{{}}', '{name}-once', '{name}.crm'")).await.unwrap();

        for _ in 0..2 {
            tenant.receiver.next().await.verify();
        }
    }
    tenants.database.until_settled().await;
    tenants.database.assert_counts_agree().await;
    assert_eq!((tenants.one.receiver.count(), tenants.two.receiver.count()), (2, 2));
    assert!(!dispatcher.log().contains("row-level security"), "{}", dispatcher.log());
}

#[tokio::test]
async fn a_tenant_inserts_nothing_for_another() {
    let tenants = Tenants::new().await;
    let (one, two) = (&tenants.one.name, &tenants.two.name);

    for values in [
        format!("'{two}.order.created', '{{}}', null, null"),
        format!("'{one}x.order.created', '{{}}', null, null"),
        "'order.created', '{}', null, null".to_owned(),
        format!("'{one}.order.created', '{{}}', null, '{two}.crm'"),
    ] {
        let refused = tenants.one.insert(&values).await.unwrap_err();

        assert_eq!(refused.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{values}");
        for way in [
            format!(
                "insert into postrider.new_event (topic, payload, idempotency_key, destination) values ({values})"
            ),
            format!(
                "select from (values ({values})) as v (topic, payload, idempotency_key, destination),
                     lateral postrider.publish(v.topic, v.payload::json, idempotency_key => v.idempotency_key,
                         destination => v.destination)"
            ),
        ] {
            let refused = tenants.one.client.execute(&way, &[]).await.unwrap_err();
            assert_eq!(refused.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{way}");
        }
    }
    tenants.database.assert_row("select count(*) from postrider.outbox", json!({"count": 0})).await;
}

#[tokio::test]
async fn a_tenant_sees_what_became_of_its_own_events_alone() {
    let tenants = Tenants::new().await;
    let _dispatcher = tenants.dispatcher(&[]).await;
    for tenant in [&tenants.one, &tenants.two] {
        tenant.insert(&format!("'{}.order.created', '{{}}', null, null", tenant.name)).await.unwrap();
    }
    tenants.database.until_settled().await;

    for tenant in [&tenants.one, &tenants.two] {
        let seen =
            tenant.client.query("select topic, status::text from tenant.delivery_status", &[]).await.unwrap();

        let seen: Vec<(&str, &str)> = seen.iter().map(|row| (row.get(0), row.get(1))).collect();
        assert_eq!(seen, [(format!("{}.order.created", tenant.name).as_str(), "complete")]);
        let rows = tenant.client.query("select id, status from postrider.outbox", &[]).await.unwrap();
        assert!(rows.is_empty(), "{rows:?}");
        for table in ["delivery_status", "attempt_log"] {
            let refused =
                tenant.client.query(&format!("select from postrider.{table}"), &[]).await.unwrap_err();
            assert_eq!(refused.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{table}");
        }
    }
    let seen: i64 = tenants.database.value("select count(*) from postrider.delivery_status").await;
    assert_eq!(seen, 2);
}

#[tokio::test]
async fn all_that_a_dispatchers_role_calls_goes_on_working() {
    let tenants = Tenants::new().await;
    let dispatcher = tenants.dispatcher(&[]).await;
    let name = &tenants.one.name;
    tenants.one.receiver.answer_once(410, &[], b"");
    tenants.one.insert(&format!("'{name}.order.created', '{{}}', null, null")).await.unwrap();
    tenants.one.receiver.next().await;
    let crm = format!("{name}.crm");
    let disabled =
        format!("select state = 'disabled' from postrider.endpoint_health where endpoint_id = '{crm}'");
    tenants.database.until(&disabled).await;

    let url = tenants.one.receiver.url();
    for (args, is_done) in [
        (&["endpoint", "resume", &crm][..], "select status = 'complete' from postrider.outbox where id = 1"),
        (&["replay", &crm, "--since", "1h"], "select count(*) = 1 from postrider.outbox"),
        (&["delivery", "retry", "--endpoint", &crm], "select count(*) = 1 from postrider.outbox"),
        (
            &["publish", &format!("{name}.later"), "--delay", "1h"],
            "select count(*) = 2 from postrider.outbox",
        ),
        (&["event", "cancel", "2"], "select status = 'failed' from postrider.outbox where id = 2"),
        (&["event", "show", "1"], "select true"),
        (
            &["endpoint", "put", "another", "--url", &url, "--allow-http", "--allow-cidr", "127.0.0.0/8"],
            "select true",
        ),
        (&["endpoint", "rotate-secret", "another"], "select true"),
        (
            &["endpoint", "delete", "another", "--yes"],
            "select not exists (select from postrider.endpoint_health where endpoint_id = 'another')",
        ),
        (&["status"], "select true"),
        (&["migrate"], "select true"),
    ] {
        let output = CommandOutput::run(&tenants.login, args).await;

        assert_eq!(output.code, Some(0), "{args:?}: {}", output.stderr);
        tenants.database.until(is_done).await;
    }
    tenants.database.until_settled().await;
    tenants.database.assert_counts_agree().await;
    assert!(dispatcher.terminate().await.success());
}

#[tokio::test]
async fn what_is_finished_is_deleted_in_its_time() {
    let tenants = Tenants::new().await;
    let _dispatcher = tenants.dispatcher(&["--retain-complete", "1s"]).await;

    tenants.one.insert(&format!("'{}.order.created', '{{}}', null, null", tenants.one.name)).await.unwrap();
    tenants.one.receiver.next().await;

    tenants.database.until("select count(*) = 0 from postrider.outbox").await;
}

#[tokio::test]
async fn a_dispatcher_that_a_policy_hides_rows_from_says_so() {
    let tenants = Tenants::new().await;
    let says = "policies may hide rows from this role, which then are not delivered: outbox";

    for (change, is_hidden) in [
        ("drop policy everybody on postrider.outbox", true),
        (
            "create policy a_few on postrider.outbox to postrider_dispatcher using (id > 7) with check (true)",
            true,
        ),
        ("create policy readable on postrider.outbox for select to postrider_dispatcher using (true)", true),
        ("create policy all_of_it on postrider.outbox to public using (true)", false),
        (
            "create policy narrow on postrider.outbox as restrictive to postrider_dispatcher using (id > 7)",
            true,
        ),
        ("alter table postrider.outbox disable row level security", false),
    ] {
        tenants.database.execute(change).await;

        let checked = doctor(&tenants.login, &[]).await;
        let mut dispatcher = Dispatcher::spawn(&tenants.login, &["--no-migrate"]);
        dispatcher.logged(" runs, schema version").await;

        assert_eq!(checked.stdout.contains(says), is_hidden, "{change}: {}", checked.stdout);
        let log = dispatcher.log();
        assert_eq!(
            log.contains("row-level security may hide rows from this role"),
            is_hidden,
            "{change}: {log}"
        );
        dispatcher.signal("TERM").await;
        assert!(dispatcher.ended().await.success());
    }
}

#[tokio::test]
async fn what_doctor_says_of_hidden_rows_mends_it() {
    let tenants = Tenants::new().await;
    tenants.database.execute("drop policy everybody on postrider.outbox").await;
    let checked = doctor(&tenants.login, &[]).await;
    let mend = text(&found(&checked, "row security"), "remedy").to_owned();

    tenants.database.execute(&mend).await;

    let checked = doctor(&tenants.login, &[]).await;
    assert!(!checked.stdout.contains("row security"), "{}", checked.stdout);
}

#[tokio::test]
async fn doctor_says_when_producers_see_events_of_others_and_what_mends_it() {
    let database = Database::new().await;
    let login = database.login(Some("postrider_producer")).await;
    let dispatcher = database.login(Some("postrider_dispatcher")).await;
    database.insert("order.created", "{}").await;
    let is_seen = "select exists (select id from postrider.outbox)";
    let policy =
        "select concat_ws(' ', pg_get_expr(polqual, polrelid), polcmd, polpermissive, polroles::regrole[])
                  from pg_policy where polname = 'producers'";
    let original: String = database.value(policy).await;
    assert!(!doctor(&dispatcher, &[]).await.stdout.contains("a producer reads"));

    for change in [
        "alter table postrider.outbox disable row level security",
        "drop policy producers on postrider.outbox",
        "alter policy producers on postrider.outbox using (true)",
        "alter policy producers on postrider.outbox to postrider_reader",
        "drop policy producers on postrider.outbox; alter table postrider.outbox disable row level security",
    ] {
        database.execute(change).await;
        let seen: bool = connect(&login).await.query_one(is_seen, &[]).await.unwrap().get(0);
        assert!(seen, "{change}");

        let checked = doctor(&dispatcher, &[]).await;
        let finding = found(&checked, "producers");
        let remedy = text(&finding, "remedy");
        database.execute(remedy.strip_prefix("as the schema's owner: ").unwrap()).await;

        assert_eq!(text(&finding, "result"), "warn", "{change}");
        let seen: bool = connect(&login).await.query_one(is_seen, &[]).await.unwrap().get(0);
        assert!(!seen, "{change}");
        assert!(!doctor(&dispatcher, &[]).await.stdout.contains("a producer reads"), "{change}");
        assert_eq!(database.value::<String>(policy).await, original, "{change}");
    }
}

/// Two of them, in a database whose administrator did what the page says.
struct Tenants {
    database: Database,
    one: Tenant,
    two: Tenant,
    /// The URL of a dispatcher's role.
    login: String,
}

struct Tenant {
    name: String,
    client: Client,
    receiver: Receiver,
}

impl Tenants {
    async fn new() -> Self {
        let database = Database::new().await;
        let page = read("docs/how-to/separate-tenants.md");
        let (_, section) = page.split_once("## Several tenants in one outbox").unwrap();
        for block in section.split("```sql\n").skip(1) {
            database.execute(block.split_once("```").unwrap().0).await;
        }
        let (one, two) = (Tenant::new(&database, "one").await, Tenant::new(&database, "two").await);
        let login = database.login(Some("postrider_dispatcher")).await;
        Self { database, one, two, login }
    }

    async fn dispatcher(&self, flags: &[&str]) -> Dispatcher {
        let dispatcher = Dispatcher::spawn(&self.login, &[&["--no-migrate"], flags].concat());
        dispatcher.logged(" runs, schema version").await;
        dispatcher
    }
}

impl Tenant {
    async fn new(database: &Database, suffix: &str) -> Self {
        let name: String = database.value(&format!("select current_database() || '_{suffix}'")).await;
        let login = login_clause(&database.url);
        database.execute(&format!("create role {name} {login} in role postrider_producer")).await;
        let client = connect(&as_role(&database.url, &name)).await;
        let receiver = Receiver::start().await;
        database.put_endpoint(&format!("{name}.crm"), &receiver.url(), &format!("{name}.**"), "").await;
        Self { name, client, receiver }
    }

    /// Inserts an event: topic, payload, idempotency key, destination.
    async fn insert(&self, values: &str) -> Result<u64, tokio_postgres::Error> {
        let insert = format!(
            "insert into postrider.outbox (topic, payload, idempotency_key, destination) values ({values})
             on conflict do nothing"
        );
        self.client.execute(&insert, &[]).await
    }
}
