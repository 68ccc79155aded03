//! Values that many keys share.

use std::{collections::HashMap, sync::Arc};

const LEAST: usize = 64;

/// Values by name, each made once. Those that nobody holds any more are dropped whenever the table has doubled, so
/// that it never has more than twice what is in use.
pub(super) struct Interner<V> {
    values: HashMap<Box<str>, Arc<V>>,
    sweep_at: usize,
}

impl<V> Default for Interner<V> {
    fn default() -> Self {
        Self { values: HashMap::new(), sweep_at: LEAST }
    }
}

impl<V> Interner<V> {
    /// The value of this name, made now if there is none.
    pub(super) fn get(&mut self, name: &str, make: impl FnOnce() -> V) -> Arc<V> {
        if let Some(value) = self.values.get(name) {
            return Arc::clone(value);
        }
        if self.values.len() >= self.sweep_at {
            self.values.retain(|_, value| Arc::strong_count(value) > 1);
            self.sweep_at = LEAST.max(self.values.len() * 2);
        }
        let value = Arc::new(make());
        self.values.insert(name.into(), Arc::clone(&value));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_value() {
        let mut interner = Interner::default();
        let first = interner.get("a", || 1);
        assert!(Arc::ptr_eq(&first, &interner.get("a", || 2)));
        assert_eq!(*interner.get("b", || 3), 3);
    }

    #[test]
    fn what_nobody_holds_is_dropped() {
        let mut interner = Interner::default();
        let kept: Vec<_> = (0..10).map(|n| interner.get(&format!("kept {n}"), || n)).collect();
        for n in 0..10 * LEAST {
            interner.get(&n.to_string(), || n);
        }
        assert!(interner.values.len() <= LEAST + kept.len());
        assert!(
            kept.iter()
                .enumerate()
                .all(|(n, value)| Arc::ptr_eq(value, &interner.get(&format!("kept {n}"), || 0)))
        );
    }
}
