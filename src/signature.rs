//! Rules: the signature of Standard Webhooks 1.0.0, `v1` (HMAC-SHA256 over `id.timestamp.body`). Computed by ring, which the
//! TLS stack brings along, in place: the official crate copies the body first and took three times as long. That one verifies
//! what is sent, in `postrider receive` and in every test.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::hmac;

use crate::endpoint::SigningSecret;

/// Signs one attempt: the value of the `webhook-signature` header, one signature per secret, separated by spaces.
///
/// `timestamp` is in seconds of the Unix epoch, `payload` are the bytes that are sent.
pub fn sign<'a>(
    secrets: impl Iterator<Item = &'a SigningSecret>,
    webhook_id: &str,
    timestamp: i64,
    payload: &[u8],
) -> String {
    let timestamp = timestamp.to_string();
    let mut signatures = String::new();
    for secret in secrets {
        let mut context = hmac::Context::with_key(secret.key());
        for part in [webhook_id.as_bytes(), b".", timestamp.as_bytes(), b".", payload] {
            context.update(part);
        }
        let separator = if signatures.is_empty() { "" } else { " " };
        signatures.push_str(separator);
        signatures.push_str("v1,");
        BASE64.encode_string(context.sign(), &mut signatures);
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

    #[test]
    fn both_official_vectors_are_reproduced() {
        for (secret, id, timestamp, body, expected) in OFFICIAL {
            let secret = secret.parse().unwrap();

            assert_eq!(sign(iter::once(&secret), id, timestamp, body.as_bytes()), expected);
        }
    }

    #[test]
    fn a_byte_of_white_space_changes_the_signature() {
        let (secret, id, timestamp, _, original) = OFFICIAL[1];
        let secret = secret.parse().unwrap();

        assert_ne!(sign(iter::once(&secret), id, timestamp, br#"{"test":2432232314}"#), original);
    }
}
