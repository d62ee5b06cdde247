//! The place of a secret: a sealed secret is bound to it.

use url::Url;

/// The place of a secret.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Id of the endpoint.
    pub endpoint_id: &'a str,
    /// URL of the endpoint, as it is stored.
    pub url: &'a str,
    /// Purpose of the secret.
    pub field: Field,
}

/// Purpose of a secret. Secrets that were rotated out are [`Field::Secret`] too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Signs requests.
    Secret,
    /// Signs requests with ed25519.
    SigningKey,
    /// Logs in at the endpoint's host.
    Auth,
    /// Proves who we are to the endpoint's host.
    ClientCertificate,
}

impl Field {
    /// All purposes.
    pub const ALL: [Self; 4] = [Self::Secret, Self::SigningKey, Self::Auth, Self::ClientCertificate];

    /// The column's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::SigningKey => "signing_key",
            Self::Auth => "auth",
            Self::ClientCertificate => "client_certificate",
        }
    }
}

impl Place<'_> {
    /// The bytes that a sealed secret is bound to. A login and a certificate prove to a host who we are, so they belong to scheme,
    /// host and port of the URL, as `url` has them. A signing secret is shown to no host, and stays when the endpoint moves.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let origin = match self.field {
            Field::Secret | Field::SigningKey => String::new(),
            // Without a valid URL nothing is sent.
            Field::Auth | Field::ClientCertificate => {
                // A port in braces is no port. Then scheme, host and port are as they are written.
                let is_template = self.url.contains('{');
                let written = |_| if is_template { front(self.url) } else { String::new() };
                Url::parse(self.url).map_or_else(written, |url| url.origin().ascii_serialization())
            }
        };
        // None of the parts contains NUL. Nor does an id alone, which earlier versions bound.
        ["postrider 2", self.endpoint_id, self.field.as_str(), &origin].join("\0").into_bytes()
    }
}

/// Scheme, host and port of a URL as they are written.
fn front(url: &str) -> String {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url.get(host..).and_then(|rest| rest.find(['/', '?', '#'])).map_or(url.len(), |at| host + at);
    url.get(..end).unwrap_or_default().to_ascii_lowercase()
}
