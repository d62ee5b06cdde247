//! Addresses and URLs, judged without a network.

use proptest::prelude::*;

use super::*;

fn strict() -> EgressPolicy {
    EgressPolicy { allow_http: true, ..EgressPolicy::default() }
}

#[test]
fn every_spelling_of_a_special_address_is_refused() {
    let hosts = [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.0.0.1.",
        "0.0.0.0",
        "0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.100.100.200",
        "192.0.0.192",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "203.0.113.1",
        "[::]",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::a9fe:a9fe]",
        "[64:ff9b:1::1]",
        "[2002:7f00:1::]",
        "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[fec0::1]",
        "[ff02::1]",
        "[100::1]",
        "[5f00::1]",
        "[3fff::1]",
        "[2001:db8::1]",
    ];

    for host in hosts {
        let judged = strict().judge_text(&format!("http://{host}/"));

        assert!(matches!(judged, Err(NotAllowed::Address { .. })), "{host}: {judged:?}");
    }
}

#[test]
fn public_addresses_and_names_are_allowed() {
    for host in ["93.184.216.34", "1.1.1.1", "[2606:4700::1111]", "example.com", "example.com."] {
        assert!(strict().judge_text(&format!("https://{host}/hook")).is_ok(), "{host}");
    }
}

#[test]
fn an_allowed_range_lets_in_itself_alone() {
    let policy = EgressPolicy {
        allow_http: true,
        allow_cidrs: vec!["127.0.0.0/8".parse().unwrap()],
        ..EgressPolicy::default()
    };

    assert!(policy.judge_address("127.9.9.9".parse().unwrap()).is_ok());
    assert!(policy.judge_address("::ffff:127.0.0.1".parse().unwrap()).is_ok());
    assert!(policy.judge_address("10.0.0.1".parse().unwrap()).is_err());
    assert!(policy.judge_address("::1".parse().unwrap()).is_err());
}

#[test]
fn an_address_that_carries_another_is_let_in_only_if_both_are() {
    let allowing = |cidrs: &[&str]| EgressPolicy {
        allow_cidrs: cidrs.iter().map(|cidr| parse_range(cidr).unwrap()).collect(),
        ..EgressPolicy::default()
    };
    for (cidr, public, special) in [
        ("64:ff9b::/96", "64:ff9b::93.184.216.34", "64:ff9b::169.254.169.254"),
        ("64:ff9b::/96", "64:ff9b::808:808", "64:ff9b::a83f:8110"),
        ("64:ff9b:1::/96", "64:ff9b:1::8.8.8.8", "64:ff9b:1::192.168.0.7"),
        ("64:ff9b:1::/48", "64:ff9b:1::8.8.8.8", "64:ff9b:1:a9fe:a9:fe00:808:808"),
        ("64:ff9b:1::/48", "64:ff9b:1:808:8:800::", "64:ff9b:1:c0:a8:7::"),
        ("2002::/16", "2002:808:808::1", "2002:ac1f:1::1"),
        ("2001::/32", "2001:0:808:808:0:0:f7f7:f7f7", "2001:0:808:808::80ff:fffe"),
        ("2001::/32", "2001:0:808:808:0:0:f7f7:f7f7", "2001:0:a00:1:0:0:f7f7:f7f7"),
        ("::/96", "::8.8.8.8", "::127.0.0.1"),
        ("::/0", "::ffff:0:8.8.8.8", "::ffff:0:127.0.0.1"),
        ("fe80::/10", "fe80::5efe:8.8.8.8", "fe80::200:5efe:10.0.0.1"),
        ("::1/128", "::1", "2606:4700::5efe:10.0.0.1"),
    ] {
        let policy = allowing(&[cidr]);
        assert_eq!(policy.judge_address(public.parse().unwrap()), Ok(()), "{cidr}");
        let judged = policy.judge_address(special.parse().unwrap());
        assert!(matches!(judged, Err(NotAllowed::Address { .. })), "{cidr} {special}: {judged:?}");

        // Leave for what it carries is leave for both.
        let both = allowing(&[cidr, "0.0.0.0/0"]).judge_address(special.parse().unwrap());
        assert_eq!(both, Ok(()), "{cidr} {special}");
    }
    let said = allowing(&["64:ff9b::/96"]).judge_address("64:ff9b::a00:1".parse().unwrap()).unwrap_err();
    assert_eq!(
        said.to_string(),
        "address 64:ff9b::a00:1 is not allowed: it leads to 10.0.0.1, private, 10.0.0.0/8 (--allow-cidr permits it)"
    );
}

#[test]
fn a_denied_range_denies_every_spelling_of_it() {
    for (denied, addresses) in [
        (
            "203.0.114.0/24",
            &["203.0.114.9", "::ffff:203.0.114.9", "64:ff9b::203.0.114.9", "2002:cb00:7209::1"][..],
        ),
        (
            "::ffff:8.8.0.0/112",
            &["8.8.8.8", "::ffff:8.8.8.8", "64:ff9b:1::8.8.8.8", "2001:0:101:101::f7f7:f7f7"],
        ),
        ("8.8.8.8/32", &["2606:4700::5efe:8.8.8.8", "::ffff:0:8.8.8.8", "64:ff9b:1:808:8:800::"]),
    ] {
        let policy = EgressPolicy {
            allow_cidrs: vec!["::/0".parse().unwrap()],
            deny_cidrs: vec![denied.parse().unwrap()],
            ..EgressPolicy::default()
        };
        for address in addresses {
            let judged = policy.judge_address(address.parse().unwrap());

            assert!(matches!(judged, Err(NotAllowed::Denied { .. })), "{denied} {address}: {judged:?}");
        }
        assert_eq!(policy.judge_address("64:ff9b::9.9.9.9".parse().unwrap()), Ok(()), "{denied}");
    }
}

#[test]
fn a_range_is_what_it_means_however_it_is_written() {
    for (text, meant) in [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.1.2.3/8", "10.0.0.0/8"),
        (" ::ffff:127.9.0.0/112 ", "127.9.0.0/16"),
        ("::ffff:7f09:1/112", "127.9.0.0/16"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::/0", "::/0"),
        ("fd00::1/8", "fd00::/8"),
    ] {
        assert_eq!(parse_range(text).map(|net| net.to_string()), Ok(meant.to_owned()), "{text}");
    }
    for (text, why) in [
        (
            "::ffff:10.0.0.0/95",
            "needs a prefix length of 96 to 128 where IPv4 is written as IPv6; ::ffff:0.0.0.0/96 is all of IPv4",
        ),
        (
            "::ffff:10.0.0.0/8",
            "needs a prefix length of 96 to 128 where IPv4 is written as IPv6; ::ffff:0.0.0.0/96 is all of IPv4",
        ),
        ("10.0.0.1", "needs a prefix length too; 10.0.0.1/32 is this address alone"),
        ("10.0.0.0/33", "needs an address and a prefix length, as 10.0.0.0/8"),
    ] {
        assert_eq!(parse_range(text).map_err(|fault| fault.to_string()), Err(why.to_owned()), "{text}");
    }
}

#[test]
fn credentials_are_refused_before_the_host_and_nowhere_else() {
    for text in [
        "https://@example.com/",
        "https://:@example.com/",
        "https://a@b@example.com/",
        "HTTPS://u:p@example.com?x",
    ] {
        let refused = strict().judge_text(text).unwrap_err();
        assert!(refused.to_string().contains("credentials"), "{text}: {refused}");
    }
    for text in [
        "https://example.com/@user/hook",
        "https://example.com?to=me@example.com",
        "https://example.com/a:b@c/!$&'()*+,;=:@/?/?",
    ] {
        assert!(strict().judge_text(text).is_ok(), "{text}");
    }
}

#[test]
fn urls_that_mean_something_else_are_refused() {
    let faults = [
        "",
        "example.com/hook",
        "//example.com/",
        "https://",
        "ftp://example.com/",
        "file:///etc/passwd",
        "https://user:pass@example.com/",
        "https://example.com@127.0.0.1/",
        "https://example.com\\@127.0.0.1/",
        "http:127.0.0.1",
        "http:///127.0.0.1",
        "https://exam\tple.com/",
        "https://example.com/\r\nX: 1",
        "https://exa mple.com/",
        "https://a..b/",
        "https://./",
        "https://1.2.3.4.5/",
        "https://[::1",
        "https://[fe80::1%25eth0]/",
        "https://example.com:99999/",
        "https://example.com:0/",
        "https://example.com/#frag",
        &format!("https://example.com/{}", "x".repeat(2048)),
    ];

    for text in faults {
        assert!(strict().judge_text(text).is_err(), "{text}");
    }
}

#[test]
fn of_the_addresses_of_a_name_only_public_ones_are_dialled() {
    let address = |text: &str| SocketAddr::new(text.parse().unwrap(), 443);
    let mixed = ["10.0.0.1", "1.1.1.1", "::ffff:127.0.0.1", "169.254.169.254"].map(address);

    let chosen = strict().choose(mixed.into_iter());

    assert_eq!(chosen, Ok(vec![address("1.1.1.1")]));
}

#[test]
fn a_name_with_nothing_but_special_addresses_is_refused_and_so_is_one_without_any() {
    let mapped = SocketAddr::new("::ffff:10.0.0.1".parse().unwrap(), 443);

    assert!(matches!(strict().choose([mapped].into_iter()), Err(NotAllowed::Address { .. })));
    assert!(matches!(strict().choose([].into_iter()), Err(NotAllowed::Unresolved(_))));
}

#[test]
fn plain_http_needs_leave() {
    assert_eq!(EgressPolicy::default().judge_text("http://example.com/").unwrap_err(), NotAllowed::Plaintext);
}

proptest! {
    #[test]
    fn no_text_makes_it_panic_and_what_it_accepts_names_no_special_address(
        text in "(https?:)?/{0,2}[!-~０-９]{0,24}[.:/@0-9a-fx\\[\\]]{0,16}",
    ) {
        if let Ok(url) = strict().judge_text(&text) {
            match url.host() {
                Some(Host::Ipv4(v4)) => prop_assert!(!is_special_to_std(v4), "{text}"),
                Some(Host::Ipv6(v6)) => prop_assert!(v6.segments()[0] & 0xe000 == 0x2000, "{text}"),
                Some(Host::Domain(name)) => prop_assert!(!is_localhost(name), "{text}"),
                None => prop_assert!(false, "{text}"),
            }
        }
    }

    #[test]
    fn an_ipv4_address_is_judged_alike_however_it_is_written(bits: u32) {
        let v4 = Ipv4Addr::from_bits(bits);
        let is_allowed = strict().judge_address(v4.into()).is_ok();

        prop_assert!(!is_allowed || !is_special_to_std(v4), "{v4}");
        prop_assert_eq!(strict().judge_address(v4.to_ipv6_mapped().into()).is_ok(), is_allowed, "{}", v4);
        prop_assert!(strict().judge_address(v4.to_ipv6_compatible().into()).is_err(), "{v4}");
        let everywhere = EgressPolicy { allow_cidrs: vec!["::/0".parse().unwrap()], ..strict() };
        let [a, b, c, d] = v4.octets().map(u128::from);
        let nat64 = (0x64_ff9b << 96) | u128::from(bits);
        let local = (0x64_ff9b_0001 << 80) | (a << 72) | (b << 64) | (c << 48) | (d << 40);
        let to_6to4 = (0x2002 << 112) | (u128::from(bits) << 80);
        let isatap = (0x2606_4700 << 96) | (0x5efe << 32) | u128::from(bits);
        for carrier in [nat64, to_6to4, isatap].map(Ipv6Addr::from_bits) {
            prop_assert_eq!(everywhere.judge_address(carrier.into()).is_ok(), is_allowed, "{}", carrier);
        }
        // Where nobody knows the translator's prefix, more is refused than need be.
        let local = Ipv6Addr::from_bits(local);
        prop_assert!(a == 0 || is_allowed || everywhere.judge_address(local.into()).is_err(), "{}", local);
    }
}

fn is_special_to_std(v4: Ipv4Addr) -> bool {
    v4.is_private()
        || v4.is_loopback()
        || v4.is_link_local()
        || v4.is_multicast()
        || v4.is_broadcast()
        || v4.is_unspecified()
        || v4.is_documentation()
}
