//! The URL of an endpoint template. One name in braces stands for a value, which the destination of an event names:
//!
//! ```text
//! devices        http://{destination}:8080/config      a template
//! devices/10.20.3.4    http://10.20.3.4:8080/config    its endpoint for the value 10.20.3.4
//! ```
//!
//! A value stands in the host, is the port, or stands in a segment of the path. It is percent-encoded, and what comes out is compared
//! with the template, so that a value is never more than that. `postrider.child_url` makes the same URLs for the views.

use std::fmt::Write;
use std::net::Ipv6Addr;
use std::ops::Range;

use thiserror::Error;
use url::{Host, Url};

/// Longest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 255;
const URL_BYTES_MAX: usize = 2048;

/// The URL of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateUrl {
    /// Scheme, host and port.
    front: String,
    /// Path and query.
    rest: String,
    /// `{name}`.
    placeholder: String,
    host: HostPart,
    is_port: bool,
    /// The URL with a value that is nobody's.
    sample: Url,
}

/// What of the host is the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HostPart {
    None,
    Some,
    Whole,
}

/// Why a text with a name in braces is no template.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TemplateError {
    /// Two names.
    #[error("a template has one name in braces, once or more, and this has two")]
    Names,
    /// The name stands where no value may stand.
    #[error("a name in braces stands in the host, is the whole port, or stands in a segment of the path")]
    Place,
    /// With a value in it, it is no URL.
    #[error("with a value in it, it is no url: {0}")]
    Url(url::ParseError),
}

/// A value does not fit into the URL of its template.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the value does not fit into the url of its template")]
pub struct Misfit;

impl TemplateUrl {
    /// Whether a URL is meant as that of a template.
    pub fn is_meant(url: &str) -> bool {
        placeholders(url).next().is_some()
    }

    /// Reads the URL of a template.
    ///
    /// # Errors
    /// [`TemplateError`].
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let first = placeholders(text).next().ok_or(TemplateError::Place)?;
        let placeholder = text.get(first).unwrap_or_default().to_owned();
        if placeholders(text).any(|range| text.get(range) != Some(&placeholder)) {
            return Err(TemplateError::Names);
        }
        let scheme_end = text.find("://").map_or(0, |at| at + 3);
        let (scheme, after) = text.split_at(scheme_end);
        let authority_end = after.find(['/', '?', '#']).unwrap_or(after.len());
        let (authority, rest) = after.split_at(authority_end);
        let path_end = rest.find(['?', '#']).unwrap_or(rest.len());
        let (host, port) = split_authority(authority);
        let is_elsewhere = scheme.contains(&placeholder)
            || rest.get(path_end..).is_some_and(|query| query.contains(&placeholder))
            || authority.contains('@')
            || (host.starts_with('[') && host.contains(&placeholder))
            || (port.contains(&placeholder) && port != placeholder)
            || placeholders(text).any(|range| ends_in_percent(text.get(..range.start).unwrap_or_default()));
        if is_elsewhere {
            return Err(TemplateError::Place);
        }
        let value_in_host = match host {
            whole if whole == placeholder => HostPart::Whole,
            some if some.contains(&placeholder) => HostPart::Some,
            _ => HostPart::None,
        };
        let (front, is_port) = (format!("{scheme}{authority}"), port == placeholder);
        let sample = |host: &str| {
            let front =
                if is_port { format!("{scheme}{}:80", authority_host(authority)) } else { front.clone() };
            Url::parse(&[front.replace(&placeholder, host), rest.replace(&placeholder, "x")].concat())
        };
        // `10.20.{n}.1` is an address with a digit, and no name with a letter.
        let sample = sample("x").or_else(|_| sample("1")).map_err(TemplateError::Url)?;
        Ok(Self { front, rest: rest.to_owned(), placeholder, host: value_in_host, is_port, sample })
    }

    /// The URL with a value in it that is nobody's, to be judged when the template is put.
    pub fn sample(&self) -> &Url {
        &self.sample
    }

    /// The URL with this value in it.
    ///
    /// # Errors
    /// [`Misfit`]: the value is empty, too long or has a control character, or what comes out is another URL than the template's: no
    /// host, no port, or a path of other segments. An address must be written as people write it, as 10.20.3.4.
    pub fn fill(&self, value: &str) -> Result<Url, Misfit> {
        let is_in_path = self.rest.contains(&self.placeholder);
        let fits = (1..=VALUE_BYTES_MAX).contains(&value.len())
            && !value.contains(char::is_control)
            && !(is_in_path && value.bytes().all(|byte| byte == b'.'))
            && (!self.is_port || is_port(value));
        if !fits {
            return Err(Misfit);
        }
        let (encoded, host) = (encode(value), self.host_value(value)?);
        let front = self.front.replace(&self.placeholder, host.as_deref().unwrap_or(&encoded));
        let text = [front.as_str(), &self.rest.replace(&self.placeholder, &encoded)].concat();
        let url =
            Some(text).filter(|text| text.len() <= URL_BYTES_MAX).and_then(|text| Url::parse(&text).ok());
        url.filter(|url| self.is_like(url) && is_host_as_written(url, &front)).ok_or(Misfit)
    }

    /// The value as it stands in the host. `None` if it is encoded as elsewhere.
    fn host_value(&self, value: &str) -> Result<Option<String>, Misfit> {
        match self.host {
            HostPart::None => Ok(None),
            HostPart::Whole if value.contains(':') => {
                value.parse::<Ipv6Addr>().map(|_| Some(format!("[{value}]"))).or(Err(Misfit))
            }
            HostPart::Some | HostPart::Whole if value.bytes().all(may_be_in_a_host) => Ok(None),
            HostPart::Some | HostPart::Whole => Err(Misfit),
        }
    }

    /// Whether a URL differs from the template only where the value stands.
    fn is_like(&self, url: &Url) -> bool {
        let segments = |url: &Url| url.path().split('/').count();
        url.scheme() == self.sample.scheme()
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment() == self.sample.fragment()
            && url.query() == self.sample.query()
            && segments(url) == segments(&self.sample)
            && (self.host != HostPart::None || url.host() == self.sample.host())
            && (self.is_port || url.port() == self.sample.port())
    }
}

/// Where names in braces stand, in order.
fn placeholders(text: &str) -> impl Iterator<Item = Range<usize>> {
    text.match_indices('{').filter_map(|(start, _)| {
        let inside = text.get(start + 1..)?;
        let end = inside.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')?;
        let is_name =
            inside.get(end..)?.starts_with('}') && !inside.starts_with(|c: char| c.is_ascii_digit());
        (is_name && end > 0).then_some(start..start + end + 2)
    })
}

/// Host and port.
fn split_authority(authority: &str) -> (&str, &str) {
    let host = authority_host(authority);
    let port = authority.get(host.len()..).unwrap_or_default();
    (host, port.strip_prefix(':').unwrap_or(port))
}

fn authority_host(authority: &str) -> &str {
    let end =
        if authority.starts_with('[') { authority.find(']').map(|at| at + 1) } else { authority.find(':') };
    authority.get(..end.unwrap_or(authority.len())).unwrap_or_default()
}

/// Whether digits that follow would belong to a percent sign.
fn ends_in_percent(text: &str) -> bool {
    text.ends_with('%')
        || text.strip_suffix(|c: char| c.is_ascii_hexdigit()).is_some_and(|before| before.ends_with('%'))
}

fn is_port(value: &str) -> bool {
    !value.starts_with(['0', '+']) && value.parse::<u16>().is_ok()
}

/// Letters of other languages become those of a name in ASCII.
fn may_be_in_a_host(byte: u8) -> bool {
    !byte.is_ascii() || byte.is_ascii_alphanumeric() || b"-._".contains(&byte)
}

/// Percent-encodes all but the unreserved characters (RFC 3986, section 2.3).
fn encode(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing into a text does not fail.
            write!(encoded, "%{byte:02X}").unwrap_or_default();
        }
    }
    encoded
}

/// Whether the host is a name that DNS may know (RFC 1123, section 2.1), or an address as people write it: 0x7f.1 is none.
fn is_host_as_written(url: &Url, front: &str) -> bool {
    let written = front.split_once("://").map_or("", |(_, authority)| authority_host(authority));
    match url.host() {
        None => false,
        Some(Host::Ipv4(address)) => written == address.to_string(),
        Some(Host::Ipv6(_)) => true,
        Some(Host::Domain(name)) => {
            let name = name.strip_suffix('.').unwrap_or(name);
            let is_label = |label: &str| {
                (1..=63).contains(&label.len())
                    && !label.starts_with('-')
                    && !label.ends_with('-')
                    && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            };
            name.len() <= 253 && name.split('.').all(is_label)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn template(text: &str) -> TemplateUrl {
        TemplateUrl::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault}"))
    }

    fn filled(text: &str, value: &str) -> Option<String> {
        template(text).fill(value).ok().map(String::from)
    }

    #[test]
    fn a_value_stands_in_the_host_the_port_or_a_segment_of_the_path() {
        for (text, value, url) in [
            ("http://{destination}:8080/config", "10.20.3.4", "http://10.20.3.4:8080/config"),
            ("http://{destination}:8080/config", "fd00::7", "http://[fd00::7]:8080/config"),
            ("https://{t}.example.com/", "acme", "https://acme.example.com/"),
            ("https://{t}/", "b\u{fc}cher.example", "https://xn--bcher-kva.example/"),
            ("http://10.20.{n}.1/", "7", "http://10.20.7.1/"),
            ("http://10.0.0.1:{port}/", "8080", "http://10.0.0.1:8080/"),
            ("https://example.com/d/{id}/config?x=1", "a b/c", "https://example.com/d/a%20b%2Fc/config?x=1"),
            ("https://example.com/{id}", "100%", "https://example.com/100%25"),
            ("https://example.com/x{id}y/{id}", "..", "https://example.com/x..y/.."),
        ] {
            let expected = (!url.ends_with("..")).then(|| url.to_owned());
            assert_eq!(filled(text, value), expected, "{text} {value}");
        }
    }

    #[test]
    fn what_is_more_than_a_value_does_not_fit() {
        for (text, values) in [
            (
                "http://{d}:8080/x",
                &[
                    "",
                    "10.20.3.4/24",
                    "10.20.3.4:9",
                    "a@b",
                    "127.1",
                    "0x7f.1",
                    "2130706433",
                    "127.0.0.1.",
                    "a b",
                    "a\tb",
                    "%31",
                    "[::1]",
                    "::1%eth0",
                    "fd00::/8",
                    "a..b",
                    ".",
                    "-a",
                    "\u{ff11}27.0.0.1",
                    "a\\b",
                    "a?b",
                    "a#b",
                ][..],
            ),
            ("http://h:{p}/", &["", "0", "080", "+80", "65536", "80/", "8080@", "x"]),
            ("http://h/{p}/x", &["", ".", "..", "...", "a\nb", "a\u{85}b"]),
        ] {
            for value in values {
                assert_eq!(filled(text, value), None, "{text} {value:?}");
            }
        }
        assert_eq!(filled("http://h/{p}", &"a".repeat(256)), None);
        assert!(filled("http://h/{p}", &"a".repeat(255)).is_some());
    }

    #[test]
    fn a_name_stands_nowhere_else() {
        for text in [
            "{s}://example.com/",
            "http://h/?a={x}",
            "http://h/#{x}",
            "http://{u}@h/",
            "http://[{x}]/",
            "http://h:8{x}/",
            "http://{a}/{b}",
            "http://h/%2{x}",
            "http://h/%{x}",
        ] {
            assert!(TemplateUrl::is_meant(text) && TemplateUrl::parse(text).is_err(), "{text}");
        }
        for text in ["http://h/{}", "http://h/{a-b}", "http://h/{1}", "http://h/{a", "http://h/^`{|}"] {
            assert!(!TemplateUrl::is_meant(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_value_is_more_than_one_segment_of_the_path(value in "(?s).{0,40}") {
            if let Ok(url) = template("https://example.com/a/{v}/b?q=1").fill(&value) {
                let segments: Vec<&str> = url.path_segments().unwrap().collect();
                prop_assert_eq!((segments.len(), segments[0], segments[2]), (3, "a", "b"));
                prop_assert_eq!((url.host_str(), url.port(), url.query()), (Some("example.com"), None, Some("q=1")));
                let decoded: Vec<u8> = percent_decode(segments[1]);
                prop_assert_eq!(decoded, value.as_bytes());
            }
        }

        #[test]
        fn no_value_leaves_the_host(value in "[a-z0-9.:/?#@%\\\\\\[\\]_ -]{0,30}") {
            if let Ok(url) = template("http://{v}.example.com:8080/x").fill(&value) {
                prop_assert!(url.host_str().unwrap().ends_with(".example.com"));
                prop_assert_eq!((url.port(), url.path(), url.username()), (Some(8080), "/x", ""));
            }
        }
    }

    fn percent_decode(text: &str) -> Vec<u8> {
        let mut bytes = text.bytes();
        let mut decoded = Vec::new();
        while let Some(byte) = bytes.next() {
            if byte == b'%' {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                decoded.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
            } else {
                decoded.push(byte);
            }
        }
        decoded
    }
}
