//! The description in `/openapi.json`: the parts that all routes share, and types of texts that several routes use.

use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer};
use serde_json::Number;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Components, ContentBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{Modify, ToSchema};

use super::problem::Problem;

/// The description that `super::described` fills with routes.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Postrider",
        description = "Insert a row into `postrider.outbox` in your own transaction; it is delivered by signed HTTP POST.\n\n\
                       This is the admin API; everything it does can be done in SQL too. Bodies are JSON; unknown fields \
                       are refused by name. Refusals are `application/problem+json` (RFC 9457) with a stable `code`.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    servers(
        (url = "/", description = "The dispatcher that serves this description"),
        (url = "http://127.0.0.1:7678", description = "Where `postrider run` listens by default"),
    ),
    tags(
        (name = "endpoints", description = "Receivers of events"),
        (name = "events", description = "Rows of the outbox"),
        (name = "deliveries", description = "One event for one endpoint"),
        (name = "status", description = "Backlog and dispatchers"),
    ),
    security((), ("bearer" = [])),
    modifiers(&Bearer),
    components(schemas(Problem))
)]
pub(super) struct Description;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, openapi: &mut OpenApi) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A line of `--api-token-file`; without that flag none is needed"))
            .build();
        let components = openapi.components.get_or_insert_default();
        components.security_schemes.insert("bearer".to_owned(), SecurityScheme::Http(bearer).into());
    }
}

/// Adds the parts that every route and every response shares.
pub(super) fn complete(openapi: &mut OpenApi) {
    env!("CARGO_PKG_VERSION").clone_into(&mut openapi.info.version);
    let components = openapi.components.get_or_insert_default();
    components.responses.insert("Refused".to_owned(), refusal("Refused: `code` says why").into());
    components.responses.insert("Unable".to_owned(), refusal("Not possible now: `code` says why").into());
    require_all(components);
    for item in openapi.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete];
        for operation in operations.into_iter().flatten() {
            let responses = &mut operation.responses.responses;
            responses.insert("4XX".to_owned(), Ref::from_response_name("Refused").into());
            responses.insert("5XX".to_owned(), Ref::from_response_name("Unable").into());
        }
    }
}

fn refusal(why: &str) -> Response {
    let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new().description(why).content("application/problem+json", problem).build()
}

/// Our responses write null and leave no field out. Requests may leave fields out.
fn require_all(components: &mut Components) {
    let answers = components.schemas.iter_mut().filter(|(name, _)| !name.ends_with("Body"));
    for (_, schema) in answers {
        require_fields(schema);
    }
}

fn require_fields(schema: &mut RefOr<Schema>) {
    match schema {
        RefOr::T(Schema::Object(object)) => object.required = object.properties.keys().cloned().collect(),
        RefOr::T(Schema::AllOf(all)) => all.items.iter_mut().for_each(require_fields),
        RefOr::T(_) | RefOr::Ref(_) => {}
    }
}

/// Dotted words of `[A-Za-z0-9_-]`; `*` is exactly one word, `**` at the end one or more, `**` alone everything.
#[derive(ToSchema)]
#[schema(
    value_type = String,
    pattern = r"^(\*\*|([A-Za-z0-9_-]+|\*)(\.([A-Za-z0-9_-]+|\*))*(\.\*\*)?)$",
    max_length = 128,
    example = "order.*"
)]
#[expect(dead_code, reason = "describes a text")]
pub(super) struct TopicPattern(String);

/// A key of Standard Webhooks: `whsec_` and base64 of 24 to 64 bytes.
#[derive(ToSchema)]
#[schema(
    value_type = String,
    pattern = "^whsec_[A-Za-z0-9+/]{32,86}={0,2}$",
    example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)]
#[expect(dead_code, reason = "describes a text")]
pub(super) struct Secret(String);

/// A key of ed25519: `whsk_` and base64 of seed and public key, or `new`, or `none`.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = "^(whsk_[A-Za-z0-9+/]{86}(==)?|new|none)$", example = "new")]
#[expect(dead_code, reason = "describes a text")]
pub(super) struct SigningKey(String);

/// Login at an endpoint.
#[derive(ToSchema)]
#[schema(example = json!({"type": "bearer", "token": "mF_9.B5f-4.1JqM"}))]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
#[expect(dead_code, reason = "describes an object")]
pub(super) enum Auth {
    /// `Authorization: Basic`.
    Basic {
        /// Without a colon.
        #[schema(pattern = "^[ -9;-~]{1,4096}$")]
        username: String,
        /// Visible ASCII.
        #[schema(pattern = "^[ -~]{1,4096}$")]
        password: String,
    },
    /// `Authorization: Bearer`.
    Bearer {
        /// Visible ASCII.
        #[schema(pattern = "^[!-~]{1,4096}$")]
        token: String,
    },
    /// A bearer token of OAuth 2 client credentials (RFC 6749, section 4.4).
    OAuth2 {
        /// URL of the token endpoint; the rules for endpoint URLs apply.
        #[schema(format = "uri")]
        token_url: String,
        /// OAuth 2 client id.
        #[schema(pattern = "^[ -~]{1,4096}$")]
        client_id: String,
        /// OAuth 2 client secret.
        #[schema(pattern = "^[ -~]{1,4096}$")]
        client_secret: String,
        /// Scope of the token.
        #[schema(pattern = "^[ -~]{1,4096}$")]
        scope: Option<String>,
    },
    /// Removes the login.
    None {},
}

/// The name of an HTTP header; not `webhook-*`, `postrider-*`, `proxy-*`, `ce-*`, nor one that HTTP itself needs.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$", example = "traceparent")]
#[expect(dead_code, reason = "describes a text")]
pub(super) struct HeaderName(String);

/// Visible ASCII and spaces.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = "^[ -~]*$")]
#[expect(dead_code, reason = "describes a text")]
pub(super) struct HeaderValue(String);

/// A whole number of JSON: `35.0` is one, too.
#[derive(Clone, Copy)]
pub(super) struct Whole(pub(super) i64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = Number::deserialize(deserializer)?;
        if let Some(whole) = number.as_i64() {
            return Ok(Self(whole));
        }
        let float = number.as_f64().unwrap_or(f64::NAN);
        let whole = Some(float).filter(|float| float.fract() == 0.0);
        let whole = whole.and_then(|float| format!("{float:.0}").parse().ok());
        whole
            .map(Self)
            .ok_or_else(|| D::Error::invalid_type(Unexpected::Float(float), &"a whole number of 64 bits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_number_may_be_written_as_a_float() {
        for (text, whole) in [("35", 35), ("35.0", 35), ("3.5e1", 35), ("-0.0", 0)] {
            assert_eq!(serde_json::from_str::<Whole>(text).unwrap().0, whole, "{text}");
        }
        for text in ["1.5", "1e300", "9223372036854775808", "\"1\"", "null", "true"] {
            assert!(serde_json::from_str::<Whole>(text).is_err(), "{text}");
        }
    }
}
