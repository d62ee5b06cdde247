//! The API describes itself, and the description in the repository is the one that is served.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{Api, Database, Dispatcher, variable};

/// The routes of the contract.
const CONTRACT: [(&str, &str); 21] = [
    ("put", "/v1/endpoints/{id}"),
    ("get", "/v1/endpoints/{id}"),
    ("delete", "/v1/endpoints/{id}"),
    ("get", "/v1/endpoints"),
    ("post", "/v1/endpoints/{id}/pause"),
    ("post", "/v1/endpoints/{id}/resume"),
    ("post", "/v1/endpoints/{id}/rotate-secret"),
    ("post", "/v1/endpoints/{id}/test"),
    ("post", "/v1/endpoints/{id}/replay"),
    ("post", "/v1/topics/{topic}/events"),
    ("get", "/v1/events/{id}"),
    ("get", "/v1/deliveries"),
    ("get", "/v1/deliveries/{id}"),
    ("post", "/v1/deliveries/{id}/retry"),
    ("put", "/v1/tables/{name}"),
    ("get", "/v1/tables/{name}"),
    ("delete", "/v1/tables/{name}"),
    ("get", "/v1/tables"),
    ("post", "/v1/tables/{name}/pause"),
    ("post", "/v1/tables/{name}/resume"),
    ("get", "/v1/status"),
];

#[tokio::test]
async fn what_is_served_is_what_the_repository_holds() {
    let database = Database::new().await;
    let dispatcher = Dispatcher::start(&database, &[]).await;

    let served = Api::of(&dispatcher).await.get("/openapi.json").await.json();

    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json");
    if variable("POSTRIDER_TEST_UPDATE_OPENAPI").is_some() {
        std::fs::write(file, serde_json::to_string_pretty(&served).unwrap() + "\n").unwrap();
    }
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert!(served == kept, "docs/openapi.json is not what is served: run scripts/update-openapi");
}

#[test]
fn every_route_of_the_contract_is_described() {
    let described: Value = serde_json::to_value(postrider::api::openapi()).unwrap();

    for (method, path) in CONTRACT {
        assert!(described["paths"][path][method].is_object(), "{method} {path}");
    }
}

#[test]
fn every_operation_has_an_id_of_its_own_and_a_summary() {
    let described: Value = serde_json::to_value(postrider::api::openapi()).unwrap();
    let mut ids = BTreeSet::new();

    for (path, item) in described["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{method} {path}"));
            assert!(ids.insert(id.to_owned()), "{id} twice");
            assert!(operation["summary"].is_string(), "{method} {path}");
            assert!(operation["responses"]["4XX"].is_object(), "{method} {path}");
        }
    }
}

#[test]
fn every_route_and_every_code_stands_in_the_reference() {
    let described: Value = serde_json::to_value(postrider::api::openapi()).unwrap();
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/api.md")).unwrap();

    for (path, item) in described["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let route = format!("`{} {path}`", method.to_uppercase());
            assert!(page.contains(&route), "{route}");
        }
    }
    for code in described["components"]["schemas"]["Code"]["enum"].as_array().unwrap() {
        let row = format!("\n| `{}` | ", code.as_str().unwrap());
        assert!(page.contains(&row), "{row}");
    }
}

#[test]
fn whoever_generates_a_client_finds_every_type_named_and_every_answer_complete() {
    let described: Value = serde_json::to_value(postrider::api::openapi()).unwrap();

    for (name, schema) in described["components"]["schemas"].as_object().unwrap() {
        assert!(!name.contains('_'), "{name}");
        let Some(properties) = schema["properties"].as_object() else { continue };
        let required = schema["required"].as_array().map_or(0, Vec::len);
        assert!(name.ends_with("Body") || required == properties.len(), "{name}: {schema}");
    }
    assert_eq!(described["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
}
