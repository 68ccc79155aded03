//! Which addresses a key may be used from.

use ipnet::IpNet;
use std::net::IpAddr;

/// A list of address ranges. An IPv4 address that arrives mapped into IPv6 counts as the IPv4 address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressRanges(Vec<IpNet>);

/// A text that is no address range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address range such as 10.0.0.0/8 or 2001:db8::/32")]
pub struct InvalidRange(String);

impl AddressRanges {
    /// Reads ranges in CIDR notation.
    pub fn parse<T: AsRef<str>>(ranges: impl IntoIterator<Item = T>) -> Result<Self, InvalidRange> {
        ranges
            .into_iter()
            .map(|range| range.as_ref().parse().map_err(|_| InvalidRange(range.as_ref().to_owned())))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether some range covers the address.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|range| range.contains(&address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_their_addresses() {
        let ranges = AddressRanges::parse(["10.0.0.0/8", "::1/128"]).unwrap();
        for inside in ["10.1.2.3", "::1", "::ffff:10.0.0.1"] {
            assert!(ranges.contain(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["11.0.0.1", "::2", "127.0.0.1"] {
            assert!(!ranges.contain(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn a_bad_range_is_named() {
        let error = AddressRanges::parse(["10.0.0.0/8", "10.0.0.0/33"]).unwrap_err();
        assert!(error.to_string().contains("10.0.0.0/33"));
    }
}
