//! How the API describes the texts that people type: types without values, for `/openapi.json` alone.

use serde_json::{Map, Value};
use utoipa::ToSchema;

/// Dotted words of `[A-Za-z0-9_-]`; `*` is exactly one word, `**` at the end one or more, `**` alone everything.
#[derive(ToSchema)]
#[schema(
    as = TopicPattern,
    value_type = String,
    pattern = r"^(\*\*|([A-Za-z0-9_-]+|\*)(\.([A-Za-z0-9_-]+|\*))*(\.\*\*)?)$",
    max_length = 128,
    example = "order.*"
)]
#[expect(dead_code, reason = "describes a text")]
pub(crate) struct TopicPatternText(String);

/// The settings to change.
#[derive(ToSchema)]
#[schema(
    as = EndpointPatchBody,
    value_type = Object,
    description = "The settings to change, as `EndpointBody` has them: JSON Merge Patch (RFC 7396). Null gives the default; in `headers` it removes one. `auth` is set as a whole."
)]
#[expect(dead_code, reason = "describes an object")]
pub(crate) struct EndpointPatch(Map<String, Value>);

/// A key of Standard Webhooks: `whsec_` and base64 of 24 to 64 bytes.
#[derive(ToSchema)]
#[schema(
    value_type = String,
    pattern = "^whsec_[A-Za-z0-9+/]{32,86}={0,2}$",
    example = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)]
#[expect(dead_code, reason = "describes a text")]
pub(crate) struct Secret(String);

/// A key of ed25519: `whsk_` and base64 of seed and public key, or `new`, or `none`.
#[derive(ToSchema)]
#[schema(as = SigningKey, value_type = String, pattern = "^(whsk_[A-Za-z0-9+/]{86}(==)?|new|none)$", example = "new")]
#[expect(dead_code, reason = "describes a text")]
pub(crate) struct SigningKeyText(String);

/// How to log in at an endpoint.
#[derive(ToSchema)]
#[schema(as = Auth, example = json!({"type": "bearer", "token": "mF_9.B5f-4.1JqM"}))]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
#[expect(dead_code, reason = "describes an object")]
pub(crate) enum Login {
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
        /// Where it is asked for: like an endpoint's URL.
        #[schema(format = "uri")]
        token_url: String,
        /// Our name there.
        #[schema(pattern = "^[ -~]{1,4096}$")]
        client_id: String,
        /// Its secret.
        #[schema(pattern = "^[ -~]{1,4096}$")]
        client_secret: String,
        /// The rights that the token is to have.
        #[schema(pattern = "^[ -~]{1,4096}$")]
        scope: Option<String>,
    },
    /// No login any more.
    None {},
}

/// The name of an HTTP header; not `webhook-*`, `postrider-*`, `proxy-*`, `ce-*`, nor one that HTTP itself needs.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$", example = "traceparent")]
#[expect(dead_code, reason = "describes a text")]
pub(crate) struct HeaderName(String);

/// Visible ASCII and spaces.
#[derive(ToSchema)]
#[schema(value_type = String, pattern = "^[ -~]*$")]
#[expect(dead_code, reason = "describes a text")]
pub(crate) struct HeaderValue(String);
