//! Rules: secrets of endpoints at rest. With a key they are sealed: `sealed:KEY_ID:base64(nonce, ciphertext, tag)`, AES-256-GCM,
//! the endpoint's id as associated data, so that what is sealed for one endpoint opens for no other. Without a key they stand
//! as they are.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{Context, SHA256};
use ring::rand::{SecureRandom as _, SystemRandom};
use thiserror::Error;

const KEY_BYTES: usize = 32;
const PREFIX: &str = "sealed:";

/// The keys: the first seals, all of them open. None: nothing is sealed, and nothing sealed can be opened.
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

/// Why a text is not a key. Never contains the text.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error(
    "needs base64 of 32 bytes, as \"postrider secret new-key\" prints it; the {nth}. one is something else"
)]
pub struct KeyError {
    nth: usize,
}

/// Why a secret cannot be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum OpenError {
    /// This dispatcher does not have its key.
    #[error("sealed with key {0}, which is not among --encryption-key and --encryption-key-file")]
    UnknownKey(String),
    /// Somebody changed it, or moved it here from another endpoint.
    #[error("sealed with key {0}, and damaged")]
    Damaged(String),
}

/// The random source of the system has failed.
#[derive(Clone, Copy, Debug, Error)]
#[error("no random bytes from the system")]
pub struct NoRandomness;

impl Vault {
    /// Keys in base64, one a line or separated by commas; what follows a `#` is a comment.
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

    /// Whether this is a secret that the first key has not sealed.
    pub fn is_to_be_sealed(&self, text: &str) -> bool {
        self.key_id().is_some_and(|id| parts(text).is_none_or(|(key_id, _)| key_id != id))
    }

    /// The secret as it is to be stored.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn seal(&self, endpoint_id: &str, secret: &str) -> Result<String, NoRandomness> {
        let Some(Key { id, key }) = self.keys.first() else { return Ok(secret.to_owned()) };
        let nonce = random::<NONCE_LEN>()?;
        let mut bytes = secret.as_bytes().to_vec();
        let aad = Aad::from(endpoint_id.as_bytes());
        #[expect(clippy::map_err_ignore, reason = "ring tells nothing; it fails beyond 64 GiB")]
        let tag = key
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad, &mut bytes)
            .map_err(|_| NoRandomness)?;
        let sealed = [&nonce, bytes.as_slice(), tag.as_ref()].concat();
        Ok(format!("{PREFIX}{id}:{}", BASE64.encode(sealed)))
    }

    /// The secret as it was given. What is not sealed is it already.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open<'a>(&self, endpoint_id: &str, stored: &'a str) -> Result<Cow<'a, str>, OpenError> {
        let Some((id, encoded)) = parts(stored) else { return Ok(Cow::Borrowed(stored)) };
        let found = self.keys.iter().find(|key| key.id == id);
        let Key { key, .. } = found.ok_or_else(|| OpenError::UnknownKey(id.to_owned()))?;
        let opened = || {
            let mut bytes = BASE64.decode(encoded).ok()?;
            let (nonce, sealed) = bytes.split_first_chunk_mut::<NONCE_LEN>()?;
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let opened = key.open_in_place(nonce, Aad::from(endpoint_id.as_bytes()), sealed).ok()?;
            String::from_utf8(opened.to_vec()).ok()
        };
        opened().map(Cow::Owned).ok_or_else(|| OpenError::Damaged(id.to_owned()))
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

/// Key id and base64 of what is sealed.
fn parts(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix(PREFIX)?.split_once(':')
}

/// Bytes that nobody can guess.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    #[expect(clippy::map_err_ignore, reason = "ring tells nothing")]
    SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn vault(seeds: &[u8]) -> Vault {
        let keys: Vec<String> = seeds.iter().map(|seed| BASE64.encode([*seed; KEY_BYTES])).collect();
        Vault::parse(&keys.join("\n")).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_with_its_key_for_its_endpoint_alone() {
        let sealed = vault(&[1]).seal("one", SECRET).unwrap();

        assert!(!sealed.contains("whsec_"));
        assert_eq!(vault(&[1]).open("one", &sealed).unwrap(), SECRET);
        assert_eq!(vault(&[2, 1]).open("one", &sealed).unwrap(), SECRET);
        assert!(matches!(vault(&[1]).open("two", &sealed), Err(OpenError::Damaged(_))));
        assert!(matches!(vault(&[2]).open("one", &sealed), Err(OpenError::UnknownKey(_))));
        assert!(matches!(Vault::default().open("one", &sealed), Err(OpenError::UnknownKey(_))));
    }

    #[test]
    fn a_bit_that_is_changed_is_noticed() {
        let sealed = vault(&[1]).seal("one", SECRET).unwrap();
        let (head, encoded) = sealed.rsplit_once(':').unwrap();
        let bytes = BASE64.decode(encoded).unwrap();

        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            let changed = format!("{head}:{}", BASE64.encode(changed));
            assert!(vault(&[1]).open("one", &changed).is_err(), "byte {place}");
        }
        assert!(vault(&[1]).open("one", &format!("{head}:AAAA")).is_err());
    }

    #[test]
    fn the_same_secret_is_sealed_differently_each_time() {
        assert_ne!(vault(&[1]).seal("one", SECRET).unwrap(), vault(&[1]).seal("one", SECRET).unwrap());
    }

    #[test]
    fn without_a_key_secrets_stand_as_they_are() {
        let none = Vault::parse("# no key\n\n").unwrap();

        assert_eq!(none.seal("one", SECRET).unwrap(), SECRET);
        assert_eq!(none.open("one", SECRET).unwrap(), SECRET);
        assert!(!none.is_to_be_sealed(SECRET));
    }

    #[test]
    fn what_stands_in_the_clear_or_is_sealed_by_another_key_is_to_be_sealed() {
        let (old, new) = (vault(&[1]), vault(&[2, 1]));

        assert!(new.is_to_be_sealed(SECRET));
        assert!(new.is_to_be_sealed(&old.seal("one", SECRET).unwrap()));
        assert!(!new.is_to_be_sealed(&new.seal("one", SECRET).unwrap()));
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
