//! `GET /`: a page for people that trusts nothing it shows.

use crate::support::{Api, Database, Dispatcher, Folder};

const FILES: [(&str, &str); 3] = [
    ("/", "text/html; charset=utf-8"),
    ("/dashboard.css", "text/css; charset=utf-8"),
    ("/dashboard.js", "text/javascript; charset=utf-8"),
];

#[tokio::test]
async fn the_page_is_served_with_a_strict_policy() {
    let database = Database::new().await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    let api = Api::of(&dispatcher).await;

    for (path, kind) in FILES {
        let answered = api.get(path).await;

        assert_eq!((answered.status, answered.content_type.as_str()), (200, kind), "{path}");
        assert_eq!(answered.headers["x-content-type-options"], "nosniff", "{path}");
        let policy = answered.headers["content-security-policy"].to_str().unwrap();
        for part in ["default-src 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains("http"), "{path}: {policy}");
    }
}

#[tokio::test]
async fn the_page_asks_nobody_else_and_makes_no_markup_of_texts() {
    let database = Database::new().await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    let api = Api::of(&dispatcher).await;

    for (path, _) in FILES {
        let text = api.get(path).await.text;

        for foreign in ["http:", "https:", "url(", "@import", "=\"//"] {
            assert!(!text.contains(foreign), "{path}: {foreign}");
        }
        for way in [
            "innerHTML",
            "outerHTML",
            "insertAdjacent",
            "document.write",
            "eval(",
            "style=",
            "onclick",
            "javascript:",
        ] {
            assert!(!text.contains(way), "{path}: {way}");
        }
    }
}

#[tokio::test]
async fn the_page_asks_for_what_there_is() {
    let database = Database::new().await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    let api = Api::of(&dispatcher).await;
    let (page, script) = (api.get("/").await.text, api.get("/dashboard.js").await.text);

    for path in ["/v1/status", "/v1/endpoints?limit=500", "/v1/deliveries?status=failed&limit=20"] {
        assert!(script.contains(path.split('=').next().unwrap()), "{path}");
        assert_eq!(api.get(path).await.status, 200, "{path}");
    }
    for id in script.split("byId(\"").skip(1).chain(script.split("fill(\"").skip(1)) {
        let id = id.split('"').next().unwrap();
        assert!(page.contains(&format!("id=\"{id}\"")), "{id}");
    }
    assert!(["/dashboard.css", "/dashboard.js"].iter().all(|path| page.contains(path)));
}

#[tokio::test]
async fn the_page_shows_blocked_keys_by_fields_that_the_status_has() {
    let database = Database::new().await;
    let dispatcher = Dispatcher::start(&database, &[]).await;
    let api = Api::of(&dispatcher).await;
    let script = api.get("/dashboard.js").await.text;
    let schemas = api.get("/openapi.json").await.json()["components"]["schemas"].clone();

    assert!(script.contains("showBlockedKeys(status.blocked_keys)"));
    assert!(schemas["StatusAnswer"]["properties"]["blocked_keys"].is_object());
    let (_, rest) = script.split_once("function showBlockedKeys(endpoints) {").unwrap();
    let (function, _) = rest.split_once("\n}\n").unwrap();
    let fields: Vec<&str> = function
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.')
        .filter_map(|word| word.strip_prefix("e."))
        .collect();
    assert!(fields.len() >= 6, "{fields:?}");
    for field in fields {
        assert!(schemas["BlockedEndpoint"]["properties"][field].is_object(), "{field}");
    }
}

#[tokio::test]
async fn the_page_needs_no_token_but_what_it_asks_for_does() {
    let (folder, database) = (Folder::new(), Database::new().await);
    let file = folder.write("tokens", "correct-horse-battery-staple");
    let dispatcher = Dispatcher::start(&database, &["--api-token-file", &file]).await;
    let api = Api::of(&dispatcher).await;

    for (path, _) in FILES {
        assert_eq!(api.get(path).await.status, 200, "{path}");
    }
    assert_eq!(api.get("/v1/status").await.status, 401);
}
