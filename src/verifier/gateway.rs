//! What a gateway tells of the call in question: its method, its target, and where the caller is.

use crate::policy::AddressRanges;
use http::{HeaderMap, HeaderName};
use std::net::{IpAddr, SocketAddr};

static FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
static FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static ORIGINAL_METHOD: HeaderName = HeaderName::from_static("x-original-method");
static ORIGINAL_URI: HeaderName = HeaderName::from_static("x-original-uri");
static REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// The call as a gateway tells it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told<'a> {
    pub(super) method: &'a str,
    pub(super) target: &'a str,
    pub(super) address: Option<IpAddr>,
}

/// Reads what Traefik, Caddy and others tell. `None` if the method or the target isn't told, or told twice.
///
/// The caller's address is the peer's, unless the peer is a trusted proxy: then it is the last one in
/// `X-Forwarded-For` that is no trusted proxy itself, for every proxy appends the address that it was called from, and
/// what stands before may be invented. If all are trusted, it is the first one. An element there that is no address
/// makes the caller's unknown.
pub(super) fn forwarded<'a>(
    headers: &'a HeaderMap,
    peer: Option<IpAddr>,
    trusted: &AddressRanges,
) -> Option<Told<'a>> {
    Some(Told {
        method: once(headers, &FORWARDED_METHOD)?,
        target: once(headers, &FORWARDED_URI)?,
        address: peer.and_then(|peer| caller(headers, peer, trusted)),
    })
}

/// Reads what nginx's configuration sets. `None` if one of the three isn't told, or told twice.
pub(super) fn original(headers: &HeaderMap) -> Option<Told<'_>> {
    Some(Told {
        method: once(headers, &ORIGINAL_METHOD)?,
        target: once(headers, &ORIGINAL_URI)?,
        address: address(once(headers, &REAL_IP)?),
    })
}

fn caller(headers: &HeaderMap, peer: IpAddr, trusted: &AddressRanges) -> Option<IpAddr> {
    let mut nearest = peer;
    let lines = headers.get_all(&FORWARDED_FOR).iter().rev();
    for line in lines {
        for element in line.to_str().ok()?.rsplit(',') {
            if !trusted.contain(nearest) {
                return Some(nearest);
            }
            nearest = address(element.trim())?;
        }
    }
    Some(nearest)
}

/// Reads an address, with or without a port, which some proxies add.
fn address(text: &str) -> Option<IpAddr> {
    let plain = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = plain.parse().ok();
    address.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

/// The value of a header that is there exactly once and isn't empty.
fn once<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut lines = headers.get_all(name).iter();
    let (first, second) = (lines.next()?, lines.next());
    let text = std::str::from_utf8(first.as_bytes()).ok()?;
    (second.is_none() && !text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, http::HeaderValue::from_static(value));
        }
        headers
    }

    fn seen(peer: &str, forwarded_for: &[&'static str]) -> Option<String> {
        let lines: Vec<_> = forwarded_for.iter().map(|line| ("x-forwarded-for", *line)).collect();
        let trusted = AddressRanges::parse(["127.0.0.0/8", "::1/128", "10.0.0.0/8"]).unwrap();
        caller(&headers(&lines), peer.parse().unwrap(), &trusted).map(|address| address.to_string())
    }

    #[test]
    fn the_caller_is_the_last_one_that_no_trusted_proxy_is() {
        let cases: [(&str, &[&str], Option<&str>); 15] = [
            ("192.0.2.1", &[], Some("192.0.2.1")),
            ("192.0.2.1", &["198.51.100.1"], Some("192.0.2.1")),
            ("192.0.2.1", &["what?"], Some("192.0.2.1")),
            ("127.0.0.1", &[], Some("127.0.0.1")),
            ("127.0.0.1", &["198.51.100.1"], Some("198.51.100.1")),
            ("::1", &["2001:db8::1"], Some("2001:db8::1")),
            ("::ffff:127.0.0.1", &["198.51.100.1"], Some("198.51.100.1")),
            ("127.0.0.1", &["203.0.113.9, 198.51.100.1"], Some("198.51.100.1")),
            ("127.0.0.1", &["203.0.113.9", "198.51.100.1, 10.0.0.7"], Some("198.51.100.1")),
            ("127.0.0.1", &["what?, 198.51.100.1:4711"], Some("198.51.100.1")),
            ("127.0.0.1", &["[2001:db8::1]:4711"], Some("2001:db8::1")),
            ("127.0.0.1", &["10.0.0.9,10.0.0.7"], Some("10.0.0.9")),
            ("127.0.0.1", &["198.51.100.1, what?"], None),
            ("127.0.0.1", &["198.51.100.1,"], None),
            ("127.0.0.1", &["198.51.100.1", ""], None),
        ];
        for (peer, lines, expected) in cases {
            assert_eq!(seen(peer, lines).as_deref(), expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn each_header_must_be_there_exactly_once() {
        let call = [("x-forwarded-method", "GET"), ("x-forwarded-uri", "/a?b")];
        let told = |lines: &[_]| forwarded(&headers(lines), None, &AddressRanges::default()).is_some();
        assert!(told(&call));
        assert!(!told(&call[..1]) && !told(&call[1..]));
        assert!(!told(&[call[0], call[1], call[1]]));
        assert!(!told(&[call[0], ("x-forwarded-uri", "")]));
    }

    #[test]
    fn nginx_tells_it_in_its_own_headers_only() {
        let call = [("x-original-method", "GET"), ("x-original-uri", "/a"), ("x-real-ip", "192.0.2.1")];
        let forged = [call[0], call[1], call[2], ("x-forwarded-for", "10.0.0.1"), ("x-forwarded-uri", "/b")];
        let told = headers(&forged);
        let told = original(&told).unwrap();
        assert_eq!((told.target, told.address), ("/a", "192.0.2.1".parse().ok()));
        assert_eq!(original(&headers(&call[..2])), None);
        let unknown = headers(&[call[0], call[1], ("x-real-ip", "unix:")]);
        assert_eq!(original(&unknown).unwrap().address, None);
    }
}
