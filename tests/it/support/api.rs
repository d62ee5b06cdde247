//! The admin API as a service uses it.

use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;

use super::{Dispatcher, http_client};

/// A client of one dispatcher's API.
pub(crate) struct Api {
    base: String,
    client: Client,
}

/// What the API answered.
#[derive(Debug)]
pub(crate) struct Answered {
    /// HTTP status.
    pub(crate) status: u16,
    /// Content-Type.
    pub(crate) content_type: String,
    /// All headers.
    pub(crate) headers: reqwest::header::HeaderMap,
    /// The body as it stands.
    pub(crate) text: String,
}

impl Api {
    /// Of a running dispatcher.
    pub(crate) async fn of(dispatcher: &Dispatcher) -> Self {
        Self::at(&dispatcher.api().await)
    }

    /// At an address.
    pub(crate) fn at(address: &str) -> Self {
        let client = http_client().build().unwrap();
        Self { base: format!("http://{address}"), client }
    }

    /// A request to be added to.
    pub(crate) fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method: Method = method.parse().unwrap();
        self.client.request(method, format!("{}{path}", self.base))
    }

    /// A request with a JSON body.
    pub(crate) async fn send(&self, method: &str, path: &str, body: &Value) -> Answered {
        self.send_text(method, path, &body.to_string()).await
    }

    /// A request with a body that says it is JSON.
    pub(crate) async fn send_text(&self, method: &str, path: &str, body: &str) -> Answered {
        let request = self.request(method, path).header("content-type", "application/json");
        Answered::to(request.body(body.to_owned())).await
    }

    /// GET.
    pub(crate) async fn get(&self, path: &str) -> Answered {
        Answered::to(self.request("GET", path)).await
    }

    /// POST without a body.
    pub(crate) async fn post(&self, path: &str) -> Answered {
        Answered::to(self.request("POST", path)).await
    }

    /// DELETE.
    pub(crate) async fn delete(&self, path: &str) -> Answered {
        Answered::to(self.request("DELETE", path)).await
    }
}

impl Answered {
    /// Sends a request and reads the answer.
    pub(crate) async fn to(request: RequestBuilder) -> Self {
        let response =
            tokio::time::timeout(super::DEADLINE, request.send()).await.expect("an answer").unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let content_type = headers.get("content-type").map_or("", |value| value.to_str().unwrap()).to_owned();
        Self { status, content_type, headers, text: response.text().await.unwrap() }
    }

    /// The body of a success.
    pub(crate) fn json(&self) -> Value {
        assert!((200..300).contains(&self.status), "{self:?}");
        assert_eq!(self.content_type, "application/json", "{self:?}");
        serde_json::from_str(&self.text).unwrap()
    }

    /// The body of a refusal: problem+json that agrees with the status.
    pub(crate) fn problem(&self) -> Value {
        assert_eq!(self.content_type, "application/problem+json", "{self:?}");
        let problem: Value = serde_json::from_str(&self.text).unwrap();
        assert_eq!(problem["status"], self.status, "{self:?}");
        problem
    }

    /// Status and code of a refusal.
    pub(crate) fn refused(&self) -> (u16, String) {
        (self.status, self.problem()["code"].as_str().unwrap().to_owned())
    }
}
