//! Several who put, rotate, delete or seal one endpoint at once: each is told the truth, and one is told a secret.

use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tokio_postgres::Client;

use crate::support::{Api, CommandOutput, Database, Dispatcher, Received, Receiver, SECRET};

const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
const WITH_KEY: [&str; 2] = ["--encryption-key", KEY];
const NEW_SECRET: &str = "whsec_bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3";

/// Who registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Command,
    Api,
    Sql,
}

/// What it was told.
#[derive(Debug)]
struct Told {
    result: String,
    secret: Option<String>,
}

/// A database, a dispatcher whose API is asked, and a receiver.
struct Stage {
    database: Database,
    receiver: Receiver,
    api: Api,
    /// What every command and the dispatcher are given.
    flags: &'static [&'static str],
    _dispatcher: Dispatcher,
}

impl Stage {
    async fn new(flags: &'static [&'static str]) -> Self {
        let (database, receiver) = (Database::new().await, Receiver::start().await);
        let dispatcher = Dispatcher::start(&database, flags).await;
        let api = Api::of(&dispatcher).await;
        Self { database, receiver, api, flags, _dispatcher: dispatcher }
    }

    /// Registers an endpoint, as the receiver's owner does it at every start.
    async fn register(&self, id: &str, by: By) -> Told {
        let url = self.receiver.url();
        let told: Value = match by {
            By::Command => return told(&self.put(id, &[]).await),
            By::Api => {
                let body = serde_json::json!({ "url": url });
                self.api.send("PUT", &format!("/v1/endpoints/{id}"), &body).await.json()
            }
            By::Sql => {
                let put = "select to_json(p)::text from postrider.put_endpoint($1, $2) as p";
                let row = self.database.connect().await.query_one(put, &[&id, &url]).await.unwrap();
                let row: Value = serde_json::from_str(row.get(0)).unwrap();
                serde_json::json!({ "result": row["result"], "secret": row["new_secret"] })
            }
        };
        self::told(&told)
    }

    /// `postrider endpoint put ID --json` with further arguments.
    async fn put(&self, id: &str, more: &[&str]) -> Value {
        let url = self.receiver.url();
        let put =
            ["endpoint", "put", id, "--url", &url, "--allow-http", "--allow-cidr", "127.0.0.0/8", "--json"];
        CommandOutput::run(&self.database.url, &[&put[..], self.flags, more].concat()).await.json()
    }

    /// A transaction that keeps everybody from putting that endpoint.
    async fn hold(&self, id: &str) -> Client {
        let holder = self.database.connect().await;
        holder.batch_execute("begin").await.unwrap();
        for hold in [
            "select 1 from postrider.endpoint where id = $1 for update",
            "select pg_advisory_xact_lock(hashtextextended('postrider.endpoint.' || $1::text, 0))",
        ] {
            holder.execute(hold, &[&id]).await.unwrap();
        }
        holder
    }

    /// Waits until so many wait for a lock in this database.
    async fn until_waiting(&self, count: i64) {
        self.database
            .until(&format!(
                "select count(distinct pid) = {count} from pg_locks
                 where not granted and pid in (select pid from pg_stat_activity where datname = current_database())"
            ))
            .await;
    }

    /// The request of an event for that endpoint alone.
    async fn delivered(&self, id: &str) -> Received {
        self.database
            .execute(&format!(
                "insert into postrider.outbox (topic, payload, destination) values ('a', '1', '{id}')"
            ))
            .await;
        self.receiver.next().await
    }

    /// Of several who registered one endpoint: one created it, it alone was told a secret, and that one signs.
    async fn assert_one_secret(&self, id: &str, told: &[Told]) {
        let created: Vec<&Told> = told.iter().filter(|told| told.result == "created").collect();
        assert_eq!(created.len(), 1, "{id}: {told:?}");
        assert!(
            told.iter().all(|told| told.secret.is_some() == (told.result == "created")),
            "{id}: {told:?}"
        );
        assert!(verifies(&self.delivered(id).await, created[0].secret.as_ref().unwrap()), "{id}");
    }
}

#[tokio::test]
async fn of_several_who_register_at_once_one_is_told_a_secret_and_that_one_signs() {
    for flags in [&WITH_KEY[..], &[]] {
        let stage = Stage::new(flags).await;
        let holder = stage.hold("one").await;

        let all = [By::Command, By::Api, By::Sql, By::Command, By::Api];
        let registered = futures_util::future::join_all(all.map(|by| stage.register("one", by)));
        let (told, ()) = tokio::join!(registered, async {
            // All of them have found nothing by now.
            stage.until_waiting(5).await;
            holder.batch_execute("commit").await.unwrap();
        });

        stage.assert_one_secret("one", &told).await;
    }
}

#[tokio::test]
async fn three_who_register_at_once_are_told_one_secret_every_time() {
    let stage = Stage::new(&WITH_KEY).await;
    for round in 0..25_usize {
        let id = format!("one-{round}");
        let all = [By::Command, By::Api, By::Sql];
        // Two of a kind, and one of each.
        let all = [all[round % 3], all[(round / 2) % 3], all[(round + 1) % 3]];

        let told = futures_util::future::join_all(all.map(|by| stage.register(&id, by))).await;

        stage.assert_one_secret(&id, &told).await;
    }
}

#[tokio::test]
async fn whoever_registers_while_a_transaction_has_done_so_waits_for_it_and_is_told_no_secret() {
    for end in ["commit", "rollback"] {
        let stage = Stage::new(&WITH_KEY).await;
        let first = stage.database.connect().await;
        first.batch_execute("begin").await.unwrap();
        let put = "select new_secret from postrider.put_endpoint('one', $1)";
        let row = first.query_one(put, &[&stage.receiver.url()]).await.unwrap();
        let secret: String = row.get(0);

        let (command, api, ()) =
            tokio::join!(stage.register("one", By::Command), stage.register("one", By::Api), async {
                stage.until_waiting(2).await;
                first.batch_execute(end).await.unwrap();
            });

        let mut told = vec![command, api];
        if end == "commit" {
            told.push(Told { result: "created".to_owned(), secret: Some(secret) });
        }
        stage.assert_one_secret("one", &told).await;
    }
}

#[tokio::test]
async fn a_secret_that_two_give_at_once_is_the_same_for_both_and_old_ones_sign_on() {
    let stage = Stage::new(&WITH_KEY).await;
    stage.put("one", &["--secret", SECRET]).await;
    let rotate = ["endpoint", "rotate-secret", "one", "--secret", NEW_SECRET, "--json"];
    CommandOutput::run(&stage.database.url, &[&rotate[..], &WITH_KEY].concat()).await.json();
    let holder = stage.hold("two").await;
    let given = ["--secret", NEW_SECRET, "--bearer-token", "hushhush"];

    // Neither of the first two has seen what the other has sealed; the third names what is there.
    let (a, b, c, ()) = tokio::join!(
        stage.put("two", &given),
        stage.put("two", &given),
        stage.put("one", &given[..2]),
        async {
            stage.until_waiting(2).await;
            holder.batch_execute("commit").await.unwrap();
        }
    );

    let mut results = [told(&a).result, told(&b).result];
    results.sort();
    assert_eq!(results, ["created", "unchanged"]);
    assert_eq!(told(&c).result, "unchanged");
    let request = stage.delivered("one").await;
    assert!(verifies(&request, SECRET) && verifies(&request, NEW_SECRET));
}

#[tokio::test]
async fn a_put_that_waits_sees_what_was_sealed_meanwhile() {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    database.put_endpoint("one", &receiver.url(), "**", "").await;
    database.execute(&format!("select postrider.rotate_secret('one', '{NEW_SECRET}')")).await;
    CommandOutput::run(&database.url, &[&["secret", "seal"][..], &WITH_KEY].concat()).await;
    let sealed: String = database.value("select secret from postrider.endpoint").await;
    database.execute(&format!("update postrider.endpoint set secret = '{NEW_SECRET}'")).await;
    let url = receiver.url();
    let put = ["endpoint", "put", "one", "--url", &url, "--allow-http", "--allow-cidr", "127.0.0.0/8"];
    let put = [&put[..], &WITH_KEY, &["--secret", NEW_SECRET]].concat();
    // A dispatcher that seals, halfway.
    let dispatcher = database.connect().await;
    let seal = format!("begin; update postrider.endpoint set secret = '{sealed}'");
    dispatcher.batch_execute(&seal).await.unwrap();

    let (output, ()) = tokio::join!(CommandOutput::run(&database.url, &put), async {
        database.until_somebody_waits_for_a_lock().await;
        dispatcher.batch_execute("commit").await.unwrap();
    });

    assert_eq!(output.stdout, "one unchanged\n", "{}", output.stderr);
    database.assert_row("select secret from postrider.endpoint", json!({"secret": sealed})).await;
    database.assert_row("select count(*) from postrider.old_secret", json!({"count": 1})).await;
}

#[tokio::test]
async fn two_who_ask_for_a_new_signing_key_at_once_are_told_the_same_one() {
    for flags in [&WITH_KEY[..], &[]] {
        let stage = Stage::new(flags).await;
        // First where there is none, then where one is replaced.
        for _ in 0..2 {
            let holder = stage.hold("one").await;
            let new = ["--signing-key", "new"];

            let (a, b, ()) = tokio::join!(stage.put("one", &new), stage.put("one", &new), async {
                stage.until_waiting(2).await;
                holder.batch_execute("commit").await.unwrap();
            });

            assert_eq!(a["public_key"], b["public_key"]);
            let key: String = stage.database.value("select public_key from postrider.endpoint").await;
            assert_eq!(a["public_key"], key.as_str());
        }
        let before: String = stage.database.value("select public_key from postrider.endpoint").await;
        // Whoever asks later gets another one.
        assert_ne!(stage.put("one", &["--signing-key", "new"]).await["public_key"], before.as_str());
    }
}

#[tokio::test]
async fn two_secrets_that_are_made_at_once_sign_both() {
    let stage = Stage::new(&WITH_KEY).await;
    stage.put("one", &[]).await;
    let blocker = stage.database.connect().await;
    blocker.batch_execute("begin; select 1 from postrider.endpoint for update").await.unwrap();
    let rotate = [&["endpoint", "rotate-secret", "one", "--json"][..], &WITH_KEY].concat();
    let url = &stage.database.url;

    let (a, b, ()) =
        tokio::join!(CommandOutput::run(url, &rotate), CommandOutput::run(url, &rotate), async {
            stage.until_waiting(2).await;
            blocker.batch_execute("commit").await.unwrap();
        });

    let request = stage.delivered("one").await;
    for secret in [a.json(), b.json()].map(|rotated| rotated["secret"].as_str().unwrap().to_owned()) {
        assert!(verifies(&request, &secret));
    }
}

#[tokio::test]
async fn a_put_that_waits_for_a_deletion_creates_the_endpoint_and_tells_its_secret() {
    for by in [By::Command, By::Api, By::Sql] {
        let stage = Stage::new(&WITH_KEY).await;
        stage.register("one", By::Command).await;
        let deletion = stage.database.connect().await;
        deletion.batch_execute("begin; select postrider.delete_endpoint('one')").await.unwrap();

        let (told, ()) = tokio::join!(stage.register("one", by), async {
            stage.until_waiting(1).await;
            deletion.batch_execute("commit").await.unwrap();
        });

        stage.assert_one_secret("one", &[told]).await;
    }
}

#[tokio::test]
async fn a_transaction_that_has_the_endpoint_and_puts_it_meets_no_deadlock_with_others_who_put_it() {
    for by in [By::Command, By::Api, By::Sql] {
        for first in ["delete_endpoint", "pause_endpoint", "rotate_secret"] {
            let stage = Stage::new(&WITH_KEY).await;
            stage.register("one", By::Sql).await;
            let open = stage.database.connect().await;
            open.batch_execute(&format!("begin; select postrider.{first}('one')")).await.unwrap();

            let (told, put) = tokio::join!(stage.register("one", by), async {
                stage.until_waiting(1).await;
                let put = "select result, new_secret from postrider.put_endpoint('one', $1)";
                let row = open.query_one(put, &[&stage.receiver.url()]).await.unwrap();
                open.batch_execute("commit").await.unwrap();
                Told { result: row.get(0), secret: row.get(1) }
            });

            assert_eq!((told.result.as_str(), told.secret), ("unchanged", None), "{first}, {by:?}");
            assert_eq!(put.secret.is_some(), first == "delete_endpoint", "{first}, {by:?}: {put:?}");
        }
    }
}

#[tokio::test]
async fn a_pause_and_a_put_at_once_are_both_kept() {
    let database = Database::new().await;
    let put = "select postrider.put_endpoint('one', 'https://example.com/', '{a}', max_in_flight => ";
    database.execute(&format!("{put}1)")).await;
    for (first, second) in [
        (format!("{put}2)"), "select postrider.pause_endpoint('one')".to_owned()),
        ("select postrider.pause_endpoint('one')".to_owned(), format!("{put}2)")),
    ] {
        database.execute(&format!("{put}1); select postrider.resume_endpoint('one')")).await;
        let (one, other) = (database.connect().await, database.connect().await);
        one.batch_execute(&format!("begin; {first}")).await.unwrap();

        let (done, ()) = tokio::join!(other.batch_execute(&second), async {
            database.until_somebody_waits_for_a_lock().await;
            one.batch_execute("commit").await.unwrap();
        });

        done.unwrap();
        database
            .assert_row(
                "select state, max_in_flight from postrider.endpoint",
                json!({"state": "paused", "max_in_flight": 2}),
            )
            .await;
    }
}

#[tokio::test]
async fn a_transaction_that_has_put_an_endpoint_or_rotated_its_secret_holds_up_neither_circuit_nor_housekeeping()
 {
    let stage = Stage::new(&["--lease", "2s", "--request-timeout", "1s"]).await;
    stage.register("one", By::Sql).await;
    let url = stage.receiver.url();
    let open = stage.database.connect().await;

    // One that changes nothing holds nothing but the endpoint's row.
    for (is_change, what) in [
        (false, format!("put_endpoint('one', '{url}')")),
        (true, format!("put_endpoint('one', '{url}', max_in_flight => 7)")),
        (true, "rotate_secret('one')".to_owned()),
    ] {
        // The next rows about it are its first: they refer to the endpoint.
        stage
            .database
            .execute("delete from postrider.circuit; delete from postrider.endpoint_stat_hourly")
            .await;
        open.batch_execute(&format!("begin; select postrider.{what}")).await.unwrap();

        stage.receiver.answer_once(500, &[], b"");
        stage.delivered("one").await;
        stage.database.until("select exists (select from postrider.circuit)").await;
        stage.delivered("one").await;
        if !is_change {
            stage
                .database
                .until("select exists (select from postrider.endpoint_stat_hourly where complete > 0)")
                .await;
        }

        open.batch_execute("rollback").await.unwrap();
        stage
            .database
            .execute("select postrider.cancel(event_id) from postrider.delivery where status <> 'complete'")
            .await;
    }
}

fn told(answer: &Value) -> Told {
    Told {
        result: answer["result"].as_str().unwrap().to_owned(),
        secret: answer["secret"].as_str().map(str::to_owned),
    }
}

fn verifies(request: &Received, secret: &str) -> bool {
    Webhook::new(secret).unwrap().verify(&request.body, &request.headers).is_ok()
}
