//! `GET /`: a page for people, which asks the same API as everybody else. It holds no data, so that it is open to who has
//! no token yet.

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::response::IntoResponse;
use axum::routing::get;

/// What endpoints, topics and errors are called is foreign: nothing but our own two files runs or styles, nothing is asked
/// but this API, texts cannot become markup, and no other page frames this one.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";

pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let page = async || file("text/html; charset=utf-8", include_str!("dashboard/page.html"));
    let style = async || file("text/css; charset=utf-8", include_str!("dashboard/style.css"));
    let script = async || file("text/javascript; charset=utf-8", include_str!("dashboard/script.js"));
    Router::new()
        .route("/", get(page))
        .route("/dashboard.css", get(style))
        .route("/dashboard.js", get(script))
}

fn file(kind: &'static str, text: &'static str) -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, kind),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        // The next version brings its own.
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, text)
}
