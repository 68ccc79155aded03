//! Durations as Go and Kubernetes write them: `15m`, `720h`, `1h30m`.

use jiff::{SignedDuration, fmt::friendly};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{borrow::Cow, fmt};

const PRINTER: friendly::SpanPrinter = friendly::SpanPrinter::new();
const PARSER: friendly::SpanParser = friendly::SpanParser::new();

/// A span of time, written as in Go: hours (`h`), minutes (`m`), seconds (`s`) and milliseconds (`ms`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(SignedDuration);

impl Duration {
    /// A duration of so many whole seconds.
    pub const fn from_secs(seconds: i64) -> Self {
        Self(SignedDuration::from_secs(seconds))
    }

    /// The duration for arithmetic on timestamps.
    pub const fn signed(self) -> SignedDuration {
        self.0
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&PRINTER.duration_to_string(&self.0).replace(' ', ""))
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        PARSER.parse_duration(text.as_bytes()).map(Self).map_err(|error| {
            de::Error::custom(format!("{text:?} is not a duration such as 15m or 720h: {error}"))
        })
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": 32,
            "pattern": r"^([0-9]{1,9}(\.[0-9]{1,3})?(ms|s|m|h)){1,4}$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_writes_and_writes_it_back() {
        for (text, seconds, written) in [
            ("15m", 900, "15m"),
            ("720h", 2_592_000, "720h"),
            ("1h30m", 5_400, "1h30m"),
            ("1h0m0s", 3_600, "1h"),
            ("1.5h", 5_400, "1h30m"),
            ("0s", 0, "0s"),
        ] {
            let duration: Duration = serde_json::from_value(text.into()).unwrap();
            assert_eq!(duration, Duration::from_secs(seconds), "{text}");
            assert_eq!(duration.to_string(), written, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_duration() {
        for text in ["", "soon", "15", "9999999999999999999999h"] {
            assert!(serde_json::from_value::<Duration>(text.into()).is_err(), "{text}");
        }
    }
}
