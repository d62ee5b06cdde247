//! Rules: the signature of Standard Webhooks 1.0.0, `v1` (HMAC-SHA256 over `id.timestamp.body`).

use standardwebhooks::{Webhook, WebhookError};

use crate::endpoint::SigningSecret;

/// Signs one attempt: the value of the `webhook-signature` header, one signature per secret, separated by spaces.
///
/// `timestamp` is in seconds of the Unix epoch, `payload` are the bytes that are sent.
///
/// # Errors
/// [`WebhookError::InvalidPayload`] when the payload is not UTF-8, which a `json` column of a UTF-8 database cannot hold.
pub fn sign<'a>(
    secrets: impl Iterator<Item = &'a SigningSecret>,
    webhook_id: &str,
    timestamp: i64,
    payload: &[u8],
) -> Result<String, WebhookError> {
    let sign = |secret: &SigningSecret| {
        Webhook::from_bytes(secret.as_bytes().to_vec())?.sign(webhook_id, timestamp, payload)
    };
    let signatures: Vec<String> = secrets.map(sign).collect::<Result<_, _>>()?;
    Ok(signatures.join(" "))
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

            assert_eq!(sign(iter::once(&secret), id, timestamp, body.as_bytes()).unwrap(), expected);
        }
    }

    #[test]
    fn a_byte_of_white_space_changes_the_signature() {
        let (secret, id, timestamp, _, original) = OFFICIAL[1];
        let secret = secret.parse().unwrap();

        assert_ne!(sign(iter::once(&secret), id, timestamp, br#"{"test":2432232314}"#).unwrap(), original);
    }
}
