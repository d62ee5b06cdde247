//! What a dispatcher may call, seen from the outside: where it has no leave, nobody is called at all. Every
//! URL leads to the canaries.

use serde_json::json;

use crate::support::{Api, Canaries, CommandOutput, Database, Dispatcher, Folder, QUIET, Receiver, command};

#[tokio::test]
async fn without_leave_no_special_address_is_dialled() {
    const LOOPBACK: &str = "127.0.0.1 is not allowed: loopback, 127.0.0.0/8";
    const QUIET_ONE: &str = "127.0.0.66 is not allowed: loopback, 127.0.0.0/8";
    let hosts = [
        ("127.0.0.1", LOOPBACK),
        ("127.1", LOOPBACK),
        ("2130706433", LOOPBACK),
        ("[::ffff:127.0.0.1]", LOOPBACK),
        ("127.0.0.66", QUIET_ONE),
        ("127.66", QUIET_ONE),
        ("2130706498", QUIET_ONE),
        ("0x7f000042", QUIET_ONE),
        ("0177.0.0.0102", QUIET_ONE),
        ("127.0.0.66.", QUIET_ONE),
        ("１２７.0.0.66", QUIET_ONE),
        ("①②⑦.⓪.⓪.⑥⑥", QUIET_ONE),
        ("[::ffff:127.0.0.66]", QUIET_ONE),
        ("[::ffff:7f00:42]", QUIET_ONE),
        ("[::1]", "::1 is not allowed: loopback, ::1/128"),
        ("[::]", ":: is not allowed: unspecified, ::/128"),
        ("0", "0.0.0.0 is not allowed: this network, 0.0.0.0/8"),
        ("0.0.0.0", "0.0.0.0 is not allowed: this network, 0.0.0.0/8"),
    ];
    let hosts_only = hosts.map(|(host, _)| host);

    let errors = errors_of_attempts(&["--allow-http"], &hosts_only).await;

    for ((host, refused), error) in hosts.iter().zip(errors) {
        assert!(error.starts_with(&format!("address {refused}")), "{host}: {error}");
        assert!(error.ends_with(" (--allow-cidr permits it)"), "{host}: {error}");
    }
}

#[tokio::test]
async fn without_leave_a_name_that_leads_to_a_special_address_is_not_dialled() {
    let errors = errors_of_attempts(&["--allow-http"], &["localhost", "LOCALHOST."]).await;

    for error in errors {
        assert!(error.starts_with("address ") && error.contains(" is not allowed: loopback, "), "{error}");
    }
}

#[tokio::test]
async fn leave_for_one_range_is_no_leave_for_another() {
    let leave = ["--allow-http", "--allow-cidr", "127.0.0.2/32,10.255.0.0/16"];

    let errors = errors_of_attempts(&leave, &["127.0.0.66", "127.0.0.1"]).await;

    assert!(errors[0].starts_with(&format!("address {QUIET} is not allowed")), "{errors:?}");
    assert!(errors[1].starts_with("address 127.0.0.1 is not allowed"), "{errors:?}");
}

#[tokio::test]
async fn without_leave_plain_http_is_not_spoken() {
    let errors = errors_of_attempts(&["--allow-cidr", "127.0.0.0/8"], &["127.0.0.66", "localhost"]).await;

    assert_eq!(errors, ["url needs https (--allow-http permits http)"; 2]);
}

#[tokio::test]
async fn a_range_of_ipv4_that_is_written_as_ipv6_is_that_range_wherever_it_is_written() {
    let folder = Folder::new();
    let file = folder.write(
        "postrider.toml",
        "allow_http = true\nallow_cidr = [\"127.0.0.0/8\"]\ndeny_cidr = [\"::ffff:127.9.0.0/112\"]\n",
    );
    let database = Database::new().await;
    let put = [
        "endpoint",
        "put",
        "one",
        "--allow-http",
        "--allow-cidr",
        "127.0.0.0/8",
        "--url",
        "http://127.9.1.1:7600/",
    ];
    let by_flag =
        CommandOutput::run(&database.url, &[&put[..], &["--deny-cidr", "::ffff:127.9.0.0/112"]].concat())
            .await;
    let mut by_variable = command(&put);
    by_variable.env("DATABASE_URL", &database.url).env("POSTRIDER_DENY_CIDR", "::ffff:7f09:0/112");
    let by_variable = CommandOutput::of(by_variable).await;
    let by_file = ["--config", &file, "endpoint", "put", "one", "--url", "http://[::ffff:127.9.1.1]:7600/"];
    let by_file = CommandOutput::run(&database.url, &by_file).await;
    let dispatcher = Dispatcher::start(&database, &["--deny-cidr", "::ffff:127.9.0.0/112"]).await;
    let url = json!({ "url": "http://127.9.1.1:7600/" });
    let by_api = Api::of(&dispatcher).await.send("PUT", "/v1/endpoints/one", &url).await;

    let denied = "address 127.9.1.1 is not allowed: in 127.9.0.0/16 of --deny-cidr";
    for output in [by_flag, by_variable, by_file] {
        assert_eq!(output.code, Some(64), "{output:?}");
        assert!(output.stderr.contains(denied), "{output:?}");
    }
    assert_eq!(by_api.status, 422);
    assert!(by_api.text.contains(denied), "{by_api:?}");
}

#[tokio::test]
async fn more_than_ipv4_that_is_written_as_ipv6_is_refused_in_one_line() {
    for name in ["allow_cidr", "deny_cidr"] {
        let mut run = command(&["run", &format!("--{}", name.replace('_', "-")), "::ffff:10.0.0.0/8"]);
        run.env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/nothing");
        let output = CommandOutput::of(run).await;

        let said = "needs a prefix length of 96 to 128 where IPv4 is written as IPv6; ::ffff:0.0.0.0/96 is all of IPv4";
        assert_eq!(output.complaint(), format!("{name}: {said}, got \"::ffff:10.0.0.0/8\""));
        assert_eq!(output.code, Some(64));
    }
}

#[tokio::test]
async fn a_redirect_to_somebody_else_is_not_followed() {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    let location = canary();
    receiver.answer_once(307, &[("location", &location)], b"");
    database.put_endpoint("one", &receiver.url(), "**", "retry_schedule => '{7d}'").await;
    let _dispatcher = Dispatcher::start(&database, &[]).await;

    database.insert("order.created", "{}").await;
    database.until("select exists (select from postrider.attempt_log where status_code = 307)").await;

    Canaries::get().assert_untouched();
}

#[tokio::test]
async fn proxies_of_the_environment_are_passed_by() {
    let database = Database::new().await;
    let receiver = Receiver::start().await;
    database.put_endpoint("one", &receiver.url(), "**", "").await;
    let proxy = canary();
    let mut run =
        command(&["run", "--allow-http", "--allow-cidr", "127.0.0.0/8", "--api-listen", "127.0.0.1:0"]);
    run.env("DATABASE_URL", &database.url).env_remove("NO_PROXY").env_remove("no_proxy");
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        run.env(name, &proxy).env(name.to_ascii_lowercase(), &proxy);
    }
    let _dispatcher = Dispatcher::of(run);

    database.insert("order.created", "{}").await;
    database.until_settled().await;

    assert_eq!(receiver.count(), 1);
    Canaries::get().assert_untouched();
}

/// A canary that could be called: loopback is allowed to the dispatchers of most tests.
fn canary() -> String {
    format!("http://{QUIET}:{}/", Canaries::get().port)
}

/// What is recorded of an attempt at the canaries by each of these names, by a dispatcher with this leave and no more.
async fn errors_of_attempts(leave: &[&str], hosts: &[&str]) -> Vec<String> {
    let database = Database::new().await;
    for (number, host) in hosts.iter().enumerate() {
        let url = format!("http://{host}:{}/", Canaries::get().port);
        database.put_endpoint(&number.to_string(), &url, "**", "retry_schedule => '{7d}'").await;
    }
    let mut run = command(&["run", "--api-listen", "127.0.0.1:0"]);
    run.args(leave).env("DATABASE_URL", &database.url);
    let _dispatcher = Dispatcher::of(run);
    database.insert("order.created", "{}").await;
    database.until(&format!("select count(*) = {} from postrider.attempt_log", hosts.len())).await;
    let sql = "select error from postrider.attempt_log order by endpoint_id::int";
    Canaries::get().assert_untouched();
    database.rows(sql, &[]).await.iter().map(|row| row.get(0)).collect()
}
