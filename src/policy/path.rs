//! Path patterns and the canonical form of the paths that they are compared with.

use percent_encoding::percent_decode_str;
use std::borrow::Cow;

/// A pattern: exact text; `*` for one segment; `**` as the last segment for the rest, which may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    segments: Vec<Segment>,
    any_rest: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Exact(Box<str>),
    Any,
}

/// Why a text is no path pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("path pattern {pattern:?} {problem}")]
pub struct InvalidPattern {
    pattern: String,
    problem: &'static str,
}

impl PathPattern {
    /// Compiles a pattern.
    pub fn parse(pattern: &str) -> Result<Self, InvalidPattern> {
        let fail = |problem| Err(InvalidPattern { pattern: pattern.to_owned(), problem });
        let Some(path) = pattern.strip_prefix('/') else {
            return fail("must begin with /");
        };
        if pattern.contains(|c: char| c.is_control() || matches!(c, '?' | '#' | '\\')) {
            return fail("must not contain ?, #, a backslash or control characters");
        }
        let (path, any_rest) = match path.strip_suffix("**") {
            Some("") => {
                return Ok(Self { segments: Vec::new(), any_rest: true });
            }
            Some(front) => front.strip_suffix('/').map_or((path, false), |front| (front, true)),
            None => (path, false),
        };
        let last = path.split('/').count() - 1;
        let mut segments = Vec::with_capacity(last + 1);
        for (place, segment) in path.split('/').enumerate() {
            segments.push(match segment {
                "*" => Segment::Any,
                "" if place < last || any_rest => {
                    return fail("must not have an empty segment in the middle");
                }
                "." | ".." => return fail("must not have . or .. segments"),
                text if text.contains('*') => {
                    return fail("may use * only for a whole segment and ** only for the last");
                }
                text => Segment::Exact(text.into()),
            });
        }
        Ok(Self { segments, any_rest })
    }

    /// Whether the pattern covers `path`.
    pub fn matches(&self, path: &CanonicalPath<'_>) -> bool {
        // What is left of the path after a slash; none once its last segment is taken.
        let mut rest = path.0.strip_prefix('/');
        for segment in &self.segments {
            let Some((length, text)) = rest.and_then(|text| Some((segment.length_in(text)?, text))) else {
                return false;
            };
            rest = match text.as_bytes().get(length) {
                Some(b'/') => Some(&text[length + 1..]),
                Some(_) => return false,
                None => None,
            };
        }
        self.any_rest || rest.is_none()
    }
}

impl Segment {
    /// How much of the text the segment covers, up to a slash or the end.
    fn length_in(&self, text: &str) -> Option<usize> {
        match self {
            Self::Exact(exact) => text.starts_with(&**exact).then_some(exact.len()),
            Self::Any => Some(text.find('/').unwrap_or(text.len())).filter(|length| *length > 0),
        }
    }
}

/// A request's path without query, decoded once, with nothing in it that gateway and upstream could read differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanonicalPath<'a>(Cow<'a, str>);

/// A path that two programs could read differently, so that no pattern may be held against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the path has a . or .. segment, an empty segment, an encoded slash or backslash, or a control character"
)]
pub struct NotCanonical;

impl<'a> CanonicalPath<'a> {
    /// Takes the path of a request target such as `/a/b%20c?query`.
    pub fn of_target(target: &'a str) -> Result<Self, NotCanonical> {
        let end = target.bytes().position(|byte| matches!(byte, b'?' | b'#'));
        let raw = &target[..end.unwrap_or(target.len())];
        if !raw.starts_with('/') || hides_separator(raw) {
            return Err(NotCanonical);
        }
        let path = if raw.contains('%') {
            percent_decode_str(raw).decode_utf8().map_err(|_| NotCanonical)?
        } else {
            Cow::Borrowed(raw)
        };
        if is_ambiguous(&path) { Err(NotCanonical) } else { Ok(Self(path)) }
    }

    /// The decoded path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a decoded path that begins with a slash has something in it that two programs could read differently.
fn is_ambiguous(path: &str) -> bool {
    let confusing = if path.is_ascii() {
        path.bytes().fold(false, |found, byte| found | byte.is_ascii_control() | (byte == b'\\'))
    } else {
        path.contains(|c: char| c.is_control() || c == '\\')
    };
    let mut segments = path.as_bytes()[1..].split(|byte| *byte == b'/');
    let last = segments.next_back();
    confusing
        || last.is_some_and(|last| matches!(last, b"." | b".."))
        || segments.any(|segment| matches!(segment, b"" | b"." | b".."))
}

/// Whether a slash or backslash is percent-encoded, or a percent sign begins no proper escape.
fn hides_separator(raw: &str) -> bool {
    raw.split('%').skip(1).any(|escape| {
        let digits = escape.as_bytes().get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        digits.is_none_or(|digits| digits.eq_ignore_ascii_case(b"2f") || digits.eq_ignore_ascii_case(b"5c"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn covers(pattern: &str, target: &str) -> bool {
        PathPattern::parse(pattern).unwrap().matches(&CanonicalPath::of_target(target).unwrap())
    }

    #[test]
    fn patterns_cover_what_they_say() {
        for (pattern, target) in [
            ("/", "/"),
            ("/a", "/a"),
            ("/a", "/a?b=/c"),
            ("/a b", "/a%20b"),
            ("/*", "/a"),
            ("/*/b", "/a/b"),
            ("/**", "/"),
            ("/**", "/a/b/"),
            ("/a/**", "/a"),
            ("/a/**", "/a/"),
            ("/a/**", "/a/b/c"),
            ("/a/", "/a/"),
            ("/a/*/c/**", "/a/b/c/d"),
            ("/a%b", "/a%25b"),
        ] {
            assert!(covers(pattern, target), "{pattern} should cover {target}");
        }
        for (pattern, target) in [
            ("/", "/a"),
            ("/a", "/a/"),
            ("/a", "/A"),
            ("/a", "/ab"),
            ("/*", "/"),
            ("/*", "/a/b"),
            ("/a/*", "/a/"),
            ("/a/**", "/ab"),
            ("/a/**", "/"),
            ("/a/*/c", "/a/b/d"),
            ("/a/*", "/a"),
        ] {
            assert!(!covers(pattern, target), "{pattern} should not cover {target}");
        }
    }

    #[test]
    fn bad_patterns_are_refused() {
        for pattern in [
            "", "a", "/a//b", "//", "/a/../b", "/.", "/a*", "/**/a", "/a/***", "/a**", "/a?b", "/a\\b",
            "/a\n", "/a//**", "/#",
        ] {
            assert!(PathPattern::parse(pattern).is_err(), "{pattern:?}");
        }
    }

    #[test]
    fn ambiguous_paths_are_refused() {
        for target in [
            "",
            "a",
            "//",
            "/a//b",
            "/a/../b",
            "/a/..",
            "/a/%2e%2e/b",
            "/a%2Fb",
            "/a%5cb",
            "/a\\b",
            "/a%00",
            "/a%",
            "/a%zz",
            "/%ff",
            "*",
            "http://x/",
        ] {
            assert_eq!(CanonicalPath::of_target(target), Err(NotCanonical), "{target:?}");
        }
    }

    proptest! {
        #[test]
        fn every_canonical_path_is_covered_by_itself(path in "(/[a-z0-9._-]{1,8}){1,5}/?") {
            prop_assume!(CanonicalPath::of_target(&path).is_ok());
            prop_assert!(covers(&path, &path));
            prop_assert!(covers("/**", &path));
        }

        #[test]
        fn nothing_makes_it_panic(pattern in ".{0,40}", target in ".{0,40}") {
            if let (Ok(pattern), Ok(path)) = (PathPattern::parse(&pattern), CanonicalPath::of_target(&target)) {
                pattern.matches(&path);
            }
        }
    }
}
