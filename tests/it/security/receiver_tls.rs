//! TLS of receivers: always verified, and never gone around.

use crate::support::{Authority, Database, Dispatcher, Tls, TlsReceiver, command};

#[tokio::test]
async fn a_receiver_with_a_trusted_certificate_receives() {
    let (receiver, error) = attempt(Tls::Fine).await;

    assert_eq!((receiver.requests(), error), (1, None));
}

#[tokio::test]
async fn a_certificate_that_proves_nothing_is_refused_and_nothing_is_sent() {
    for (tls, why) in [
        (Tls::Expired, "certificate expired"),
        (Tls::WrongName, "not valid for name"),
        (Tls::SelfSigned, "invalid peer certificate"),
    ] {
        let (receiver, error) = attempt(tls).await;

        let error = error.unwrap();
        assert!(error.starts_with("connect: ") && error.contains(why), "{tls:?}: {error}");
        assert_eq!(receiver.requests(), 0, "{tls:?}");
    }
}

#[tokio::test]
async fn a_receiver_that_wants_a_certificate_of_ours_is_a_failed_attempt() {
    let (receiver, error) = attempt(Tls::WantsCertificate).await;

    let error = error.unwrap();
    // By TLS 1.3 we are done with the handshake before it says so; it may hang up before we have begun to write.
    assert!(error.contains("ertificate") || error == "request: connection was not ready", "{error}");
    assert_eq!(receiver.requests(), 0);
}

#[tokio::test]
async fn a_handshake_that_stalls_fails_at_the_deadline() {
    let (_receiver, error) = attempt(Tls::Stalls).await;

    assert_eq!(error.as_deref(), Some("timeout: no answer within 1s"));
}

#[tokio::test]
async fn a_receiver_without_tls_is_sent_nothing_in_the_clear() {
    let (receiver, error) = attempt(Tls::Plain).await;

    assert!(error.unwrap().starts_with("connect: "));
    assert_eq!(receiver.requests(), 0);
}

#[tokio::test]
async fn an_endpoint_may_bring_its_own_authority() {
    let (receiver, error) =
        attempt_with(Tls::Fine, |ours, _| format!("ca_certificates => '{}'", ours.pem())).await;

    assert_eq!((receiver.requests(), error), (1, None));
}

#[tokio::test]
async fn the_authority_of_an_endpoint_is_the_only_one_for_it() {
    let (receiver, error) =
        attempt_with(Tls::Fine, |_, another| format!("ca_certificates => '{}'", another.pem())).await;

    let error = error.unwrap();
    assert!(error.starts_with("connect: ") && error.contains("certificate"), "{error}");
    assert_eq!(receiver.requests(), 0);
}

#[tokio::test]
async fn an_endpoint_is_shown_the_certificate_that_it_wants() {
    let (receiver, error) = attempt_with(Tls::WantsCertificate, |ours, _| {
        format!("ca_certificates => '{}', client_certificate => '{}'", ours.pem(), ours.client_pem())
    })
    .await;

    assert_eq!((receiver.requests(), error), (1, None));
}

#[tokio::test]
async fn a_certificate_of_an_authority_that_the_endpoint_does_not_know_is_a_failed_attempt() {
    let (receiver, error) = attempt_with(Tls::WantsCertificate, |ours, another| {
        format!("ca_certificates => '{}', client_certificate => '{}'", ours.pem(), another.client_pem())
    })
    .await;

    assert!(error.is_some());
    assert_eq!(receiver.requests(), 0);
}

#[tokio::test]
async fn pem_that_is_none_is_a_failed_attempt_that_says_so() {
    let pem = "-----BEGIN CERTIFICATE-----\nhush\n-----END CERTIFICATE-----\n";
    for (argument, named) in
        [("ca_certificates", "ca_certificates"), ("client_certificate", "client_certificate")]
    {
        let (receiver, error) = attempt_with(Tls::Fine, |_, _| format!("{argument} => '{pem}'")).await;

        let error = error.unwrap();
        assert!((error.contains(named) || error.starts_with("tls: ")) && !error.contains("hush"), "{error}");
        assert_eq!(receiver.requests(), 0);
    }
}

/// The error of one attempt on a receiver whose authority only the endpoint knows, by arguments that are made of that one
/// and of another.
async fn attempt_with(
    tls: Tls,
    arguments: impl FnOnce(&Authority, &Authority) -> String,
) -> (TlsReceiver, Option<String>) {
    let database = Database::new().await;
    let (authority, another) = (Authority::new(), Authority::new());
    let receiver = TlsReceiver::start(&authority, tls).await;
    let more = format!("retry_schedule => '{{7d}}', {}", arguments(&authority, &another));
    database.put_endpoint("one", &receiver.url(), "**", &more).await;
    let _dispatcher = Dispatcher::start(&database, &["--allow-cidr", "127.0.0.0/8,::1/128"]).await;

    database.insert("order.created", "{}").await;
    database.until("select exists (select from postrider.attempt_log)").await;

    (receiver, database.value("select error from postrider.attempt_log").await)
}

/// The error of one attempt on a receiver whose authority is trusted.
async fn attempt(tls: Tls) -> (TlsReceiver, Option<String>) {
    let database = Database::new().await;
    let authority = Authority::new();
    let receiver = TlsReceiver::start(&authority, tls).await;
    database.put_endpoint("one", &receiver.url(), "**", "retry_schedule => '{7d}'").await;
    let mut run = command(&["run", "--allow-cidr", "127.0.0.0/8,::1/128", "--api-listen", "127.0.0.1:0"]);
    run.args(["--request-timeout", "1s", "--lease", "10s"]);
    run.env("DATABASE_URL", &database.url).env("SSL_CERT_FILE", authority.file()).env_remove("SSL_CERT_DIR");
    let _dispatcher = Dispatcher::of(run);

    database.insert("order.created", "{}").await;
    database.until("select exists (select from postrider.attempt_log)").await;

    (receiver, database.value("select error from postrider.attempt_log").await)
}
