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
    /// Is shown to the endpoint's host.
    ClientCertificate,
}

impl Field {
    /// All of them.
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
    /// What is bound in. A login and a certificate prove to a host who we are: they belong to scheme, host and port of the URL,
    /// as `url` has them. What signs shows nobody anything, and stays when the endpoint moves.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let origin = match self.field {
            Field::Secret | Field::SigningKey => String::new(),
            // Nothing is sent to what is no URL.
            Field::Auth | Field::ClientCertificate => {
                Url::parse(self.url).map(|url| url.origin().ascii_serialization()).unwrap_or_default()
            }
        };
        // None of them contains NUL; nor does an id alone, which earlier versions bound.
        ["postrider 2", self.endpoint_id, self.field.as_str(), &origin].join("\0").into_bytes()
    }
}
