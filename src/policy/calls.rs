//! Which methods on which paths a key may call.

use super::path::{CanonicalPath, InvalidPattern, PathPattern};

/// A compiled allow-list. Without a rule that covers it, a call is denied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallRules(Vec<CallRule>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct CallRule {
    methods: Methods,
    paths: Vec<PathPattern>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Methods {
    Any,
    Listed(Vec<Box<str>>),
}

/// Why an allow-list can't be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRules {
    /// A method isn't a word in capitals.
    #[error("method {0:?} is not a word in capitals such as GET, nor \"*\"")]
    Method(String),
    /// A path pattern doesn't parse.
    #[error(transparent)]
    Path(#[from] InvalidPattern),
}

impl CallRules {
    /// Compiles pairs of methods and path patterns.
    pub fn compile<'a>(
        rules: impl IntoIterator<Item = (&'a [String], &'a [String])>,
    ) -> Result<Self, InvalidRules> {
        rules
            .into_iter()
            .map(|(methods, paths)| {
                let paths = paths.iter().map(|path| PathPattern::parse(path)).collect::<Result<_, _>>()?;
                Ok(CallRule { methods: Methods::compile(methods)?, paths })
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether some rule covers the call.
    pub fn allow(&self, method: &str, path: &CanonicalPath<'_>) -> bool {
        self.0
            .iter()
            .any(|rule| rule.methods.cover(method) && rule.paths.iter().any(|pattern| pattern.matches(path)))
    }
}

impl Methods {
    fn compile(methods: &[String]) -> Result<Self, InvalidRules> {
        if methods.iter().any(|method| method == "*") {
            return Ok(Self::Any);
        }
        let bad = methods
            .iter()
            .find(|method| method.is_empty() || !method.bytes().all(|b| b.is_ascii_uppercase()));
        match bad {
            Some(method) => Err(InvalidRules::Method(method.clone())),
            None => Ok(Self::Listed(methods.iter().map(|method| method.as_str().into()).collect())),
        }
    }

    fn cover(&self, method: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(methods) => methods.iter().any(|listed| **listed == *method),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(methods: &[&str], paths: &[&str]) -> Result<CallRules, InvalidRules> {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        CallRules::compile([(&*owned(methods), &*owned(paths))])
    }

    #[test]
    fn a_rule_allows_its_methods_on_its_paths() {
        let rules = rules(&["GET", "PUT"], &["/a", "/b/**"]).unwrap();
        let allow = |method, target| rules.allow(method, &CanonicalPath::of_target(target).unwrap());
        assert!(allow("GET", "/a") && allow("PUT", "/b/c"));
        assert!(!allow("POST", "/a") && !allow("GET", "/c") && !allow("get", "/a"));
    }

    #[test]
    fn no_rule_allows_nothing_and_a_star_any_method() {
        let path = CanonicalPath::of_target("/a").unwrap();
        assert!(!CallRules::default().allow("GET", &path));
        assert!(rules(&["*"], &["/a"]).unwrap().allow("PROPFIND", &path));
    }

    #[test]
    fn bad_rules_are_named() {
        assert_eq!(rules(&["get"], &["/a"]), Err(InvalidRules::Method("get".into())));
        assert!(rules(&["GET"], &["a"]).unwrap_err().to_string().contains("must begin with /"));
    }
}
