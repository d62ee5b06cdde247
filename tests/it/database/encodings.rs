//! A database whose encoding is not UTF-8, and bytes in it that UTF-8 does not have: each costs its own event or endpoint, and
//! nothing and nobody else.

use std::collections::BTreeSet;

use crate::cli::doctor::{doctor, found};
use crate::support::{Api, CommandOutput, Database, Dispatcher, Receiver};

/// An encoding, and how a text of it is written that UTF-8 does not have.
const KINDS: [(&str, &str); 3] =
    [("SQL_ASCII", r"\xe9"), ("WIN1252", r"\x81"), ("EUC_JP", r"\x8ea1\xfe\xfe")];

#[tokio::test]
async fn a_text_that_utf_8_does_not_have_costs_its_own_row_and_no_other() {
    for (encoding, bad) in KINDS {
        let Some(database) = Database::encoded(encoding).await else { continue };
        // As the producer of such a database writes it.
        let producer = database.connect().await;
        producer.batch_execute(&format!("set client_encoding = '{encoding}'")).await.unwrap();
        if producer.batch_execute(&format!("select E'{bad}'")).await.is_err() {
            continue; // Nobody can write it here.
        }
        let receiver = Receiver::start().await;
        database.put_endpoint("one", &receiver.url(), "**", "").await;
        database.put_endpoint("two", &receiver.url(), "two.**", "").await;
        let dispatcher = Dispatcher::start(&database, &["--wake", "poll", "--poll-interval", "100ms"]).await;
        producer
            .batch_execute(&format!("update postrider.endpoint set url = url || E'/{bad}' where id = 'two'"))
            .await
            .unwrap();
        producer
            .batch_execute(&format!("update postrider.endpoint set description = E'{bad}' where id = 'one'"))
            .await
            .unwrap();

        for (columns, values) in [
            ("payload", format!("(E'\"{bad}\"')::json")),
            ("payload", format!("(E'\"{bad}' || repeat('x', 9000) || '\"')::json")),
            ("payload, key", format!("'1', E'{bad}'")),
            ("payload, destination", format!("'1', E'{bad}'")),
            ("payload, idempotency_key", format!("'1', E'{bad}'")),
        ] {
            let insert =
                format!("insert into postrider.outbox (topic, {columns}) values ('bad.one', {values})");
            producer.batch_execute(&insert).await.unwrap();
            database.insert("good.one", "1").await;
        }
        let good =
            "select count(*) = 5 from postrider.outbox where topic = 'good.one' and status = 'complete'";
        database.until(good).await;
        database.until("select count(*) = 2 from postrider.refused where stage = 'route'").await;

        let api = Api::of(&dispatcher).await;
        for path in ["/v1/endpoints", "/v1/deliveries", "/v1/events/1", "/v1/events/5", "/v1/status"] {
            assert_eq!(api.get(path).await.status, 200, "{encoding} {path}");
        }
        for args in [&["status"][..], &["endpoint", "list"], &["delivery", "list"], &["event", "show", "5"]] {
            let output = CommandOutput::run(&database.url, args).await;
            assert_eq!(output.code, Some(0), "{encoding} {args:?}: {}", output.stderr);
        }
        assert_eq!(found(&doctor(&database.url, &[]).await, "encoding")["result"], "warn");
        let reasons: Vec<String> = database
            .rows("select reason from postrider.refused", &[])
            .await
            .iter()
            .map(|row| row.get(0))
            .collect();
        let reasons: BTreeSet<String> = reasons.into_iter().collect();
        assert_eq!(reasons.len(), 1, "{reasons:?}");
    }
}
