//! What else a call is about, as said by the gateway's configuration.
//!
//! The configuration says it in the query of the door's own URL, or lists there which headers the gateway itself sets.
//! A header that isn't listed may come from the client and proves nothing.

use axum::extract::Query;
use http::{HeaderMap, HeaderName, Uri};

/// Something that a call can be said to be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attribute {
    Model,
    Feature,
    Project,
    Permission,
    Tokens,
}

/// The query parameter that lists headers.
const LISTED: &str = "attributes";

static ALL: [Known; 5] = [
    Known::new(Attribute::Model, "model", "x-latchkey-model"),
    Known::new(Attribute::Feature, "feature", "x-latchkey-feature"),
    Known::new(Attribute::Project, "project", "x-latchkey-project"),
    Known::new(Attribute::Permission, "permission", "x-latchkey-permission"),
    Known::new(Attribute::Tokens, "tokens", "x-latchkey-tokens"),
];

/// How an attribute is said: as this query parameter, or in this header.
struct Known {
    attribute: Attribute,
    parameter: &'static str,
    header: HeaderName,
}

impl Known {
    const fn new(attribute: Attribute, parameter: &'static str, header: &'static str) -> Self {
        Self { attribute, parameter, header: HeaderName::from_static(header) }
    }

    fn of(parameter: &str) -> Option<&'static Self> {
        ALL.iter().find(|known| known.parameter == parameter)
    }
}

/// What was said of a call.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes([Option<String>; ALL.len()]);

impl Attributes {
    /// Reads the query of the door's URL, and the headers that it lists. `None` if something is said in two ways, or
    /// isn't text, or if a header is listed that there isn't: nobody knows then what the call is about.
    pub(super) fn read(door: &Uri, headers: &HeaderMap) -> Option<Self> {
        let mut attributes = Self::default();
        if door.query().is_none_or(str::is_empty) {
            return Some(attributes);
        }
        let Query(parameters) = Query::<Vec<(String, String)>>::try_from_uri(door).ok()?;
        for (name, value) in &parameters {
            if name == LISTED {
                attributes.read_listed(value, headers)?;
            } else if let Some(known) = Known::of(name) {
                attributes.set(known.attribute, value)?;
            }
        }
        Some(attributes)
    }

    /// What was said of this attribute.
    pub(super) fn get(&self, attribute: Attribute) -> Option<&str> {
        self.0[attribute as usize].as_deref()
    }

    fn read_listed(&mut self, list: &str, headers: &HeaderMap) -> Option<()> {
        for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            let known = Known::of(name)?;
            for line in headers.get_all(&known.header) {
                self.set(known.attribute, std::str::from_utf8(line.as_bytes()).ok()?)?;
            }
        }
        Some(())
    }

    /// An empty value is none. The same value may be said twice.
    fn set(&mut self, attribute: Attribute, value: &str) -> Option<()> {
        if value.contains(char::is_control) {
            return None;
        }
        let said = &mut self.0[attribute as usize];
        if said.is_none() && !value.is_empty() {
            *said = Some(value.to_owned());
        }
        (value.is_empty() || said.as_deref() == Some(value)).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(door: &str, lines: &[(&'static str, &'static str)]) -> Option<Attributes> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, http::HeaderValue::from_static(value));
        }
        Attributes::read(&door.parse().unwrap(), &headers)
    }

    fn project(door: &str, lines: &[(&'static str, &'static str)]) -> Option<String> {
        read(door, lines)?.get(Attribute::Project).map(ToOwned::to_owned)
    }

    #[test]
    fn every_attribute_has_its_parameter_and_its_header() {
        for (place, known) in ALL.iter().enumerate() {
            assert_eq!(known.attribute as usize, place);
            let by_parameter = read(&format!("/auth?{}=x", known.parameter), &[]).unwrap();
            let by_header =
                read(&format!("/auth?attributes={}", known.parameter), &[(known.header.as_str(), "x")]);
            assert_eq!(by_parameter.get(known.attribute), Some("x"));
            assert_eq!(by_header, Some(by_parameter));
        }
    }

    #[test]
    fn the_query_says_it_or_a_listed_header() {
        let header = [("x-latchkey-project", "shop")];
        assert_eq!(project("/auth?project=a%20b&other=1", &[]).as_deref(), Some("a b"));
        assert_eq!(project("/auth?attributes=model,project", &header).as_deref(), Some("shop"));
        assert_eq!(project("/auth?attributes=model", &header), None);
        assert_eq!(project("/auth", &header), None);
        assert_eq!(project("/auth?project=", &[]), None);
        assert_eq!(project("/auth?project=shop&attributes=project", &header).as_deref(), Some("shop"));
    }

    #[test]
    fn what_is_said_in_two_ways_is_unknown() {
        let shop = ("x-latchkey-project", "shop");
        let other = ("x-latchkey-project", "other");
        assert_eq!(read("/auth?project=a&project=b", &[]), None);
        assert_eq!(read("/auth?project=other&attributes=project", &[shop]), None);
        assert_eq!(read("/auth?attributes=project", &[shop, other]), None);
        assert_eq!(read("/auth?attributes=projekt", &[]), None);
        assert_eq!(read("/auth?project=a%0ab", &[]), None);
    }
}
