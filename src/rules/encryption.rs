//! Secrets of endpoints at rest. With a key they are encrypted (AES-256-GCM) and stored as
//! `sealed:2:KEY_ID:base64(nonce, ciphertext, tag)`. The associated data is their place, so that a secret that was sealed for
//! one [`Place`] opens in no other. Without a key they are stored in the clear. Earlier versions wrote `sealed:KEY_ID:…` and
//! bound only the endpoint's id.

mod place;

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{Context, SHA256};
use thiserror::Error;

pub use place::{Field, Place};

use crate::model::random::{NoRandomness, random};
use crate::model::unreadable::OpenError;

const KEY_BYTES: usize = 32;
const PREFIX: &str = "sealed:";
/// Follows the prefix if the whole place is bound. No key has this id.
const BOUND: &str = "2:";

/// The keys. The first seals, all of them open. Without keys nothing is sealed, and no sealed secret can be opened.
#[derive(Clone, Debug, Default)]
pub struct Vault {
    keys: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    id: String,
    key: std::sync::Arc<LessSafeKey>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.id)
    }
}

/// Why a text is no key. It never contains the text.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error(
    "needs base64 of 32 bytes, as \"postrider secret new-key\" prints it; the {nth}. one is something else"
)]
pub struct KeyError {
    nth: usize,
}

impl Vault {
    /// Parses keys in base64, one per line or separated by commas. A comment begins with `#`.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let lines = text.lines().filter_map(|line| line.split('#').next());
        let texts = lines.flat_map(|line| line.split(',')).map(str::trim).filter(|text| !text.is_empty());
        let keys = texts.enumerate().map(|(place, text)| Key::parse(text).ok_or(KeyError { nth: place + 1 }));
        Ok(Self { keys: keys.collect::<Result<_, _>>()? })
    }

    /// These keys, and then those.
    #[must_use]
    pub fn and(mut self, mut others: Self) -> Self {
        self.keys.append(&mut others.keys);
        self
    }

    /// A new key, in base64.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn new_key() -> Result<String, NoRandomness> {
        Ok(BASE64.encode(random::<KEY_BYTES>()?))
    }

    /// The id of the key that seals; none: nothing is sealed.
    pub fn key_id(&self) -> Option<&str> {
        self.keys.first().map(|key| key.id.as_str())
    }

    /// What a secret begins with that the first key has sealed for its place; none: there is no key.
    pub fn seal_of_first_key(&self) -> Option<String> {
        self.key_id().map(|id| format!("{PREFIX}{BOUND}{id}:"))
    }

    /// The secret as it is to be stored.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn seal(&self, place: &Place<'_>, secret: &str) -> Result<String, NoRandomness> {
        let Some(Key { id, key }) = self.keys.first() else { return Ok(secret.to_owned()) };
        let nonce = random::<NONCE_LEN>()?;
        let mut bytes = secret.as_bytes().to_vec();
        let aad = Aad::from(place.bytes());
        #[expect(clippy::map_err_ignore, reason = "ring tells nothing; it fails beyond 64 GiB")]
        let tag = key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad, &mut bytes)
            .map_err(|_| NoRandomness)?;
        let sealed = [&nonce, bytes.as_slice(), tag.as_ref()].concat();
        Ok(format!("{PREFIX}{BOUND}{id}:{}", BASE64.encode(sealed)))
    }

    /// The secret as it was given. What is not sealed is it already.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open<'a>(&self, place: &Place<'_>, stored: &'a str) -> Result<Cow<'a, str>, OpenError> {
        let Some(sealed) = Sealed::parse(stored) else { return Ok(Cow::Borrowed(stored)) };
        if sealed.is_bound {
            self.unseal(&sealed, &place.bytes()).map(Cow::Owned)
        } else {
            Err(OpenError::Unbound(sealed.key_id.to_owned()))
        }
    }

    /// The same, and what an earlier version sealed for this endpoint: only where a person has said so, because it may have been
    /// moved here from another field or host.
    ///
    /// # Errors
    /// [`OpenError`], but not [`OpenError::Unbound`].
    pub fn open_unbound<'a>(&self, place: &Place<'_>, stored: &'a str) -> Result<Cow<'a, str>, OpenError> {
        match Sealed::parse(stored) {
            Some(sealed) if !sealed.is_bound => {
                self.unseal(&sealed, place.endpoint_id.as_bytes()).map(Cow::Owned)
            }
            _ => self.open(place, stored),
        }
    }

    fn unseal(&self, sealed: &Sealed<'_>, bound: &[u8]) -> Result<String, OpenError> {
        let id = sealed.key_id;
        let found = self.keys.iter().find(|key| key.id == id);
        let Key { key, .. } = found.ok_or_else(|| OpenError::UnknownKey(id.to_owned()))?;
        let opened = || {
            let mut bytes = BASE64.decode(sealed.encoded).ok()?;
            let (nonce, sealed) = bytes.split_first_chunk_mut::<NONCE_LEN>()?;
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let opened = key.open_in_place(nonce, Aad::from(bound), sealed).ok()?;
            String::from_utf8(opened.to_vec()).ok()
        };
        opened().ok_or_else(|| OpenError::Damaged(id.to_owned()))
    }
}

/// What is sealed, in its parts.
struct Sealed<'a> {
    /// Whether its whole place is bound in.
    is_bound: bool,
    key_id: &'a str,
    encoded: &'a str,
}

impl<'a> Sealed<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix(PREFIX)?;
        let bound = rest.strip_prefix(BOUND);
        let (key_id, encoded) = bound.unwrap_or(rest).split_once(':')?;
        Some(Self { is_bound: bound.is_some(), key_id, encoded })
    }
}

impl Key {
    fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64.decode(text).ok().filter(|bytes| bytes.len() == KEY_BYTES)?;
        let mut digest = Context::new(&SHA256);
        digest.update(b"postrider key id");
        digest.update(&bytes);
        let id = format!("{:08x}", first_four(digest.finish().as_ref()));
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &bytes).ok()?);
        Some(Self { id, key: std::sync::Arc::new(key) })
    }
}

fn first_four(bytes: &[u8]) -> u32 {
    bytes.first_chunk().copied().map_or(0, u32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn vault(seeds: &[u8]) -> Vault {
        let keys: Vec<String> = seeds.iter().map(|seed| BASE64.encode([*seed; KEY_BYTES])).collect();
        Vault::parse(&keys.join("\n")).unwrap()
    }

    /// The field of an endpoint `one` at that URL.
    fn at(url: &str, field: Field) -> Place<'_> {
        Place { endpoint_id: "one", url, field }
    }

    fn here() -> Place<'static> {
        at("https://example.com/hook", Field::Secret)
    }

    #[test]
    fn what_is_sealed_opens_with_its_key_for_its_endpoint_alone() {
        let sealed = vault(&[1]).seal(&here(), SECRET).unwrap();

        assert!(!sealed.contains("whsec_"));
        assert_eq!(vault(&[1]).open(&here(), &sealed).unwrap(), SECRET);
        assert_eq!(vault(&[2, 1]).open(&here(), &sealed).unwrap(), SECRET);
        let there = Place { endpoint_id: "two", ..here() };
        assert!(matches!(vault(&[1]).open(&there, &sealed), Err(OpenError::Damaged(_))));
        assert!(matches!(vault(&[2]).open(&here(), &sealed), Err(OpenError::UnknownKey(_))));
        assert!(matches!(Vault::default().open(&here(), &sealed), Err(OpenError::UnknownKey(_))));
    }

    #[test]
    fn what_is_sealed_for_one_field_opens_in_no_other() {
        let url = "https://example.com/hook";
        for sealed_for in Field::ALL {
            let sealed = vault(&[1]).seal(&at(url, sealed_for), SECRET).unwrap();
            for opened_in in Field::ALL {
                let opened = vault(&[1]).open(&at(url, opened_in), &sealed);
                assert_eq!(opened.is_ok(), sealed_for == opened_in, "{sealed_for:?} in {opened_in:?}");
            }
        }
    }

    #[test]
    fn a_login_and_a_certificate_open_for_scheme_host_and_port_of_their_url_alone() {
        let url = "https://Example.com/hook";
        let same = ["https://example.com", "https://example.com:443/other?x=y"];
        let others = [
            "http://example.com/hook",
            "https://example.com:8443/hook",
            "https://www.example.com/hook",
            "https://example.com.attacker.example/hook",
            "https:///attacker.example/hook",
            "https://attacker.example/https://example.com/hook",
            "https://[::1]/hook",
            "not a URL",
        ];
        for field in [Field::Auth, Field::ClientCertificate] {
            let sealed = vault(&[1]).seal(&at(url, field), SECRET).unwrap();
            for same in same {
                assert_eq!(vault(&[1]).open(&at(same, field), &sealed).unwrap(), SECRET, "{same}");
            }
            for other in others {
                assert!(vault(&[1]).open(&at(other, field), &sealed).is_err(), "{other}");
            }
        }
    }

    #[test]
    fn what_signs_opens_wherever_its_endpoint_is() {
        for field in [Field::Secret, Field::SigningKey] {
            let sealed = vault(&[1]).seal(&at("https://example.com/hook", field), SECRET).unwrap();

            assert_eq!(vault(&[1]).open(&at("https://elsewhere.example/", field), &sealed).unwrap(), SECRET);
        }
    }

    #[test]
    fn what_an_earlier_version_sealed_opens_only_where_a_person_says_so() {
        let vault = vault(&[1]);
        let old = sealed_by_an_earlier_version(&vault, "one");
        let two = Place { endpoint_id: "two", ..here() };

        assert!(matches!(vault.open(&here(), &old), Err(OpenError::Unbound(_))));
        assert_eq!(vault.open_unbound(&here(), &old).unwrap(), SECRET);
        assert!(matches!(vault.open_unbound(&two, &old), Err(OpenError::Damaged(_))));
        // Neither form passes for the other.
        let new = vault.seal(&here(), SECRET).unwrap();
        assert!(vault.open(&here(), &old.replace("sealed:", "sealed:2:")).is_err());
        assert!(vault.open_unbound(&here(), &new.replace("sealed:2:", "sealed:")).is_err());
        assert_eq!(vault.open_unbound(&here(), &new).unwrap(), SECRET);
    }

    fn sealed_by_an_earlier_version(vault: &Vault, endpoint_id: &str) -> String {
        let Key { id, key } = &vault.keys[0];
        let mut bytes = SECRET.as_bytes().to_vec();
        let nonce = [7; NONCE_LEN];
        let aad = Aad::from(endpoint_id.as_bytes());
        let tag =
            key.seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad, &mut bytes).unwrap();
        format!("sealed:{id}:{}", BASE64.encode([&nonce, bytes.as_slice(), tag.as_ref()].concat()))
    }

    #[test]
    fn a_bit_that_is_changed_is_noticed() {
        let sealed = vault(&[1]).seal(&here(), SECRET).unwrap();
        let (head, encoded) = sealed.rsplit_once(':').unwrap();
        let bytes = BASE64.decode(encoded).unwrap();

        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            let changed = format!("{head}:{}", BASE64.encode(changed));
            assert!(vault(&[1]).open(&here(), &changed).is_err(), "byte {place}");
        }
        assert!(vault(&[1]).open(&here(), &format!("{head}:AAAA")).is_err());
    }

    #[test]
    fn the_same_secret_is_sealed_differently_each_time() {
        assert_ne!(vault(&[1]).seal(&here(), SECRET).unwrap(), vault(&[1]).seal(&here(), SECRET).unwrap());
    }

    #[test]
    fn without_a_key_secrets_stand_as_they_are() {
        let none = Vault::parse("# no key\n\n").unwrap();

        assert_eq!(none.seal(&here(), SECRET).unwrap(), SECRET);
        assert_eq!(none.open(&here(), SECRET).unwrap(), SECRET);
        assert_eq!(none.seal_of_first_key(), None);
    }

    #[test]
    fn what_the_first_key_has_sealed_for_its_place_is_known_by_its_beginning() {
        let (old, new) = (vault(&[1]), vault(&[2, 1]));
        let seal = new.seal_of_first_key().unwrap();

        assert!(!SECRET.starts_with(&seal));
        assert!(!old.seal(&here(), SECRET).unwrap().starts_with(&seal));
        assert!(!sealed_by_an_earlier_version(&new, "one").starts_with(&seal));
        assert!(new.seal(&here(), SECRET).unwrap().starts_with(&seal));
    }

    #[test]
    fn a_text_that_is_no_key_is_named_by_its_place_and_not_shown() {
        let good = BASE64.encode([1; KEY_BYTES]);
        for wrong in ["hush", "c2hvcnQ=", &BASE64.encode([1; 31]), &BASE64.encode([1; 33])] {
            let fault = Vault::parse(&format!("{good} # the new one\n{wrong}")).unwrap_err();

            assert_eq!(fault, KeyError { nth: 2 });
            assert!(!fault.to_string().contains(wrong));
        }
    }
}
