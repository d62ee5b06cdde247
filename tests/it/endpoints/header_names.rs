//! Names of headers that nobody may set: whatever the language of the database, and whatever stands in the tables all the same.

use tokio_postgres::error::SqlState;

use crate::support::{Database, Dispatcher, Receiver, connect, skip};

/// Languages that have other small letters for some ASCII capitals, or more of them.
const LANGUAGES: [&str; 3] = ["tr", "az", "lt"];

#[tokio::test]
async fn a_reserved_name_is_refused_whatever_language_the_database_speaks() {
    for language in LANGUAGES {
        let Some(database) = Database::in_language(language).await else {
            return skip("header_names", "this PostgreSQL has no ICU");
        };
        for name in [
            "TRANSFER-ENCODING",
            "CONNECTION",
            "KEEP-ALIVE",
            "TRAILER",
            "EXPECT",
            "CONTENT-LENGTH",
            "POSTRIDER-ATTEMPT",
            "WEBHOOK-ID",
            "CE-ID",
            "PROXY-CONNECTION",
        ] {
            let headers = format!("{{\"{name}\": \"x\"}}");
            let insert = format!(
                "insert into postrider.outbox (topic, payload, headers) values ('a', '1', '{headers}')"
            );
            let put = format!(
                "select postrider.put_endpoint('one', 'https://example.com/', headers => '{headers}')"
            );

            assert_eq!(
                database.refusal(&insert).await.code(),
                &SqlState::CHECK_VIOLATION,
                "{language} {name}"
            );
            assert_eq!(
                database.refusal(&put).await.code(),
                &SqlState::INVALID_PARAMETER_VALUE,
                "{language} {name}"
            );
        }
        let insert = "insert into postrider.outbox (topic, payload, headers) values ('I.i', '1', '{\"X-IIi\": \"x\"}')";
        database.execute(insert).await;
    }
}

#[tokio::test]
async fn an_event_of_a_database_that_speaks_turkish_arrives() {
    let Some(database) = Database::in_language("tr").await else {
        return skip("header_names", "this PostgreSQL has no ICU");
    };
    let receiver = Receiver::start().await;
    database.put_endpoint("TITLE", &receiver.url().replace("http", "HTTP"), "INFO.**", "").await;
    let dispatcher = Dispatcher::start(&database, &[]).await;

    database.insert("INFO.INIT", "{}").await;
    database.until_settled().await;

    assert_eq!((receiver.count(), database.count("complete").await), (1, 1));
    assert!(dispatcher.terminate().await.success());
}

#[tokio::test]
async fn what_a_role_lacks_in_a_database_that_speaks_turkish_is_named_in_english() {
    let Some(database) = Database::in_language("tr").await else {
        return skip("header_names", "this PostgreSQL has no ICU");
    };
    let nobody = connect(&database.login(None).await).await;

    let lacking = nobody
        .query(include_str!("../../../sql/statements/rights/list_lacking_grants.sql"), &[])
        .await
        .unwrap();

    let lacking: Vec<&str> = lacking.iter().map(|row| row.get(0)).collect();
    assert!(lacking.contains(&"insert on table outbox"), "{lacking:?}");
    assert!(lacking.iter().all(|line| line.is_ascii()), "{lacking:?}");
}

#[tokio::test]
async fn what_stands_in_the_table_all_the_same_is_never_sent_and_costs_no_other_endpoint() {
    let database = Database::new().await;
    let (receiver, good) = (Receiver::start().await, Receiver::start().await);
    let kinds = [
        (r#"{"Transfer-Encoding": "chunked"}"#, "a header has the reserved name \"transfer-encoding\""),
        (r#"{"POSTRIDER-ROLE": "admin"}"#, "a header has the reserved name \"postrider-role\""),
        (r#"{"x y": "z"}"#, "a header needs a name of 1 to 128 letters"),
        (r#"{"x": "y\r\nhost: z"}"#, "a header \"x\" has a value with other characters"),
        (r#"{"x": "HUNTER2", "y": 1}"#, "headers are not an object of texts"),
        (r#"["HUNTER2"]"#, "headers are not an object of texts"),
        (r#""HUNTER2""#, "headers are not an object of texts"),
    ];
    database.execute("alter table postrider.endpoint drop constraint endpoint_headers_check").await;
    database.put_endpoint("good", &good.url(), "**", "").await;
    for (number, (headers, _)) in kinds.iter().enumerate() {
        database.put_endpoint(&number.to_string(), &receiver.url(), "**", "retry_schedule => '{1ms}'").await;
        let update = format!("update postrider.endpoint set headers = '{headers}' where id = '{number}'");
        database.execute(&update).await;
    }
    let dispatcher = Dispatcher::start(&database, &[]).await;

    database.insert("order.created", "{}").await;
    database.until_settled().await;

    assert_eq!((receiver.count(), good.count(), database.count("complete").await), (0, 1, 1));
    for (number, (_, why)) in kinds.iter().enumerate() {
        let sql = format!("select last_error from postrider.delivery_status where endpoint_id = '{number}'");
        let error: String = database.value(&sql).await;
        assert!(error.starts_with(why), "{error}");
    }
    let told = "select string_agg(last_error, '') from postrider.delivery_status";
    let told: String = database.value(told).await;
    assert!(!told.contains("HUNTER2") && !dispatcher.log().contains("HUNTER2"), "{told}");
}

#[tokio::test]
async fn an_event_with_a_reserved_name_in_the_table_fails_and_the_next_arrives() {
    let (database, receiver) = (Database::new().await, Receiver::start().await);
    database.put_endpoint("one", &receiver.url(), "**", "retry_schedule => '{1ms}'").await;
    database.execute("alter table postrider.outbox drop constraint outbox_headers_check").await;
    for headers in [r#"{"Webhook-Signature": "v1,x"}"#, r#"{"CONTENT-LENGTH": "0"}"#, "[]"] {
        let insert =
            format!("insert into postrider.outbox (topic, payload, headers) values ('a', '1', '{headers}')");
        database.execute(&insert).await;
    }
    database.insert("b", "2").await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;

    database.until_settled().await;

    assert_eq!((receiver.count(), database.count("failed").await), (1, 3));
    assert_eq!(receiver.next().await.text(), "2");
}
