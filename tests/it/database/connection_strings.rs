//! Connection strings: what they, the service file, the environment and the password file add up to, and how a
//! connection is had from it.

use std::time::Duration;

use postrider::store::{DatabaseUrl, Environment, Session};
use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, Host, LoadBalanceHosts, SslMode, TargetSessionAttrs};

use crate::support::{CommandOutput, Encrypted, Folder};

#[test]
fn every_option_reaches_the_driver_in_its_own_units() {
    type Reaches = fn(&Config) -> bool;
    let options: [(&str, &str, Reaches); 22] = [
        ("host", "db", |c| c.get_hosts() == [Host::Tcp("db".to_owned())]),
        ("host", "/run/db", |c| c.get_hosts() == [Host::Unix("/run/db".into())]),
        ("hostaddr", "10.0.0.1", |c| c.get_hostaddrs() == ["10.0.0.1".parse::<std::net::IpAddr>().unwrap()]),
        ("port", "5433", |c| c.get_ports() == [5433]),
        ("dbname", "shop", |c| c.get_dbname() == Some("shop")),
        ("user", "me", |c| c.get_user() == Some("me")),
        ("password", "p@ss", |c| c.get_password() == Some(b"p@ss")),
        ("options", "-c geqo=off", |c| c.get_options() == Some("-c geqo=off")),
        ("application_name", "shop", |c| c.get_application_name() == Some("shop command")),
        ("connect_timeout", "20", |c| c.get_connect_timeout() == Some(&Duration::from_secs(20))),
        ("connect_timeout", "0", |c| c.get_connect_timeout() == Some(&Duration::from_secs(5))),
        ("tcp_user_timeout", "10000", |c| c.get_tcp_user_timeout() == Some(&Duration::from_secs(10))),
        ("keepalives", "0", |c| !c.get_keepalives()),
        ("keepalives_idle", "60", |c| c.get_keepalives_idle() == Duration::from_mins(1)),
        ("keepalives_interval", "7", |c| c.get_keepalives_interval() == Some(Duration::from_secs(7))),
        ("keepalives_count", "9", |c| c.get_keepalives_retries() == Some(9)),
        ("sslmode", "require", |c| c.get_ssl_mode() == SslMode::Require),
        ("channel_binding", "require", |c| c.get_channel_binding() == ChannelBinding::Require),
        ("target_session_attrs", "read-write", |c| {
            c.get_target_session_attrs() == TargetSessionAttrs::ReadWrite
        }),
        ("load_balance_hosts", "random", |c| c.get_load_balance_hosts() == LoadBalanceHosts::Random),
        ("client_encoding", "UTF8", |c| c.get_hosts().len() == 1),
        ("gssencmode", "prefer", |c| c.get_hosts().len() == 1),
    ];
    for (name, value, reaches) in options {
        for text in
            [format!("postgres://?{name}={}", value.replace('@', "%40")), format!("{name} = '{value}'")]
        {
            assert!(reaches(&config(&text, &[])), "{text}");
        }
    }
}

#[test]
fn what_nobody_says_has_our_deadlines() {
    let config = config("postgres://me@db", &[]);

    assert_eq!(config.get_connect_timeout(), Some(&Duration::from_secs(5)));
    assert_eq!(config.get_tcp_user_timeout(), Some(&Duration::from_secs(30)));
    assert_eq!(config.get_keepalives_idle(), Duration::from_secs(10));
    assert_eq!(config.get_keepalives_interval(), Some(Duration::from_secs(5)));
    assert_eq!(config.get_keepalives_retries(), Some(3));
    assert_eq!(config.get_ssl_mode(), SslMode::Prefer);
    assert_eq!(config.get_ports(), [5432]);
}

#[test]
fn a_value_that_an_option_cannot_have_is_refused_by_its_name() {
    for (name, value) in [
        ("connect_timeout", "5s"),
        ("tcp_user_timeout", "-1"),
        ("keepalives", "on"),
        ("keepalives_count", "many"),
        ("sslmode", "sometimes"),
        ("sslmode", ""),
        ("channel_binding", "yes"),
        ("target_session_attrs", "prefer-standby"),
        ("load_balance_hosts", "round"),
        ("client_encoding", "latin1"),
        ("gssencmode", "require"),
        ("hostaddr", "db"),
        ("sslrootcert", "/nowhere/root.crt"),
        ("sslrootcert", "/dev/null"),
        ("sslcert", "/nowhere/client.crt"),
        ("sslkey", "/nowhere/client.key"),
        ("sslcrl", "x"),
    ] {
        let fault = refused(&format!("host=db user=me {name}='{value}'"), &[]);

        assert!(fault.contains(name) && fault.len() < 600, "{name}={value}: {fault}");
    }
}

#[test]
fn the_systems_authorities_are_not_asked_less_than_everything() {
    for mode in ["disable", "prefer", "require", "verify-ca"] {
        let fault = refused(&format!("host=db sslmode={mode} sslrootcert=system"), &[]);

        assert_eq!(fault, "sslrootcert=system needs sslmode=verify-full");
    }
    let fault = refused("host=db sslmode=verify-ca", &[]);
    assert!(fault.contains("verify-ca needs sslrootcert=FILE"), "{fault}");
}

#[tokio::test]
async fn a_key_that_others_may_read_is_refused() {
    let server = Encrypted::server().await;
    let folder = Folder::new();
    let key = folder.write("client.key", &std::fs::read_to_string(server.file("client.key")).unwrap());
    set_mode(&key, 0o644);

    let fault = refused(&format!("host=db sslcert={} sslkey={key}", server.file("client.crt")), &[]);

    assert!(fault.starts_with(&format!("sslkey: others may read {key}; chmod 6")), "{fault}");
}

#[test]
fn the_connection_string_comes_before_the_service_the_environment_and_the_default() {
    let folder = Folder::new();
    let file = folder.write("services", "[shop]\nhost=of-service\nuser=of-service\nport=2\n");
    let environment = [
        ("PGSERVICEFILE", file.as_str()),
        ("PGSERVICE", "shop"),
        ("PGHOST", "of-environment"),
        ("PGUSER", "of-environment"),
        ("PGDATABASE", "of-environment"),
    ];

    let config = config("host=of-string", &environment);

    assert_eq!(config.get_hosts(), [Host::Tcp("of-string".to_owned())]);
    assert_eq!(config.get_user(), Some("of-service"));
    assert_eq!(config.get_dbname(), Some("of-environment"));
    assert_eq!(config.get_ports(), [2]);
    assert_eq!(config.get_ssl_mode(), SslMode::Prefer);
}

#[test]
fn a_variable_of_the_environment_stands_for_its_option() {
    type Reaches = fn(&Config) -> bool;
    let variables: [(&str, &str, Reaches); 11] = [
        ("PGHOSTADDR", "127.0.0.2", |c| c.get_hostaddrs().len() == 1),
        ("PGPORT", "5433", |c| c.get_ports() == [5433]),
        ("PGPASSWORD", "p@ss", |c| c.get_password() == Some(b"p@ss")),
        ("PGSSLMODE", "require", |c| c.get_ssl_mode() == SslMode::Require),
        ("PGCHANNELBINDING", "disable", |c| c.get_channel_binding() == ChannelBinding::Disable),
        ("PGCONNECT_TIMEOUT", "7", |c| c.get_connect_timeout() == Some(&Duration::from_secs(7))),
        ("PGTARGETSESSIONATTRS", "read-only", |c| {
            c.get_target_session_attrs() == TargetSessionAttrs::ReadOnly
        }),
        ("PGOPTIONS", "-c geqo=off", |c| c.get_options() == Some("-c geqo=off")),
        ("PGAPPNAME", "shop", |c| c.get_application_name() == Some("shop command")),
        ("PGLOADBALANCEHOSTS", "random", |c| c.get_load_balance_hosts() == LoadBalanceHosts::Random),
        ("USER", "somebody", |c| c.get_user() == Some("somebody")),
    ];
    for (variable, value, reaches) in variables {
        assert!(reaches(&config("postgres://", &[(variable, value)])), "{variable}");
    }
    for variable in ["PGSSLROOTCERT", "PGSSLCERT"] {
        let fault = refused("postgres://db", &[(variable, "/nowhere")]);

        assert!(fault.contains("/nowhere"), "{variable}: {fault}");
    }
}

#[test]
fn a_service_that_is_nowhere_is_named() {
    let folder = Folder::new();
    let file = folder.write("services", "[shop]\nhost=db\nhots=db\n");

    let missing = refused("service=office", &[("PGSERVICEFILE", &file)]);
    let wrong = refused("service=shop", &[("PGSERVICEFILE", &file)]);

    assert!(missing.starts_with("service \"office\" is in no service file"), "{missing}");
    assert!(wrong.contains("services, line 3: option \"hots\" is not supported"), "{wrong}");
}

#[test]
fn a_service_is_looked_for_in_the_users_file_and_then_in_the_systems() {
    let (home, system) = (Folder::new(), Folder::new());
    home.write(".pg_service.conf", "[mine]\nhost=of-user\n[both]\nhost=of-user\n");
    system.write("pg_service.conf", "[both]\nhost=of-system\n[theirs]\nhost=of-system\n");
    let environment =
        [("HOME", home.path().to_str().unwrap()), ("PGSYSCONFDIR", system.path().to_str().unwrap())];

    for (service, host) in [("mine", "of-user"), ("both", "of-user"), ("theirs", "of-system")] {
        let config = config(&format!("postgres://?service={service}"), &environment);

        assert_eq!(config.get_hosts(), [Host::Tcp(host.to_owned())], "{service}");
    }
}

#[test]
fn each_host_has_the_password_that_the_password_file_has_for_it() {
    let home = Folder::new();
    set_mode(&home.write(".pgpass", "one:*:*:me:first\ntwo:5433:shop:me:second\n"), 0o600);

    let configs = configs("postgres://me@one,two:5433,three/shop", &[("HOME", path(&home))]);

    let passwords: Vec<_> = configs.iter().map(Config::get_password).collect();
    assert_eq!(passwords, [Some(&b"first"[..]), Some(b"second"), None]);
}

#[test]
fn a_password_that_is_given_comes_before_the_password_file() {
    let home = Folder::new();
    set_mode(&home.write(".pgpass", "*:*:*:*:of-file\n"), 0o600);
    let environment = [("HOME", path(&home)), ("PGPASSWORD", "of-environment")];

    assert_eq!(config("postgres://me:of-url@db", &environment).get_password(), Some(&b"of-url"[..]));
    assert_eq!(config("postgres://me@db", &environment).get_password(), Some(&b"of-environment"[..]));
    assert_eq!(config("postgres://me@db", &environment[..1]).get_password(), Some(&b"of-file"[..]));
}

#[test]
fn a_password_file_that_others_may_read_is_passed_over_with_a_warning() {
    let folder = Folder::new();
    let file = folder.write("passwords", "*:*:*:*:hunter2\n");
    for mode in [0o640, 0o604, 0o644] {
        set_mode(&file, mode);

        let url = parse(&format!("postgres://me@localhost?passfile={file}"), &[]);

        assert_eq!(url.configs(Session::Command)[0].get_password(), None, "{mode:o}");
        let warning = format!("password file {file} is ignored: others may read it; chmod 600 it");
        assert_eq!(url.warnings(), [warning], "{mode:o}");
    }
}

#[test]
fn a_connection_that_may_be_read_on_its_way_is_warned_about() {
    for (text, host) in [
        ("postgres://db.example", Some("db.example")),
        ("postgres://db.example?sslmode=disable", Some("db.example")),
        ("postgres://db.example?sslmode=allow", Some("db.example")),
        ("postgres://localhost,10.0.0.1", Some("10.0.0.1")),
        ("postgres://localhost?hostaddr=10.0.0.1", Some("localhost")),
        ("postgres://db.example?sslmode=require", None),
        ("postgres://localhost", None),
        ("postgres://127.0.0.9", None),
        ("postgres://[::1]", None),
        ("postgres://%2Fvar%2Frun", None),
        ("postgres://db?hostaddr=127.0.0.1", None),
    ] {
        let url = parse(text, &[]);

        match (url.warnings(), host) {
            ([], None) => {}
            ([line], Some(host)) => {
                assert!(line.contains(&format!("connection to {host} ")), "{text}: {line}");
                assert!(line.contains("sslmode=verify-full"), "{text}: {line}");
            }
            (warnings, _) => panic!("{text}: {warnings:?}"),
        }
    }
}

#[tokio::test]
async fn a_warning_is_said_once_for_both_connections() {
    let more = ["--listen-database-url", "postgres://me:hunter2@db.invalid/shop", "--wake", "never"];

    let output =
        CommandOutput::run("postgres://me:hunter2@db.invalid/shop", &[&["run"], &more[..]].concat()).await;

    assert_eq!(output.stderr.matches("the connection to db.invalid may go unencrypted").count(), 1);
    assert!(!output.stderr.contains("hunter2"), "{}", output.stderr);
}

#[test]
fn what_is_shown_of_a_connection_string_leads_psql_there() {
    for (text, shown) in [
        ("postgres://me:hunter2@db/shop", "postgres://me@db:5432/shop"),
        ("host=a,::1 port=1,2 user='m e' password=x dbname=s/p", "postgres://m%20e@a:1,[::1]:2/s%2Fp"),
        ("postgres://me@%2Ftmp/shop", "postgres://me@%2Ftmp:5432/shop"),
        (
            "postgres://me:hunter2@db/shop?sslmode=require&connect_timeout=3",
            "postgres://me@db:5432/shop?connect_timeout=3&sslmode=require",
        ),
    ] {
        let url = parse(text, &[]);

        assert_eq!(url.without_password(), shown);
        assert!(!format!("{url:?}").contains("hunter2"), "{url:?}");
    }
}

fn parse(text: &str, environment: &[(&str, &str)]) -> DatabaseUrl {
    DatabaseUrl::parse(text, &variables(environment)).unwrap_or_else(|fault| panic!("{text}: {fault}"))
}

fn refused(text: &str, environment: &[(&str, &str)]) -> String {
    DatabaseUrl::parse(text, &variables(environment)).expect_err(text).to_string()
}

fn configs(text: &str, environment: &[(&str, &str)]) -> Vec<Config> {
    parse(text, environment).configs(Session::Command)
}

fn config(text: &str, environment: &[(&str, &str)]) -> Config {
    configs(text, environment).swap_remove(0)
}

fn variables(pairs: &[(&str, &str)]) -> Environment {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn path(folder: &Folder) -> &str {
    folder.path().to_str().unwrap()
}

fn set_mode(path: &str, mode: u32) {
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
}
