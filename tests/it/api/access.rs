//! Who may use the API, and how much of it at once.

use serde_json::json;

use crate::support::{Answered, Api, CommandOutput, Database, Dispatcher, Folder, TOKEN, command};

#[tokio::test]
async fn a_request_that_names_another_host_is_refused() {
    let database = Database::new().await;
    let dispatcher = Dispatcher::start(&database, &["--api-host", "postrider.internal"]).await;
    let api = Api::of(&dispatcher).await;

    for (host, status) in [
        ("evil.example", 403),
        ("127.0.0.1.evil.example:7678", 403),
        ("postrider.internal", 200),
        ("localhost:7678", 200),
        ("[::1]:7678", 200),
    ] {
        for path in ["/v1/status", "/metrics", "/openapi.json"] {
            let answered = Answered::to(api.request("GET", path).header("host", host)).await;

            assert_eq!(answered.status, status, "{host} {path}");
        }
    }
}

#[tokio::test]
async fn a_page_of_another_site_can_change_nothing() {
    let database = Database::new().await;
    database.put_endpoint("one", "https://example.com/", "**", "").await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    let address = dispatcher.api().await;
    let api = Api::at(&address);
    let pause = |origin: &str| api.request("POST", "/v1/endpoints/one/pause").header("origin", origin);

    let foreign = Answered::to(pause("http://evil.example")).await;
    let local = Answered::to(pause("http://127.0.0.1:1")).await;
    let ours = Answered::to(pause(&format!("http://{address}"))).await;

    assert_eq!(foreign.refused(), (403, "forbidden".to_owned()));
    assert_eq!(local.refused(), (403, "forbidden".to_owned()));
    assert_eq!(ours.status, 200);
}

#[tokio::test]
async fn a_page_of_another_site_can_ask_for_nothing() {
    let database = Database::new().await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    let api = Api::of(&dispatcher).await;
    let get = |path: &str, site: &str| api.request("GET", path).header("sec-fetch-site", site.to_owned());

    for path in ["/v1/status", "/v1/endpoints", "/metrics", "/openapi.json"] {
        let foreign = Answered::to(get(path, "cross-site")).await;

        assert_eq!(foreign.refused(), (403, "forbidden".to_owned()), "{path}");
        for site in ["same-origin", "none"] {
            assert_eq!(Answered::to(get(path, site)).await.status, 200, "{path} {site}");
        }
    }
    // A link to the page itself is followed.
    assert_eq!(Answered::to(get("/", "cross-site")).await.status, 200);
}

#[tokio::test]
async fn no_answer_is_taken_for_what_it_does_not_say_it_is() {
    let database = Database::new().await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    let api = Api::of(&dispatcher).await;

    for path in ["/", "/dashboard.js", "/healthz", "/readyz", "/metrics", "/v1/status", "/v1/nothing"] {
        assert_eq!(api.get(path).await.headers["x-content-type-options"], "nosniff", "{path}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_say_it_is_json_is_refused() {
    let database = Database::new().await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    let api = Api::of(&dispatcher).await;
    let body = json!({ "payload": 1 }).to_string();

    for kind in ["", "text/plain", "application/x-www-form-urlencoded"] {
        let request =
            api.request("POST", "/v1/topics/a/events").header("content-type", kind).body(body.clone());

        assert_eq!(
            Answered::to(request).await.refused(),
            (415, "unsupported_media_type".to_owned()),
            "{kind}"
        );
    }
}

#[tokio::test]
async fn a_body_of_more_than_a_mebibyte_is_refused() {
    let database = Database::new().await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    let api = Api::of(&dispatcher).await;

    let refused =
        api.send("POST", "/v1/topics/a/events", &json!({ "payload": "x".repeat(1024 * 1024) })).await;

    assert_eq!(refused.refused(), (413, "too_large".to_owned()));
    database.assert_row("select count(*) from postrider.outbox", json!({"count": 0})).await;
}

#[tokio::test]
async fn with_tokens_every_request_needs_one_of_them() {
    let (folder, database) = (Folder::new(), Database::new().await);
    let file = folder.write("tokens", &format!("# ours\n{TOKEN}\n\nanother-token-of-mine\n"));
    let dispatcher = Dispatcher::start(&database, &["--api-token-file", &file]).await;
    let api = Api::of(&dispatcher).await;
    let get = |path: &str, token: &str| api.request("GET", path).header("authorization", token.to_owned());

    for path in ["/v1/status", "/v1/endpoints", "/metrics", "/openapi.json"] {
        let without = api.get(path).await;

        assert_eq!(without.refused(), (401, "unauthorized".to_owned()), "{path}");
        assert_eq!(without.headers["www-authenticate"], "Bearer");
        for wrong in [
            "",
            TOKEN,
            "Bearer ",
            "Bearer correct-horse-battery-stapl",
            "Bearer correct-horse-battery-staplf",
            "Basic x",
        ] {
            assert_eq!(Answered::to(get(path, wrong)).await.status, 401, "{path} {wrong}");
        }
        for right in [TOKEN, "another-token-of-mine"] {
            assert_eq!(Answered::to(get(path, &format!("Bearer {right}"))).await.status, 200, "{path}");
        }
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(api.get(path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_public_address_is_refused_without_a_token_file() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:7678"] {
        let output =
            CommandOutput::run("postgres://nobody@127.0.0.1:1/nothing", &["run", "--api-listen", address])
                .await;

        assert_eq!(output.code, Some(64), "{address}");
        assert_eq!(output.complaint(), "api_listen: is not a loopback address: needs --api-token-file");
    }
}

#[tokio::test]
async fn a_public_address_is_served_with_a_token_file() {
    let (folder, database) = (Folder::new(), Database::new().await);
    let file = folder.write("tokens", TOKEN);

    let mut run = command(&["run", "--api-listen", "0.0.0.0:0", "--api-token-file", &file]);
    run.env("DATABASE_URL", &database.url);

    let dispatcher = Dispatcher::of(run);

    let address = dispatcher.api().await.replace("0.0.0.0", "127.0.0.1");
    let api = Api::at(&address);
    assert_eq!(api.get("/v1/status").await.status, 401);
}

#[tokio::test]
async fn a_token_file_that_holds_no_good_token_is_refused_without_showing_it() {
    let folder = Folder::new();

    for (number, text) in
        ["", "# nothing\n", "short", "hunter2 hunter2 hunter2", "hunter2hunter2hunter2\nhunter2"]
            .iter()
            .enumerate()
    {
        let file = folder.write(&format!("tokens{number}"), text);

        let output =
            CommandOutput::run("postgres://nobody@127.0.0.1:1/nothing", &["run", "--api-token-file", &file])
                .await;

        assert_eq!(output.code, Some(64), "{text}");
        assert!(!output.complaints().is_empty(), "{}", output.stderr);
        for line in output.complaints() {
            assert!(line.starts_with("api_token_file: ") && line.contains("needs "), "{line}");
        }
        assert!(!output.stderr.contains("hunter2"), "{}", output.stderr);
    }
    let missing =
        CommandOutput::run("postgres://nobody@127.0.0.1:1/nothing", &["run", "--api-token-file", "/nowhere"])
            .await;
    assert!(missing.complaint().starts_with("api_token_file: cannot be read"), "{}", missing.stderr);
}

#[tokio::test]
async fn a_token_is_in_no_log() {
    let (folder, database) = (Folder::new(), Database::new().await);
    let file = folder.write("tokens", TOKEN);
    let dispatcher =
        Dispatcher::start(&database, &["--api-token-file", &file, "--log", "trace", "--log-format", "json"])
            .await;
    let api = Api::of(&dispatcher).await;

    let request = api.request("GET", "/v1/status").header("authorization", format!("Bearer {TOKEN}"));
    assert_eq!(Answered::to(request).await.status, 200);

    dispatcher.signal("TERM").await;
    dispatcher.logged("stopped").await;
    assert!(!dispatcher.log().contains(TOKEN));
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_too() {
    let database = Database::new().await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    let api = Api::of(&dispatcher).await;

    let unknown = api.get("/v2/endpoints").await;
    let method = Answered::to(api.request("POST", "/v1/endpoints/one")).await;

    assert_eq!(unknown.refused(), (404, "not_found".to_owned()));
    assert_eq!(method.refused(), (405, "method_not_allowed".to_owned()));
    let allow = method.headers["allow"].to_str().unwrap();
    assert!(["GET", "PUT", "PATCH", "DELETE"].iter().all(|verb| allow.contains(verb)), "{allow}");
}

#[tokio::test]
async fn without_a_database_the_api_says_so_and_lives_on() {
    let database = Database::new().await;
    let dispatcher = Dispatcher::start(&database, &["--lease", "2s", "--request-timeout", "1s"]).await;
    let api = Api::of(&dispatcher).await;
    assert_eq!(api.get("/readyz").await.text, "ready\n");
    database.admit_connections(false).await;
    database.cut_dispatchers().await;

    crate::support::eventually("not ready", || async { api.get("/readyz").await.status == 503 }).await;
    let unavailable = api.get("/v1/status").await;
    let alive = api.get("/healthz").await;
    database.admit_connections(true).await;

    assert_eq!(unavailable.refused(), (503, "unavailable".to_owned()));
    assert_eq!(alive.text, "ok\n");
    crate::support::eventually("ready again", || async { api.get("/readyz").await.status == 200 }).await;
    assert_eq!(api.get("/v1/status").await.status, 200);
}
