//! CloudEvents 1.0 over HTTP (cloudevents/spec, `bindings/http-protocol-binding.md`), binary and structured.

use std::fmt::Write as _;
use std::time::SystemTime;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::model::event::Event;

/// The `content-type` of a structured event.
pub(crate) const STRUCTURED: &str = "application/cloudevents+json; charset=UTF-8";
const SOURCE_BYTES_MAX: usize = 512;

/// The attributes that CloudEvents gives an event. `time` is RFC 3339.
#[derive(Serialize)]
pub(crate) struct Attributes<'a> {
    pub specversion: &'static str,
    pub id: &'a str,
    pub source: &'a str,
    #[serde(rename = "type")]
    pub kind: &'a str,
    pub time: String,
}

#[derive(Serialize)]
struct Structured<'a> {
    #[serde(flatten)]
    attributes: Attributes<'a>,
    datacontenttype: &'static str,
    data: &'a RawValue,
}

impl<'a> Attributes<'a> {
    /// The attributes of an event: its `webhook-id`, its topic, and the time when it was inserted.
    pub(crate) fn of(event: &'a Event, source: &'a str) -> Self {
        Self::new(&event.webhook_id, source, &event.topic, event.created_at)
    }

    fn new(id: &'a str, source: &'a str, kind: &'a str, time: SystemTime) -> Self {
        let time = humantime::format_rfc3339_micros(time.max(SystemTime::UNIX_EPOCH)).to_string();
        Self { specversion: "1.0", id, source, kind, time }
    }

    /// The attributes as headers, for binary mode.
    pub(crate) fn headers(&self) -> [(&'static str, String); 5] {
        [
            ("ce-specversion", self.specversion.to_owned()),
            ("ce-id", encode(self.id)),
            ("ce-source", encode(self.source)),
            ("ce-type", encode(self.kind)),
            ("ce-time", encode(&self.time)),
        ]
    }

    /// One document for structured mode, with the payload as `data`, byte for byte.
    ///
    /// # Errors
    /// When the payload is no JSON for us. PostgreSQL's `json` always is, unless it is nested deeper than we read.
    pub(crate) fn document(self, payload: &[u8]) -> Result<Bytes, serde_json::Error> {
        let data: &RawValue = serde_json::from_slice(payload)?;
        let structured = Structured { attributes: self, datacontenttype: "application/json", data };
        serde_json::to_vec(&structured).map(Bytes::from)
    }
}

/// Encodes the value of a header (section 3.1.3.2). Characters outside visible ASCII, `"` and `%` become a percent sign and two
/// digits for each byte of UTF-8.
pub(crate) fn encode(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_graphic() && byte != b'"' && byte != b'%' {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String does not fail.
            let _written = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// Whether a text may be a `source`: a URI reference (RFC 3986) of 1 to 512 bytes.
pub(crate) fn is_source(text: &str) -> bool {
    let base = url::Url::parse("https://postrider.invalid/");
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&b);
    (1..=SOURCE_BYTES_MAX).contains(&text.len())
        && text.bytes().all(is_allowed)
        && base.is_ok_and(|base| base.join(text).is_ok())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;

    /// 2018-04-05T03:56:24Z, as in cloudevents/conformance at 7a8ee0a, `features/http-protocol-binding.feature`.
    fn official() -> Attributes<'static> {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_522_900_584);
        Attributes::new("1234-1234-1234", "/mycontext/subcontext", "com.example.someevent", time)
    }

    #[test]
    fn the_official_event_in_binary_mode() {
        assert_eq!(
            official().headers(),
            [
                ("ce-specversion", "1.0".to_owned()),
                ("ce-id", "1234-1234-1234".to_owned()),
                ("ce-source", "/mycontext/subcontext".to_owned()),
                ("ce-type", "com.example.someevent".to_owned()),
                ("ce-time", "2018-04-05T03:56:24.000000Z".to_owned()),
            ]
        );
    }

    #[test]
    fn the_official_event_in_structured_mode() {
        let payload = "{\n    \"message\": \"Hello World!\"\n}";

        let document = official().document(payload.as_bytes()).unwrap();

        assert_eq!(
            serde_json::from_slice::<Value>(&document).unwrap(),
            json!({
                "specversion": "1.0",
                "type": "com.example.someevent",
                "time": "2018-04-05T03:56:24.000000Z",
                "id": "1234-1234-1234",
                "source": "/mycontext/subcontext",
                "datacontenttype": "application/json",
                "data": {"message": "Hello World!"},
            })
        );
    }

    /// The data of `yaml/v1.0/v1_minimum.yaml` that are JSON, and what must not be understood on the way.
    #[test]
    fn data_are_not_touched() {
        for data in [
            "\"Hello, 🌎!\"",
            "{\"msg\":\"Hello, 🌎!\"}",
            "[\"Hello\",\"🌎!\"]",
            "{\"a\": 1,  \"a\": 1e400}",
            "\"\\u0000 \\ud800\"",
            "-0",
            "null",
        ] {
            let document = official().document(data.as_bytes()).unwrap();

            let text = String::from_utf8(document.to_vec()).unwrap();
            assert!(text.ends_with(&format!("\"data\":{data}}}")), "{text}");
        }
        let deep = "[".repeat(5000) + &"]".repeat(5000);
        assert!(official().document(deep.as_bytes()).is_ok());
    }

    #[test]
    fn a_header_is_encoded_as_the_specification_has_it() {
        // The example of section 3.1.3.2.
        assert_eq!(encode("Euro € 😀"), "Euro%20%E2%82%AC%20%F0%9F%98%80");
        assert_eq!(encode("a\"b%c\n"), "a%22b%25c%0A");
    }

    #[test]
    fn a_source_is_a_uri_reference() {
        for good in ["/postrider", "https://example.com/a?b#c", "urn:uuid:6e8bc430", "//example.com/a", "a"] {
            assert!(is_source(good), "{good}");
        }
        for bad in ["", "a b", "ü", "https://[::1", "a\"b", "\n", &"a".repeat(513)] {
            assert!(!is_source(bad), "{bad}");
        }
    }
}
