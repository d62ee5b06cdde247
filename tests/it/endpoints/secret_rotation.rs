//! `postrider.rotate_secret`, as SQL users call it, and what receivers see of it.

use serde_json::json;
use standardwebhooks::Webhook;
use tokio_postgres::error::SqlState;

use crate::support::{Database, Received, SECRET, one_endpoint};

const NEW: &str = "whsec_bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3";

#[tokio::test]
async fn during_the_overlap_the_old_and_the_new_secret_verify() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;

    let new: String = database.value("select new_secret from postrider.rotate_secret('one')").await;
    database.insert("order.created", "{}").await;
    let request = receiver.next().await;

    assert_eq!(request.header("webhook-signature").split(' ').count(), 2);
    assert!(verifies(&request, SECRET) && verifies(&request, &new));
}

#[tokio::test]
async fn the_first_signature_is_that_of_the_new_secret() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;

    database.execute(&format!("select postrider.rotate_secret('one', '{NEW}')")).await;
    database.insert("order.created", "{}").await;
    let request = receiver.next().await;

    let mut first = request.clone();
    let (signature, _) = request.header("webhook-signature").split_once(' ').unwrap();
    first.headers.insert("webhook-signature", signature.parse().unwrap());
    assert!(verifies(&first, NEW) && !verifies(&first, SECRET));
}

#[tokio::test]
async fn without_an_overlap_only_the_new_secret_verifies() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;

    database.execute(&format!("select postrider.rotate_secret('one', '{NEW}', '0')")).await;
    database.insert("order.created", "{}").await;
    let request = receiver.next().await;

    assert!(verifies(&request, NEW) && !verifies(&request, SECRET));
    database.assert_row("select count(*) from postrider.old_secret", json!({"count": 0})).await;
}

#[tokio::test]
async fn without_an_overlap_no_secret_of_an_earlier_rotation_verifies() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    database.execute("select postrider.rotate_secret('one')").await;

    database.execute(&format!("select postrider.rotate_secret('one', '{NEW}', '0')")).await;
    database.insert("order.created", "{}").await;
    let request = receiver.next().await;

    assert!(verifies(&request, NEW) && !verifies(&request, SECRET));
}

#[tokio::test]
async fn after_the_overlap_only_the_new_secret_verifies() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    database.execute(&format!("select postrider.rotate_secret('one', '{NEW}', '1 second')")).await;
    database.insert("order.created", "1").await;
    let during = receiver.next().await;
    database
        .until("select coalesce(max(valid_until) < clock_timestamp() - interval '100 ms', true) from postrider.old_secret")
        .await;

    database.insert("order.created", "2").await;
    let after = receiver.next().await;

    assert!(verifies(&during, NEW));
    assert!(verifies(&after, NEW) && !verifies(&after, SECRET));
}

#[tokio::test]
async fn a_dispatcher_that_starts_during_the_overlap_signs_with_both() {
    let (database, receiver, first) = one_endpoint("", &[]).await;
    database.execute(&format!("select postrider.rotate_secret('one', '{NEW}')")).await;
    assert!(first.terminate().await.success());

    let _second = crate::support::Dispatcher::start(&database, &[]).await;
    database.insert("order.created", "{}").await;
    let request = receiver.next().await;

    assert!(verifies(&request, SECRET) && verifies(&request, NEW));
}

#[tokio::test]
async fn a_secret_that_is_put_ends_the_overlap() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    database.execute("select postrider.rotate_secret('one')").await;

    database
        .execute(&format!("select postrider.put_endpoint('one', '{}', secret => '{NEW}')", receiver.url()))
        .await;
    database.insert("order.created", "{}").await;
    let request = receiver.next().await;

    assert!(verifies(&request, NEW) && !verifies(&request, SECRET));
}

#[tokio::test]
async fn an_endpoint_that_is_put_without_a_secret_keeps_its_overlap() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    database.execute(&format!("select postrider.rotate_secret('one', '{NEW}')")).await;

    database
        .execute(&format!("select postrider.put_endpoint('one', '{}', max_in_flight => 2)", receiver.url()))
        .await;
    database.insert("order.created", "{}").await;
    let request = receiver.next().await;

    assert!(verifies(&request, SECRET) && verifies(&request, NEW));
}

#[tokio::test]
async fn the_last_four_of_many_old_secrets_sign_beside_the_new_one() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    let mut secrets = vec![SECRET.to_owned()];

    for _ in 0..6 {
        secrets.push(database.value("select new_secret from postrider.rotate_secret('one')").await);
    }
    database.insert("order.created", "{}").await;
    let request = receiver.next().await;

    let verifying: Vec<bool> = secrets.iter().map(|secret| verifies(&request, secret)).collect();
    assert_eq!(verifying, [false, false, true, true, true, true, true]);
}

#[tokio::test]
async fn rotating_back_to_an_old_secret_makes_it_the_new_one() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;
    database.execute(&format!("select postrider.rotate_secret('one', '{NEW}')")).await;

    database.execute(&format!("select postrider.rotate_secret('one', '{SECRET}')")).await;
    database.insert("order.created", "{}").await;
    let request = receiver.next().await;

    assert_eq!(request.header("webhook-signature").split(' ').count(), 2);
    assert!(verifies(&request, SECRET) && verifies(&request, NEW));
    database.assert_row("select secret from postrider.endpoint", json!({"secret": SECRET})).await;
}

#[tokio::test]
async fn rotating_to_the_same_secret_signs_once() {
    let (database, receiver, _dispatcher) = one_endpoint("", &[]).await;

    database.execute(&format!("select postrider.rotate_secret('one', '{SECRET}')")).await;
    database.insert("order.created", "{}").await;
    let request = receiver.next().await;

    request.verify();
    assert_eq!(request.header("webhook-signature").split(' ').count(), 1);
}

#[tokio::test]
async fn a_rotation_says_until_when_the_old_secret_signs() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;

    let is_right = database
        .is("select endpoint_id = 'one' and old_valid_until between now() + interval '2 hours' and now() + interval '2 hours 1 minute'
             from postrider.rotate_secret('one', overlap => '2 hours')")
        .await;

    assert!(is_right);
}

#[tokio::test]
async fn an_invalid_argument_of_rotate_secret_is_an_error_that_does_not_repeat_it() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;

    for (name, argument) in [
        ("secret", "secret => 'hunter2'"),
        ("overlap", "overlap => null"),
        ("overlap", "overlap => '-1 second'"),
        ("overlap", "overlap => '31 days'"),
    ] {
        let fault = database.refusal(&format!("select postrider.rotate_secret('one', {argument})")).await;

        assert_eq!(fault.code(), &SqlState::INVALID_PARAMETER_VALUE, "{argument}");
        assert!(fault.detail().unwrap().starts_with(&format!("Allowed is {name}: ")), "{argument}");
        assert!(!format!("{fault:?}").contains("hunter2"), "{fault:?}");
    }
}

fn verifies(request: &Received, secret: &str) -> bool {
    Webhook::new(secret).unwrap().verify(&request.body, &request.headers).is_ok()
}
