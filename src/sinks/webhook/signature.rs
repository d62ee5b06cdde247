//! The signatures of Standard Webhooks 1.0.0 over `id.timestamp.body`: `v1` (HMAC-SHA256) and `v1a` (ed25519).
//!
//! ring makes them, which the TLS stack brings along, and reads the body in place. The official crate copies the body first and
//! took three times as long. That crate verifies what is sent, in `postrider receive` and in every test.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::hmac;

use crate::model::endpoint::{SigningKey, SigningSecret};

/// The content that a signature covers.
#[derive(Clone, Copy, Debug)]
pub struct SignedContent<'a> {
    /// `webhook-id`, without a full stop.
    pub webhook_id: &'a str,
    /// `webhook-timestamp`, in seconds of the Unix epoch.
    pub timestamp: i64,
    /// The bytes that are sent.
    pub body: &'a [u8],
}

/// Signs one attempt. Returns the value of the `webhook-signature` header: one signature per secret and one of the key,
/// separated by spaces.
pub fn sign<'a>(
    secrets: impl Iterator<Item = &'a SigningSecret>,
    key: Option<&SigningKey>,
    signed: SignedContent<'_>,
) -> String {
    let timestamp = signed.timestamp.to_string();
    let parts = [signed.webhook_id.as_bytes(), b".", timestamp.as_bytes(), b".", signed.body];
    let mut signatures = String::new();
    for secret in secrets {
        let mut context = hmac::Context::with_key(secret.key());
        for part in parts {
            context.update(part);
        }
        let separator = if signatures.is_empty() { "" } else { " " };
        signatures.push_str(separator);
        signatures.push_str("v1,");
        BASE64.encode_string(context.sign(), &mut signatures);
    }
    if let Some(key) = key {
        // Ed25519 reads the content twice, so the content must lie in one piece.
        signatures.push_str(" v1a,");
        signatures.push_str(&key.sign(&parts.concat()));
    }
    signatures
}

#[cfg(test)]
mod tests {
    use std::iter;

    use super::*;

    /// Official vectors: standard-webhooks at b2fa7b8, `libraries/rust` and `libraries/{go,python,…}`.
    const OFFICIAL: [(&str, &str, i64, &str, &str); 2] = [
        (
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
            1_649_367_553,
            r#"{"email":"test@example.com","username":"test_user"}"#,
            "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
        ),
        (
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        ),
    ];

    fn v1(secret: &str, webhook_id: &str, timestamp: i64, body: &str) -> String {
        let secret = secret.parse().unwrap();
        sign(iter::once(&secret), None, SignedContent { webhook_id, timestamp, body: body.as_bytes() })
    }

    #[test]
    fn both_official_vectors_are_reproduced() {
        for (secret, id, timestamp, body, expected) in OFFICIAL {
            assert_eq!(v1(secret, id, timestamp, body), expected);
        }
    }

    /// Computed from the formula by another implementation (Python's hmac); key and id of the second official vector.
    #[test]
    fn derived_vectors_are_reproduced() {
        let (secret, id, timestamp, ..) = OFFICIAL[1];
        for (timestamp, body, expected) in [
            (timestamp, "", "v1,v48jdbgvh29KJz2Qc+ghw8G6vG3nAKnujWBg8oM/62A="),
            (timestamp, "{\"msg\":\"Hello, 🌎! ü\"}", "v1,yWs2z9COPauR9SH1oN5/9hknqXmcJ9ZKx7cg8aJQQJA="),
            (timestamp, "{\"test\":2432232314}", "v1,Vif40peJBP7Iyl0XGmu61n4MwdrcHov5CFREBpE0svs="),
            (timestamp, "{\"test\": 2432232314}\n", "v1,FIt3hYjPQCdyuyMOw+0dZwwjGRAx1Il4CsgdFnOmrcc="),
            (0, "{}", "v1,K8OhjQjz7C2i2l0GQ9XvYuY/fjSbY3SxMYgAqLrKboQ="),
        ] {
            assert_eq!(v1(secret, id, timestamp, body), expected, "{body:?}");
        }
    }

    #[test]
    fn two_secrets_sign_one_after_the_other() {
        let [(second, ..), (first, webhook_id, timestamp, body, expected)] = OFFICIAL;
        let secrets = [first.parse().unwrap(), second.parse().unwrap()];

        let signed = SignedContent { webhook_id, timestamp, body: body.as_bytes() };
        assert_eq!(
            sign(secrets.iter(), None, signed),
            format!("{expected} v1,78nXHjpFP0tVJQW5D0SBwmVyyW87BV/rL6MgfM/Bw44=")
        );
    }

    /// Svix' own vector of `v1a` (worker.rs, `test_asymmetric_key_signing`); no official library has one.
    #[test]
    fn a_key_of_ed25519_signs_beside_the_secret() {
        let (secret, webhook_id, timestamp, body, expected) = OFFICIAL[1];
        let secret = secret.parse().unwrap();
        let key: SigningKey =
            "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
                .parse()
                .unwrap();

        let signed = SignedContent { webhook_id, timestamp, body: body.as_bytes() };
        assert_eq!(
            sign(iter::once(&secret), Some(&key), signed),
            format!(
                "{expected} v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
            )
        );
        assert_eq!(key.public_key(), "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=");
    }

    /// Why a `webhook-id` has no full stop: these two would have one signature.
    #[test]
    fn a_full_stop_in_an_id_would_be_ambiguous() {
        let secret = OFFICIAL[1].0;

        assert_eq!(v1(secret, "a", 1, "2.x"), v1(secret, "a.1", 2, "x"));
    }

    #[test]
    fn a_byte_of_white_space_changes_the_signature() {
        let (secret, id, timestamp, _, original) = OFFICIAL[1];

        assert_ne!(v1(secret, id, timestamp, r#"{"test":2432232314}"#), original);
    }
}
