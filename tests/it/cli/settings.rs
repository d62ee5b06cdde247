//! Settings: where they come from, in which order, and how wrong ones are refused: exit code 64, before any socket
//! opens, one line for each fault.

use postrider::config::defaults;
use tokio::process::Command;

use crate::support::{CommandOutput, Database, Folder, command};

/// Nobody answers here: a dispatcher that is content with its settings would wait for it.
const NOWHERE: &str = "postgres://nobody@127.0.0.1:1/nothing";

#[tokio::test]
async fn a_wrong_setting_is_refused_by_its_name() {
    for (name, values) in [
        ("max_in_flight", &["0", "10001", "-1", "many", ""][..]),
        ("poll_interval", &["1", "0s", "9ms", "61m", "soon", ""]),
        ("lease", &["60", "999ms", "2h"]),
        ("grace_period", &["20", "2h", "-1s"]),
        ("request_timeout", &["15", "99ms", "6m"]),
        ("wake", &["never", "NOTIFY", ""]),
        ("max_payload", &["", "1", "1MB", "0KiB", "33MiB", "-1MiB", "18446744073709551615MiB"]),
        ("api_listen", &["", ":7678", "127.0.0.1", "localhost:7678", "127.0.0.1:99999", "7678"]),
        ("allow_cidr", &["", "any", "10.0.0.0", "10.0.0.0/33", "localhost", "::1/129"]),
        ("deny_cidr", &["", "10.0.0.0", "10.0.0.0/33"]),
        ("allow_port", &["", "0", "-1", "65536", "https"]),
        ("log", &["postrider=loud", "postrider=info=info"]),
        ("listen_database_url", &["", "mysql://here/x", "nothing"]),
    ] {
        for value in values {
            let flag = format!("--{}={value}", name.replace('_', "-"));

            let output = CommandOutput::run(NOWHERE, &["run", &flag]).await;

            assert_refused(&output, name, value);
        }
    }
}

#[tokio::test]
async fn a_wrong_database_url_is_refused_without_showing_its_password() {
    for url in [
        "mysql://me:hunter2@here/x",
        "postgres://me:hunter2@here:0/x",
        "postgres://me:hun@ter2@here/x",
        "postgres://me:hunter2@here:port/x",
        "postgres://me:hunter2@here/x?sslmode=verify-ca",
        "postgres://me:hunter2@here/x?sslmode=sometimes",
        "postgres://me:hunter2@here/x?no_such_thing=1",
        "password=hunter2 dbname",
        "me:hunter2@here",
    ] {
        let output = CommandOutput::run("", &["status", "--database-url", url]).await;

        assert_refused(&output, "database_url", url);
        assert!(!output.stderr.contains("ter2"), "{url}: {}", output.stderr);
    }
}

#[tokio::test]
async fn a_database_url_that_is_none_is_refused_with_the_form_of_one() {
    for url in ["", "nothing", "5432", "mysql://here/x"] {
        let output = CommandOutput::run("", &["status", "--database-url", url]).await;

        assert_refused(&output, "database_url", url);
        assert!(output.complaint().contains("postgres://user@host/database"), "{url}: {}", output.stderr);
    }
}

#[tokio::test]
async fn a_lease_shorter_than_two_attempts_is_refused() {
    let output = CommandOutput::run(NOWHERE, &["run", "--lease", "19s", "--request-timeout", "10s"]).await;

    assert_refused(&output, "lease", "19s");
    assert!(output.complaint().contains("request_timeout (10s)"), "{}", output.stderr);
}

#[tokio::test]
async fn every_command_that_needs_a_database_asks_for_one() {
    for args in [
        &["run"][..],
        &["migrate"],
        &["migrate", "--check"],
        &["publish", "a"],
        &["status"],
        &["endpoint", "list"],
        &["endpoint", "show", "one"],
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
        &["doctor"],
        &["config", "show"],
    ] {
        let output = CommandOutput::of(command(args)).await;

        assert_refused(&output, "database_url", &format!("{args:?}"));
    }
}

#[tokio::test]
async fn all_faults_of_a_configuration_are_reported_at_once() {
    let folder = Folder::new();
    let file = folder.write("postrider.toml", "leese = \"1m\"\nmax_in_flight = []\n");
    let mut run = command(&[
        "run",
        "--config",
        &file,
        "--poll-interval",
        "1",
        "--allow-cidr",
        "here",
        "--allow-cidr",
        "there",
    ]);
    run.env("POSTRIDER_WAKE", "never").env("POSTRIDER_LOG", "a=b=c");

    let output = CommandOutput::of(run).await;

    assert_eq!(output.code, Some(64), "{}", output.stderr);
    let mut named: Vec<&str> =
        output.complaints().iter().filter_map(|line| line.split_once(": ")).map(|(name, _)| name).collect();
    named.sort_unstable();
    assert_eq!(
        named,
        [
            "allow_cidr",
            "allow_cidr",
            "config",
            "database_url",
            "log",
            "max_in_flight",
            "poll_interval",
            "wake"
        ]
    );
}

#[tokio::test]
async fn an_unknown_setting_in_the_file_is_refused_with_the_known_ones() {
    let folder = Folder::new();
    let file = folder.write("some.toml", "timeout = \"1m\"\n");

    let output = CommandOutput::run(NOWHERE, &["run", "--config", &file]).await;

    assert_refused(&output, "config", "timeout");
    assert!(output.complaint().contains("timeout"), "{}", output.stderr);
    assert!(output.complaint().contains(" lease,"), "{}", output.stderr);
}

#[tokio::test]
async fn a_file_that_is_not_toml_is_refused_without_showing_what_is_in_it() {
    let folder = Folder::new();
    let file = folder.write("some.toml", "database_url = postgres://me:hunter2@here/x\n");

    let output = CommandOutput::run(NOWHERE, &["status", "--config", &file]).await;

    assert_refused(&output, "config", "not TOML");
    assert!(!output.stderr.contains("hunter2"), "{}", output.stderr);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_refused_by_its_path() {
    let folder = Folder::new();
    let missing = folder.path().join("missing.toml").display().to_string();

    let output = CommandOutput::run(NOWHERE, &["run", "--config", &missing]).await;

    assert_refused(&output, "config", "missing");
    assert!(output.complaint().contains(&missing), "{}", output.stderr);
}

#[tokio::test]
async fn a_value_of_the_wrong_kind_in_the_file_is_refused() {
    for (name, line) in [
        ("lease", "lease = true"),
        ("lease", "lease = 60"),
        ("max_in_flight", "max_in_flight = 1.5"),
        ("allow_http", "allow_http = \"yes\""),
        ("no_migrate", "no_migrate = 1"),
        ("allow_cidr", "allow_cidr = 10"),
        ("allow_cidr", "allow_cidr = [10]"),
        ("listen_database_url", "listen_database_url = 5432"),
    ] {
        let folder = Folder::new();
        let file = folder.write("some.toml", line);

        let output = CommandOutput::run(NOWHERE, &["run", "--config", &file]).await;

        assert_refused(&output, name, line);
    }
}

#[tokio::test]
async fn a_flag_comes_before_the_environment_the_file_and_the_default() {
    let got = poll_interval(Some("3"), Some("2"), Some("1")).await;

    assert_eq!(got, Some("3".to_owned()));
}

#[tokio::test]
async fn the_environment_comes_before_the_file_and_the_default() {
    let got = poll_interval(None, Some("2"), Some("1")).await;

    assert_eq!(got, Some("2".to_owned()));
}

#[tokio::test]
async fn the_file_comes_before_the_default() {
    let got = poll_interval(None, None, Some("1")).await;

    assert_eq!(got, Some("1".to_owned()));
}

#[tokio::test]
async fn the_default_serves_when_nothing_is_said() {
    let got = poll_interval(None, None, None).await;

    assert_eq!(got, None);
}

#[tokio::test]
async fn a_database_in_the_environment_comes_before_the_one_in_the_file() {
    let database = Database::new().await;
    let folder = Folder::new();
    let file = folder.write("some.toml", &format!("database_url = \"{NOWHERE}\""));

    for variable in ["POSTRIDER_DATABASE_URL", "DATABASE_URL"] {
        let mut check = command(&["migrate", "--check", "--config", &file]);
        check.env(variable, &database.url);

        let output = CommandOutput::of(check).await;

        assert_eq!(output.code, Some(0), "{variable}: {}", output.stderr);
    }
}

#[tokio::test]
async fn our_own_variable_comes_before_the_common_one() {
    let database = Database::new().await;
    let mut check = command(&["migrate", "--check"]);
    check.env("DATABASE_URL", NOWHERE).env("POSTRIDER_DATABASE_URL", &database.url);

    let output = CommandOutput::of(check).await;

    assert_eq!(output.code, Some(0), "{}", output.stderr);
}

#[tokio::test]
async fn a_switch_that_the_environment_turns_off_is_off_whatever_the_file_says() {
    let folder = Folder::new();
    let file = folder.write("some.toml", "allow_http = true");
    let mut put = command(&["endpoint", "put", "one", "--url", "http://example.com/", "--config", &file]);
    put.env("DATABASE_URL", NOWHERE).env("POSTRIDER_ALLOW_HTTP", "false");

    let output = CommandOutput::of(put).await;

    assert_refused(&output, "url", "http");
}

#[tokio::test]
async fn a_file_named_postrider_toml_is_read_where_the_command_runs() {
    let folder = Folder::new();
    folder.write("postrider.toml", "wake = \"never\"");
    let mut run = command(&["run"]);
    run.current_dir(folder.path()).env("DATABASE_URL", NOWHERE);

    let output = CommandOutput::of(run).await;

    assert_refused(&output, "wake", "never");
}

#[tokio::test]
async fn every_setting_may_stand_in_the_file() {
    let folder = Folder::new();
    let database = Database::new().await;
    let file = folder.write(
        "some.toml",
        &format!(
            "database-url = \"{0}\"\nlisten_database_url = \"{0}\"\nlog = \"info\"\napi_listen = \"127.0.0.1:0\"
             allow_http = true\nallow_cidr = [\"10.0.0.0/8\"]\nmax_in_flight = 10\npoll_interval = \"2s\"\nlease = \"1m\"
             grace_period = \"1s\"\nwake = \"poll\"\nrequest_timeout = \"5s\"\nno_migrate = true\n",
            database.url
        ),
    );

    let output = CommandOutput::of(command(&["migrate", "--check", "--config", &file])).await;

    assert_eq!(output.code, Some(0), "{}", output.stderr);
}

#[tokio::test]
async fn what_is_unknown_on_the_command_line_is_wrong_usage() {
    for args in [&[][..], &["deliver"], &["run", "--fast"], &["run", "now"], &["endpoint"], &["publish"]] {
        let output = CommandOutput::run(NOWHERE, args).await;

        assert_eq!(output.code, Some(64), "{args:?}");
        assert_eq!(output.stdout, "", "{args:?}");
    }
}

#[tokio::test]
async fn asking_for_help_is_no_failure() {
    for args in [&["--help"][..], &["-h"], &["run", "--help"], &["endpoint", "put", "-h"]] {
        let output = CommandOutput::of(command(args)).await;

        assert_eq!((output.code, output.stderr.as_str()), (Some(0), ""), "{args:?}");
        assert!(output.stdout.contains("Usage: postrider"), "{args:?}: {}", output.stdout);
    }
}

#[tokio::test]
async fn the_version_is_the_packages() {
    let output = CommandOutput::of(command(&["--version"])).await;

    assert_eq!(output.stdout, format!("postrider {}\n", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn the_help_of_run_shows_every_default() {
    let output = CommandOutput::of(command(&["run", "--help"])).await;

    for (flag, default) in [
        ("--api-listen", defaults::API_LISTEN),
        ("--max-in-flight", defaults::MAX_IN_FLIGHT),
        ("--poll-interval", defaults::POLL_INTERVAL),
        ("--lease", defaults::LEASE),
        ("--grace-period", defaults::GRACE_PERIOD),
        ("--wake", defaults::WAKE),
        ("--request-timeout", defaults::REQUEST_TIMEOUT),
    ] {
        let (_, text) = output.stdout.split_once(&format!(" {flag} <")).unwrap();
        let (text, _) = text.split_once("[env").unwrap();
        assert!(text.contains(&format!("[default: {default}]")), "{flag}: {text}");
    }
}

/// The poll interval that a dispatcher is given, as far as it complains of it, when it also has reason to complain of
/// something else.
async fn poll_interval(flag: Option<&str>, environment: Option<&str>, file: Option<&str>) -> Option<String> {
    let folder = Folder::new();
    let line = file.map(|value| format!("poll_interval = \"{value}\""));
    let file = folder.write("some.toml", &line.unwrap_or_default());
    let mut run: Command = command(&["run", "--wake", "never", "--config", &file]);
    run.env("DATABASE_URL", NOWHERE);
    if let Some(value) = flag {
        run.args(["--poll-interval", value]);
    }
    if let Some(value) = environment {
        run.env("POSTRIDER_POLL_INTERVAL", value);
    }
    let output = CommandOutput::of(run).await;
    assert_eq!(output.code, Some(64), "{}", output.stderr);
    let complaints = output.complaints();
    let complaint = complaints.iter().find(|line| line.starts_with("poll_interval: "))?;
    let (_, got) = complaint.split_once("got \"").unwrap();
    Some(got.trim_end_matches('"').to_owned())
}

/// It is wrong usage, and the one line about it names the setting.
fn assert_refused(output: &CommandOutput, name: &str, given: &str) {
    assert_eq!(output.code, Some(64), "{given}: {}", output.stderr);
    let complaint = output.complaint();
    let (named, _) = complaint.split_once(':').unwrap();
    assert_eq!(named, name, "{given}: {complaint}");
}
