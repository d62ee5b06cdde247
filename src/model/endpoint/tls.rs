//! TLS of an endpoint's own: the authorities that may vouch for it, and the certificate that we show it.

use std::fmt;

use reqwest::{Certificate, Identity};
use ring::digest::{Context, SHA256};
use thiserror::Error;

/// How TLS towards this endpoint differs from the TLS towards all others.
#[derive(Clone)]
pub struct EndpointTls {
    /// The only authorities that are trusted. `None` for the system's.
    pub authorities: Option<Vec<Certificate>>,
    /// Our certificate, its chain and its private key.
    pub identity: Option<Identity>,
    /// Digest of the texts. Equal texts have equal digests, so they can share connections.
    pub fingerprint: [u8; 32],
}

/// Why a text is not the PEM that is needed. Never contains the text.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum TlsError {
    /// The authorities are no certificates.
    #[error("ca_certificates needs one or more certificates in PEM")]
    Authorities,
    /// Our text is no certificate, or has no private key.
    #[error(
        "client_certificate needs a certificate and its private key in PEM (PKCS#8, PKCS#1 or SEC1, not encrypted)"
    )]
    Identity,
}

impl EndpointTls {
    /// Reads PEM. `None` if neither was given.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn parse(
        ca_certificates: Option<&str>,
        client_certificate: Option<&str>,
    ) -> Result<Option<Self>, TlsError> {
        if ca_certificates.is_none() && client_certificate.is_none() {
            return Ok(None);
        }
        let authorities = ca_certificates.map(authorities).transpose()?;
        #[expect(clippy::map_err_ignore, reason = "the cause may quote the key")]
        let identity = client_certificate
            .map(|pem| Identity::from_pem(pem.as_bytes()).map_err(|_| TlsError::Identity))
            .transpose()?;
        let mut digest = Context::new(&SHA256);
        for text in [ca_certificates, client_certificate] {
            digest.update(text.unwrap_or_default().as_bytes());
            digest.update(b"\0");
        }
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(digest.finish().as_ref());
        Ok(Some(Self { authorities, identity, fingerprint }))
    }
}

fn authorities(pem: &str) -> Result<Vec<Certificate>, TlsError> {
    let read = Certificate::from_pem_bundle(pem.as_bytes()).ok();
    read.filter(|certificates| !certificates.is_empty()).ok_or(TlsError::Authorities)
}

impl fmt::Debug for EndpointTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EndpointTls(hidden)")
    }
}
