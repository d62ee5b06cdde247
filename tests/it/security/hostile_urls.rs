//! Every hostile URL of a table of 45 kinds (U1 to U45), as somebody would register it, and what becomes of it. What can only
//! be seen when it is called has a test of its own, named here.

use crate::support::CommandOutput;

/// Nobody answers here: what is refused was refused before a database was needed.
const NOWHERE: &str = "postgres://nobody@127.0.0.1:1/nothing";
/// What a URL that is accepted ends in: there is no database.
const ACCEPTED: &str = "cannot connect";

const INVALID: &str = "url is invalid: ";
const RELATIVE: &str = "url is invalid: relative URL without a base";
const NO_HOST: &str = "url is invalid: needs the form https://host/path";
const CREDENTIALS: &str = "url is invalid: contains credentials; use a header";
const ODD_CHARACTER: &str = "url is invalid: contains a space, a control character or a backslash";
const LOOPBACK: &str = "address 127.0.0.1 is not allowed: loopback, 127.0.0.0/8 (--allow-cidr permits it)";
const LABEL: &str = "url is invalid: host name has a label that is empty, longer than 63 bytes, or begins or ends with a hyphen";
const PORT: &str =
    "is not allowed, only 80, 443, and from 1024 all but the usual ports of databases and brokers";

/// Number, URLs, and what the complaint says; nothing is said of those with a test of their own.
const URLS: &[(&str, &[&str], &str)] = &[
    ("U1", &["", "example.com/hook", "//example.com/"], RELATIVE),
    ("U2", &["https://"], "url is invalid: empty host"),
    (
        "U3",
        &["ftp://example.com/", "file:///etc/passwd", "gopher://example.com/", "http+unix://run/x"],
        "is not allowed, only https",
    ),
    ("U3", &["javascript:alert(1)", "data:text/plain,x", "unix:/run/x"], "is not allowed, only https"),
    ("U4", &["http://example.com/"], "url needs https (--allow-http permits http)"),
    ("U5", &["https://user:pass@example.com/", "https://user@example.com/"], CREDENTIALS),
    ("U6", &["https://example.com@127.0.0.1/"], CREDENTIALS),
    ("U7", &["https://127.0.0.1#@example.com/"], "contains a fragment"),
    ("U8", &["https://example.com\\@127.0.0.1/"], ODD_CHARACTER),
    ("U9", &["https:127.0.0.1", "https:///127.0.0.1"], NO_HOST),
    ("U9", &["https:/\\/127.0.0.1"], ODD_CHARACTER),
    (
        "U10",
        &[
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0177.0.0.1/",
            "https://0x7f.1/",
            "https://017700000001/",
        ],
        LOOPBACK,
    ),
    ("U11", &["https://127.0.0.1./", "https://１２７.0.0.1/", "https://①②⑦.⓪.⓪.①/"], LOOPBACK),
    ("U12", &["https://0/", "https://0.0.0.0/"], "address 0.0.0.0 is not allowed: this network, 0.0.0.0/8"),
    ("U12", &["https://[::]/"], "address :: is not allowed: unspecified, ::/128"),
    ("U13", &["https://[::1]/"], "address ::1 is not allowed: loopback, ::1/128"),
    (
        "U13",
        &["https://localhost/", "https://LOCALHOST./", "https://foo.localhost/"],
        "address 127.0.0.1 is not allowed: loopback",
    ),
    ("U14", &["https://[::ffff:127.0.0.1]/", "https://[::ffff:7f00:1]/"], LOOPBACK),
    (
        "U14",
        &["https://[0:0:0:0:0:ffff:a9fe:a9fe]/"],
        "address 169.254.169.254 is not allowed: link-local, 169.254.0.0/16",
    ),
    ("U15", &["https://[::127.0.0.1]/"], "address ::7f00:1 is not allowed: IPv4-compatible, ::/96"),
    ("U16", &["https://169.254.169.254/latest"], "is not allowed: link-local, 169.254.0.0/16"),
    ("U16", &["https://100.100.100.200/"], "is not allowed: carrier-grade NAT, 100.64.0.0/10"),
    ("U16", &["https://168.63.129.16/"], "is not allowed: host service of Azure, 168.63.129.16/32"),
    ("U16", &["https://192.0.0.192/"], "is not allowed: IETF protocol assignments, 192.0.0.0/24"),
    ("U16", &["https://[fd00:ec2::254]/"], "is not allowed: unique local, fc00::/7"),
    // A name says nothing of where it leads: judged when it is called.
    ("U17", &["https://metadata.google.internal/"], ACCEPTED),
    ("U18", &["https://[64:ff9b::a9fe:a9fe]/", "https://[64:ff9b::808:808]/"], "NAT64, 64:ff9b::/96"),
    ("U18", &["https://[64:ff9b:1::1]/"], "NAT64, 64:ff9b:1::/48"),
    ("U19", &["https://[2002:7f00:1::]/"], "6to4, 2002::/16"),
    ("U20", &["https://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/"], "Teredo, 2001::/32"),
    ("U21", &["https://10.1.2.3/"], "private, 10.0.0.0/8"),
    ("U21", &["https://172.16.0.1/", "https://172.31.255.255/"], "private, 172.16.0.0/12"),
    ("U21", &["https://192.168.1.1/"], "private, 192.168.0.0/16"),
    ("U21", &["https://[fc00::1]/"], "unique local, fc00::/7"),
    ("U21", &["https://[fe80::1]/"], "link-local, fe80::/10"),
    ("U21", &["https://[fec0::1]/"], "site-local, fec0::/10"),
    ("U22", &["https://100.64.0.1/", "https://100.127.255.254/"], "carrier-grade NAT, 100.64.0.0/10"),
    ("U22", &["https://198.18.0.1/"], "benchmarking, 198.18.0.0/15"),
    ("U22", &["https://192.0.2.1/"], "documentation, 192.0.2.0/24"),
    ("U22", &["https://203.0.113.1/"], "documentation, 203.0.113.0/24"),
    ("U22", &["https://240.0.0.1/", "https://255.255.255.255/"], "reserved, 240.0.0.0/4"),
    ("U22", &["https://224.0.0.1/"], "multicast, 224.0.0.0/4"),
    ("U22", &["https://[ff02::1]/"], "multicast, ff00::/8"),
    ("U22", &["https://[100::1]/"], "discard, 100::/64"),
    ("U22", &["https://[5f00::1]/"], "segment routing, 5f00::/16"),
    ("U22", &["https://[3fff::1]/"], "documentation, 3fff::/20"),
    ("U22", &["https://[4000::1]/"], "not global unicast"),
    (
        "U22",
        &["https://100.63.255.254/", "https://100.128.0.1/", "https://[2001:4860:4860::8888]/"],
        ACCEPTED,
    ),
    ("U22", &["https://[::ffff:8.8.8.8]/"], ACCEPTED),
    (
        "U23",
        &["https://[fe80::1%eth0]/", "https://[fe80::1%25eth0]/"],
        "url is invalid: invalid IPv6 address",
    ),
    ("U24", &["https://127.0.0.1.nip.io/", "https://169.254.169.254.sslip.io/"], ACCEPTED),
    ("U29", &["https://example.com:0/"], "url is invalid: port 0"),
    (
        "U29",
        &[
            "https://example.com:22/",
            "https://example.com:25/",
            "https://example.com:5432/",
            "https://example.com:6379/",
        ],
        PORT,
    ),
    ("U29", &["https://example.com:80/", "https://example.com:8443/", "https://example.com:443/"], ACCEPTED),
    ("U30", &["https://example.com:99999/"], "url is invalid: invalid port number"),
    ("U31", &["https://exam\tple.com/", "https://example.com/\r\nX-Evil: 1"], ODD_CHARACTER),
    // Sent as it stands: deliveries::request::a_request_is_a_post_to_the_url_with_its_query.
    ("U32", &["https://example.com/%0d%0aX-Evil:1"], ACCEPTED),
    ("U33", &["https://exa mple.com/"], ODD_CHARACTER),
    ("U33", &["https://xn--/"], INVALID),
    ("U34", &["https://a..b/", "https://./", "https://-.com/", "https://a-.com/"], LABEL),
    ("U35", &["https://1.2.3.4.5/", "https://256.1.1.1/"], "url is invalid: invalid IPv4 address"),
    ("U35", &["https://[::1"], INVALID),
    ("U36", &["https://8.8.8/"], "url is invalid: the host means 8.8.0.8: write it so"),
    // Names in other scripts are called by their ASCII form; which of two that look alike is meant, nobody can tell.
    ("U37", &["https://exаmple.com/", "https://example。com/"], ACCEPTED),
    ("U42", &["https://127.0.0.1:5432/"], LOOPBACK),
    ("U42", &["https://8.8.8.8:5432/"], PORT),
    ("U39", &["https://example.com/#frag"], "contains a fragment, which is never sent"),
    // Owners may know no better way; no log line and no error shows a query.
    ("U40", &["https://example.com/?access_token=abc"], ACCEPTED),
];

/// What is tested where it is called.
const ELSEWHERE: &[(&str, &str)] = &[
    ("U25", "egress/resolver.rs: a_name_that_changes_its_mind_is_judged_by_what_it_says_now"),
    ("U26", "egress/resolver.rs: of_a_public_and_a_private_address_of_a_name_the_public_one_is_dialled"),
    ("U27", "egress/resolver.rs: names_that_lead_inside_are_refused_with_the_range"),
    ("U28", "the same"),
    ("U38", "a_url_that_is_too_long_is_refused"),
    ("U41", "loopback, or a port and a token of the operator's choice: api_guard"),
    ("U43", "security::egress::a_redirect_to_somebody_else_is_not_followed"),
    ("U44", "security::egress::proxies_of_the_environment_are_passed_by"),
    (
        "U45",
        "deliveries::misbehaving_receivers::a_name_that_does_not_resolve_is_a_failed_attempt_that_says_so",
    ),
];

#[tokio::test]
async fn every_kind_of_hostile_url_has_its_outcome() {
    let mut wrong = Vec::new();
    for (number, urls, expected) in URLS {
        for url in *urls {
            let output = CommandOutput::run(NOWHERE, &["endpoint", "put", "one", "--url", url]).await;

            let code = if *expected == ACCEPTED { 1 } else { 64 };
            if output.code != Some(code) || !output.stderr.contains(expected) {
                wrong.push(format!("{number} {url:?}: {:?} {}", output.code, output.stderr));
            }
        }
    }

    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_kind_is_left_out() {
    for number in 1..=45 {
        let name = format!("U{number}");

        let is_there = URLS.iter().map(|(name, ..)| name).chain(ELSEWHERE.iter().map(|(name, _)| name));

        assert!(is_there.into_iter().any(|known| *known == name), "{name}");
    }
}

#[tokio::test]
async fn a_url_that_is_too_long_is_refused() {
    for url in [
        format!("https://example.com/{}", "x".repeat(2048)),
        format!("https://{}.com/", "x".repeat(64)),
        format!("https://{}com/", "abcdefg.".repeat(32)),
    ] {
        let output = CommandOutput::run(NOWHERE, &["endpoint", "put", "one", "--url", &url]).await;

        assert_eq!(output.code, Some(64), "{url}: {}", output.stderr);
    }
}

#[tokio::test]
async fn leave_is_given_by_range_and_by_port_and_taken_by_range() {
    for (flags, url, expected) in [
        (&["--allow-cidr", "127.0.0.0/8"][..], "https://127.0.0.1/", ACCEPTED),
        (&["--allow-cidr", "127.0.0.0/8"], "https://localhost/", ACCEPTED),
        (&["--allow-port", "22,5432"], "https://example.com:5432/", ACCEPTED),
        (&["--allow-port", "22"], "https://example.com:5432/", PORT),
        (
            &["--deny-cidr", "8.8.8.0/24"],
            "https://8.8.8.8/",
            "address 8.8.8.8 is not allowed: in 8.8.8.0/24 of --deny-cidr",
        ),
        (
            &["--allow-cidr", "10.0.0.0/8", "--deny-cidr", "10.1.0.0/16"],
            "https://10.1.2.3/",
            "address 10.1.2.3 is not allowed: in 10.1.0.0/16 of --deny-cidr",
        ),
        (&["--allow-cidr", "10.0.0.0/8", "--deny-cidr", "10.1.0.0/16"], "https://10.2.0.1/", ACCEPTED),
        (&["--allow-cidr", "64:ff9b::/96"], "https://[64:ff9b::93.184.216.34]/", ACCEPTED),
        (
            &["--allow-cidr", "64:ff9b::/96"],
            "https://[64:ff9b::a9fe:a9fe]/",
            "address 64:ff9b::a9fe:a9fe is not allowed: it leads to 169.254.169.254, link-local, 169.254.0.0/16",
        ),
        (
            &["--allow-cidr", "2002::/16"],
            "https://[2002:c0a8:101::1]/",
            "it leads to 192.168.1.1, private, 192.168.0.0/16",
        ),
        (&["--allow-cidr", "64:ff9b::/96,10.0.0.0/8"], "https://[64:ff9b::a00:1]/", ACCEPTED),
        (
            &["--allow-cidr", "64:ff9b::/96", "--deny-cidr", "203.0.114.0/24"],
            "https://[64:ff9b::203.0.114.9]/",
            "it leads to 203.0.114.9, in 203.0.114.0/24 of --deny-cidr",
        ),
        (&["--allow-cidr", "::ffff:10.0.0.0/104"], "https://10.1.2.3/", ACCEPTED),
    ] {
        let put = ["endpoint", "put", "one", "--url", url];

        let output = CommandOutput::run(NOWHERE, &[&put[..], flags].concat()).await;

        assert!(output.stderr.contains(expected), "{flags:?} {url}: {}", output.stderr);
    }
}
