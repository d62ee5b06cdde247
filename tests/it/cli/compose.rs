//! `docker-compose.yml`, without docker: each service of ours is run by the binary with its own command and environment, in the
//! order of `depends_on`. Only names of hosts, ports and networks are mapped to this machine.

mod file;

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::{Map, Value};
use tokio_postgres::Client;

use self::file::{read_compose, texts, yaml_of};
use crate::support::{Cluster, CommandOutput, RunningCommand, command, connect, skip};

/// The networks from which docker takes addresses by default.
const DOCKER_NETWORKS: [&str; 3] = ["172.16.0.0/12", "192.168.0.0/16", "10.0.0.0/8"];

/// The file, and what stands for its hosts.
struct Stage {
    services: Map<String, Value>,
    /// `from` in an argument or a variable, and what it is here.
    mapped: Vec<(String, String)>,
    running: BTreeMap<String, RunningCommand>,
    ended: Vec<String>,
}

impl Stage {
    /// A service's command here.
    fn command(&self, service: &str) -> tokio::process::Command {
        let service = &self.services[service];
        let args: Vec<String> = texts(&service["command"]).iter().map(|text| self.map(text)).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut command = command(&args);
        for (name, value) in service["environment"].as_object().unwrap() {
            command.env(name, self.map(value.as_str().unwrap()));
        }
        // Each has a network of its own there, and not here.
        command.env("POSTRIDER_API_LISTEN", "127.0.0.1:0");
        command
    }

    fn map(&self, text: &str) -> String {
        self.mapped.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    }

    /// Brings a service to the state that another one waits for: what it needs first, then itself.
    async fn bring_up(&mut self, service: &str, condition: &str) {
        if service == "postgres" || self.ended.iter().any(|ended| ended == service) {
            return;
        }
        for (needed, how) in self.services[service]["depends_on"].as_object().cloned().unwrap_or_default() {
            Box::pin(self.bring_up(&needed, how["condition"].as_str().unwrap())).await;
        }
        match condition {
            "service_completed_successfully" => {
                let output = CommandOutput::of(self.command(service)).await;
                assert_eq!(output.code, Some(0), "{service}: {}", output.stderr);
                self.ended.push(service.to_owned());
            }
            "service_started" if self.running.contains_key(service) => {}
            "service_started" => {
                let mut running = RunningCommand::start(self.command(service));
                if service == "receiver" {
                    let address = running.line_after("listening on http://").await;
                    self.mapped.push(("receiver:8080".to_owned(), address));
                }
                self.running.insert(service.to_owned(), running);
            }
            other => panic!("{service}: {other}"),
        }
    }
}

#[tokio::test]
async fn every_service_of_the_compose_file_works_and_an_event_is_delivered() {
    let cluster = Cluster::start(&["fsync=off"]);
    let (text, file) = read_compose();
    let services = file["services"].as_object().unwrap().clone();
    let address = host_and_port(&cluster.url);
    let mut mapped = vec![
        ("@postgres/".to_owned(), format!("@{address}/")),
        ("0.0.0.0:8080".to_owned(), "127.0.0.1:0".to_owned()),
    ];
    mapped.extend(DOCKER_NETWORKS.map(|network| (network.to_owned(), "127.0.0.0/8".to_owned())));
    let mut stage = Stage { services: services.clone(), mapped, running: BTreeMap::new(), ended: Vec::new() };
    let client = connect(&cluster.url).await;
    assert_database_is_as_described(&cluster, &client, &services["postgres"]).await;

    // Those that end are waited for; the others go on.
    for service in services.keys() {
        let goes_on = ["run", "receive"]
            .contains(&texts(&services[service]["command"])[..].first().map_or("", String::as_str));
        let condition = if goes_on { "service_started" } else { "service_completed_successfully" };
        stage.bring_up(service, condition).await;
    }
    client.batch_execute(&insert_of_the_comment(&text)).await.unwrap();

    let delivered = stage.running.get_mut("receiver").unwrap().line_after("200 ").await;
    assert!(
        delivered.starts_with("verified evt_") && delivered.ends_with("{\"order_id\": 42}"),
        "{delivered}"
    );
    assert_status_works(&stage, &text).await;
    for (service, running) in stage.running {
        assert!(running.stop("TERM").await.success(), "{service}");
    }
    // What ends is run again by each `docker compose up`.
    for service in ["migrate", "endpoint"] {
        assert!(services.contains_key(service), "{service}");
    }
    cluster.end();
}

#[test]
fn the_compose_file_allows_the_networks_of_docker_and_opens_no_port_to_the_machine() {
    let (text, file) = read_compose();

    for service in ["endpoint", "postrider"] {
        let command = texts(&file["services"][service]["command"]);
        for network in DOCKER_NETWORKS {
            assert!(command.contains(&format!("--allow-cidr={network}")), "{service}: {network}");
        }
    }
    assert!(!text.contains("ports:"));
}

/// The password is the one of the file, and its health check finds the server.
async fn assert_database_is_as_described(cluster: &Cluster, client: &Client, service: &Value) {
    let password = service["environment"]["POSTGRES_PASSWORD"].as_str().unwrap();
    client.batch_execute(&format!("alter role postgres password '{password}'")).await.unwrap();
    let test = texts(&service["healthcheck"]["test"]);
    let (kind, check) = test.split_first().unwrap();
    assert_eq!(kind, "CMD");
    let program = format!("{}/{}", cluster.bin, check[0]);
    if !std::path::Path::new(&program).exists() {
        return skip("the health check of the compose file", "no pg_isready beside this server");
    }
    let port = host_and_port(&cluster.url).split_once(':').unwrap().1.to_owned();
    let status = Command::new(program).args(&check[1..]).args(["-p", &port]).output().unwrap().status;
    assert!(status.success(), "{check:?}");
}

/// `docker compose exec postrider ...`, as the comment at the top has it.
async fn assert_status_works(stage: &Stage, text: &str) {
    let (_, typed) = text.split_once("docker compose exec postrider postrider ").unwrap();
    let typed: Vec<&str> = typed.lines().next().unwrap().trim_end_matches('.').split(' ').collect();
    let mut status = command(&typed);
    let environment = stage.services["postrider"]["environment"].as_object().unwrap();
    status.envs(environment.iter().map(|(name, value)| (name, stage.map(value.as_str().unwrap()))));

    let output = CommandOutput::of(status).await;

    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(output.stdout.contains("example"), "{}", output.stdout);
}

/// The statement that the comment at the top has people type.
fn insert_of_the_comment(text: &str) -> String {
    let begin = text.find("insert into postrider.outbox").unwrap();
    let line = text[begin..].lines().next().unwrap();
    line.strip_suffix('"').unwrap().replace("\\\"", "\"")
}

fn host_and_port(url: &str) -> String {
    let url = url::Url::parse(url).unwrap();
    format!("{}:{}", url.host_str().unwrap(), url.port().unwrap())
}

#[test]
fn the_reader_of_the_compose_file_understands_what_it_reads() {
    let read = yaml_of(
        "a:\n  b: &x\n    c: \"1\"\n  d:\n    <<: *x\n    e: [\"2\", \"3\"]\n    # no\n    f:\n      - g\n      - --h=i\n",
    );

    let expected =
        serde_json::json!({"a": {"b": {"c": "1"}, "d": {"c": "1", "e": ["2", "3"], "f": ["g", "--h=i"]}}});
    assert_eq!(read, expected);
}
