//! Secrets and keys that sign requests: Standard Webhooks 1.0.0, `v1` (HMAC-SHA256) and `v1a` (ed25519).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use thiserror::Error;
use tokio::time::Instant;

use crate::model::random::{NoRandomness, random};

/// Reads every text that PostgreSQL's `decode(…, 'base64')` reads, so that the CHECK on the table is the stricter of the two.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A secret of `v1`: `whsec_` and base64 of 24 to 64 bytes.
#[derive(Clone)]
pub struct SigningSecret {
    bytes: Vec<u8>,
    /// The same bytes, ready to sign with.
    key: hmac::Key,
}

/// A secret that was rotated out.
#[derive(Clone, Debug)]
pub struct OldSecret {
    /// The secret, which signs too.
    pub secret: SigningSecret,
    /// The end of its time.
    pub valid_until: Instant,
}

/// A key of `v1a`: `whsk_` and base64 of 64 bytes, the seed of ed25519 and the public key.
#[derive(Clone)]
pub struct SigningKey {
    pair: Arc<Ed25519KeyPair>,
}

/// Why a text is not a signing secret or key. Never contains the text.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum SecretError {
    /// The text does not begin with `whsec_`.
    #[error("needs the prefix whsec_")]
    Prefix,
    /// The rest of the text is not base64.
    #[error("needs base64 after whsec_")]
    Base64,
    /// The text decodes to too few or too many bytes.
    #[error("needs base64 of 24 to 64 bytes after whsec_, got {0} bytes")]
    Length(usize),
    /// The text is no key of `v1a`.
    #[error("needs whsk_ and base64 of 64 bytes, a seed of ed25519 and its public key")]
    Key,
}

impl SigningSecret {
    /// A new secret of 32 bytes, as text.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn generate() -> Result<String, NoRandomness> {
        Ok(format!("whsec_{}", BASE64.encode(random::<32>()?)))
    }

    /// The bare key.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The key of HMAC-SHA256.
    pub fn key(&self) -> &hmac::Key {
        &self.key
    }
}

impl FromStr for SigningSecret {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        let encoded = text.strip_prefix("whsec_").ok_or(SecretError::Prefix)?;
        #[expect(clippy::map_err_ignore, reason = "the cause would quote a byte of the secret")]
        let bytes = BASE64.decode(encoded).map_err(|_| SecretError::Base64)?;
        if !(24..=64).contains(&bytes.len()) {
            return Err(SecretError::Length(bytes.len()));
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
        Ok(Self { bytes, key })
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(hidden)")
    }
}

impl SigningKey {
    /// A new key, as text.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn generate() -> Result<String, NoRandomness> {
        let seed = random::<32>()?;
        #[expect(clippy::map_err_ignore, reason = "any 32 bytes are a seed")]
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| NoRandomness)?;
        Ok(format!("whsk_{}", BASE64.encode([&seed, pair.public_key().as_ref()].concat())))
    }

    /// The key that verifies its signatures: `whpk_` and base64 of 32 bytes.
    pub fn public_key(&self) -> String {
        format!("whpk_{}", BASE64.encode(self.pair.public_key()))
    }

    /// The signature in base64.
    pub fn sign(&self, content: &[u8]) -> String {
        BASE64.encode(self.pair.sign(content))
    }
}

impl FromStr for SigningKey {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        let decoded = text.strip_prefix("whsk_").and_then(|encoded| BASE64.decode(encoded).ok());
        let bytes = decoded.filter(|bytes| bytes.len() == 64).ok_or(SecretError::Key)?;
        let (seed, public_key) = bytes.split_at(32);
        // Fails where the public key is another one's: its signatures would be worth nothing, or give the seed away.
        #[expect(clippy::map_err_ignore, reason = "ring tells nothing that SecretError does not")]
        let pair =
            Ed25519KeyPair::from_seed_and_public_key(seed, public_key).map_err(|_| SecretError::Key)?;
        Ok(Self { pair: Arc::new(pair) })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public_key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_of_the_wrong_kind_is_refused_by_its_fault() {
        // Svix' own list of invalid secrets (research: 21 bytes, 81 bytes, wrong prefix).
        let cases = [
            ("whsec_C2FVsBQIhrscChlQIM+b5sSYspob", SecretError::Length(21)),
            (
                "whsec_V09IYXZUaFJoSnFobnpJQkpPMXdpdGFNWnJsRzAxdXZCeTVndVpwRmxSSXFsc0oyYzBTRWRUekJhYnlaZ0JSRGNPQ3BGZG1xYjFVVmRGQ3UK",
                SecretError::Length(81),
            ),
            ("hwsec_C2FVsBQIhrscChlQIM+b5sSYspob7oDazfgh", SecretError::Prefix),
            ("whsec_", SecretError::Length(0)),
            ("whsec_!!", SecretError::Base64),
        ];

        for (text, fault) in cases {
            assert_eq!(text.parse::<SigningSecret>().unwrap_err(), fault, "{text}");
        }
    }

    #[test]
    fn a_key_of_the_wrong_kind_is_refused() {
        let good =
            "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==";
        assert!(good.parse::<SigningKey>().is_ok());
        for wrong in [
            "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kv",
            "whsk_",
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            // Another public key than the seed's.
            &good.replace("Fs6Kvg", "Fs6Lvg"),
        ] {
            assert_eq!(wrong.parse::<SigningKey>().unwrap_err(), SecretError::Key, "{wrong}");
        }
    }

    #[test]
    fn a_new_key_is_one_and_no_two_are_the_same() {
        let (one, two) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());

        assert!(one.parse::<SigningKey>().is_ok() && two.parse::<SigningKey>().is_ok());
        assert_ne!(one, two);
        assert!(SigningSecret::generate().unwrap().parse::<SigningSecret>().is_ok());
    }

    #[test]
    fn a_secret_does_not_show_itself() {
        let secret: SigningSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();

        assert_eq!(format!("{secret:?}"), "SigningSecret(hidden)");
    }
}
