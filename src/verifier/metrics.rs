//! What the verifier counts.

use super::{denial::Denial, index::Index};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric},
    metrics::{counter::Counter, family::Family, gauge::ConstGauge},
    registry::Registry,
};
use std::{fmt, sync::Arc};

/// Where a decision was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// `/auth` on the HTTP listener.
    ForwardAuth,
    /// `/auth/nginx` on the HTTP listener.
    Nginx,
}

impl Door {
    const ALL: [Self; 2] = [Self::ForwardAuth, Self::Nginx];

    /// The door's name in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ForwardAuth => "forward-auth",
            Self::Nginx => "nginx",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    door: &'static str,
    reason: &'static str,
}

/// The reason of decisions that allow.
const ALLOWED: &str = "Allowed";

/// Decisions by door and reason. All counters are there from the start, so that counting one is an addition.
pub struct Decisions([PerDoor; Door::ALL.len()]);

struct PerDoor {
    allowed: Counter,
    denied: [Counter; Denial::ALL.len()],
}

impl Decisions {
    /// Makes the counters and registers them: `latchkey_decisions_total{door, reason}`.
    pub fn register(registry: &mut Registry) -> Self {
        let family = Family::<Labels, Counter>::default();
        registry.register(
            "latchkey_decisions",
            "Decisions of the verifier by door and reason; the reason of those that allow is Allowed",
            family.clone(),
        );
        Self(Door::ALL.map(|door| PerDoor::new(&family, door.name())))
    }

    /// Counts a decision.
    pub fn count(&self, door: Door, denial: Option<Denial>) {
        let counters = &self.0[door as usize];
        match denial {
            Some(denial) => counters.denied[denial as usize].inc(),
            None => counters.allowed.inc(),
        };
    }
}

impl PerDoor {
    fn new(family: &Family<Labels, Counter>, door: &'static str) -> Self {
        let counter = |reason| family.get_or_create_owned(&Labels { door, reason });
        Self { allowed: counter(ALLOWED), denied: Denial::ALL.map(|denial| counter(denial.code())) }
    }
}

/// Registers the size of an index: `latchkey_index_keys`, and `latchkey_index_complete`, which is 1 once every kind was
/// listed.
pub fn register_index(registry: &mut Registry, index: &Arc<Index>) {
    registry.register_collector(Box::new(Size(Arc::clone(index))));
}

struct Size(Arc<Index>);

impl fmt::Debug for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Size").finish_non_exhaustive()
    }
}

impl Collector for Size {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let keys = i64::try_from(self.0.len()).unwrap_or(i64::MAX);
        gauge(&mut encoder, "latchkey_index_keys", "Issued keys that the verifier knows", keys)?;
        let complete = i64::from(self.0.is_complete());
        gauge(&mut encoder, "latchkey_index_complete", "1 once every kind was listed completely", complete)
    }
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: i64) -> fmt::Result {
    use prometheus_client::metrics::TypedMetric;
    let gauge = ConstGauge::new(value);
    gauge.encode(encoder.encode_descriptor(name, help, None, ConstGauge::<i64>::TYPE)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text::encode;

    #[test]
    fn decisions_and_the_index_are_exposed() {
        let mut registry = Registry::default();
        let decisions = Decisions::register(&mut registry);
        register_index(&mut registry, &Arc::new(Index::new()));
        decisions.count(Door::Nginx, Some(Denial::Expired));
        decisions.count(Door::ForwardAuth, None);
        decisions.count(Door::ForwardAuth, None);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "latchkey_decisions_total{door=\"nginx\",reason=\"Expired\"} 1\n",
            "latchkey_decisions_total{door=\"forward-auth\",reason=\"Allowed\"} 2\n",
            "latchkey_decisions_total{door=\"forward-auth\",reason=\"Expired\"} 0\n",
            "latchkey_index_keys 0\n",
            "latchkey_index_complete 0\n",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
