//! Where a request carries its token.

use super::denial::Denial;
use http::{HeaderMap, HeaderValue};

/// The longest header that can hold a token, in bytes.
const LONGEST: usize = 4096;
/// The schemes of `Authorization` that carry a token of ours; others are none of our business.
const SCHEMES: [&str; 3] = ["Bearer", "ManagementKey-v1", "ApiKey-v1"];

/// What a request presents. It holds a secret, so it can't be printed.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    /// The token.
    pub token: &'a str,
    /// The id of the key that the token must belong to, if one was sent with it.
    pub id: Option<&'a str>,
}

impl<'a> Credentials<'a> {
    /// Reads all headers that can hold a token, every line of them. They may repeat each other, but not differ:
    /// gateway and upstream could otherwise each take another one.
    ///
    /// `NoToken` if there is none, `MalformedToken` if there are several or one that can't be text.
    pub fn read(headers: &'a HeaderMap) -> Result<Self, Denial> {
        let (mut token, mut id) = (Single::default(), Single::default());
        let (mut management, mut app) = (Pair::default(), Pair::default());
        for (name, line) in headers {
            match name.as_str() {
                "authorization" => token.take(after_scheme(line)?)?,
                "x-api-key" => token.take(text(line)?)?,
                "x-management-id" => management.id.take(text(line)?)?,
                "x-management-token" => management.token.take(text(line)?)?,
                "x-app-id" => app.id.take(text(line)?)?,
                "x-app-token" => app.token.take(text(line)?)?,
                _ => {}
            }
        }
        for pair in [management, app] {
            if let (Some(pair_id), Some(pair_token)) = (pair.id.0, pair.token.0) {
                id.take(pair_id)?;
                token.take(pair_token)?;
            }
        }
        Ok(Self { token: token.0.ok_or(Denial::NoToken)?, id: id.0 })
    }
}

/// An id and the token that must belong to it; one without the other is nothing.
#[derive(Default)]
struct Pair<'a> {
    id: Single<'a>,
    token: Single<'a>,
}

/// A value that may be said several times, but only in one way. Empty is not said.
#[derive(Default)]
struct Single<'a>(Option<&'a str>);

impl<'a> Single<'a> {
    fn take(&mut self, value: &'a str) -> Result<(), Denial> {
        if value.is_empty() {
            return Ok(());
        }
        match self.0.replace(value) {
            Some(before) if before != value => Err(Denial::MalformedToken),
            _ => Ok(()),
        }
    }
}

/// The token after a scheme of ours; empty if there is none.
fn after_scheme(line: &HeaderValue) -> Result<&str, Denial> {
    let bytes = line.as_bytes();
    let scheme = bytes.split(|byte| *byte == b' ').next().unwrap_or_default();
    if !SCHEMES.iter().any(|ours| ours.as_bytes().eq_ignore_ascii_case(scheme)) {
        return Ok("");
    }
    let line = text(line)?;
    Ok(line.get(scheme.len()..).unwrap_or_default().trim_start_matches(' '))
}

/// A header as text. A token consists of printable ASCII characters, and so does the header that holds it.
fn text(line: &HeaderValue) -> Result<&str, Denial> {
    if line.len() > LONGEST {
        return Err(Denial::MalformedToken);
    }
    line.to_str().map_err(|_| Denial::MalformedToken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Denial::{MalformedToken, NoToken};

    fn read(lines: &[(&'static str, &[u8])]) -> Result<(String, Option<String>), Denial> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        let credentials = Credentials::read(&headers)?;
        Ok((credentials.token.to_owned(), credentials.id.map(ToOwned::to_owned)))
    }

    type Lines = &'static [(&'static str, &'static [u8])];

    fn token(text: &str) -> Result<(String, Option<String>), Denial> {
        Ok((text.to_owned(), None))
    }

    fn pair(id: &str, text: &str) -> Result<(String, Option<String>), Denial> {
        Ok((text.to_owned(), Some(id.to_owned())))
    }

    #[test]
    fn every_header_of_the_contract_is_read() {
        let cases: [(Lines, _); 12] = [
            (&[("authorization", b"Bearer t")], token("t")),
            (&[("authorization", b"bEARER   t")], token("t")),
            (&[("authorization", b"ManagementKey-v1 t")], token("t")),
            (&[("authorization", b"apikey-V1 t")], token("t")),
            (&[("x-api-key", b"t")], token("t")),
            (&[("x-management-id", b"i"), ("x-management-token", b"t")], pair("i", "t")),
            (&[("x-app-token", b"t"), ("x-app-id", b"i")], pair("i", "t")),
            (&[("authorization", b"Basic \xff"), ("x-api-key", b"t")], token("t")),
            (&[("authorization", b"Bearer t"), ("x-api-key", b"t")], token("t")),
            (&[("x-api-key", b"t"), ("x-api-key", b"t")], token("t")),
            (&[("x-api-key", b"t"), ("x-management-id", b"i")], token("t")),
            (&[("x-api-key", b"t"), ("x-management-token", b"t"), ("x-management-id", b"i")], pair("i", "t")),
        ];
        for (lines, expected) in cases {
            assert_eq!(read(lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn nothing_and_half_a_pair_are_no_token() {
        let cases: [Lines; 9] = [
            &[],
            &[("authorization", b"Basic dXNlcg==")],
            &[("authorization", b"Bearer")],
            &[("authorization", b"Bearer ")],
            &[("authorization", b"t")],
            &[("x-api-key", b"")],
            &[("x-management-id", b"i")],
            &[("x-management-id", b""), ("x-management-token", b"t")],
            &[("x-management-id", b"i"), ("x-app-token", b"t")],
        ];
        for lines in cases {
            assert_eq!(read(lines), Err(NoToken), "{lines:?}");
        }
    }

    #[test]
    fn several_tokens_and_what_is_no_text_are_malformed() {
        let long = [b'a'; LONGEST + 1];
        let cases: [&[(&str, &[u8])]; 9] = [
            &[("authorization", b"Bearer t"), ("authorization", b"Bearer u")],
            &[("authorization", b"Bearer t"), ("x-api-key", b"u")],
            &[("x-api-key", b"t"), ("x-api-key", b"u")],
            &[("x-api-key", b"u"), ("x-app-id", b"i"), ("x-app-token", b"t")],
            &[("x-app-id", b"i"), ("x-app-id", b"j"), ("x-app-token", b"t")],
            &[
                ("x-app-id", b"i"),
                ("x-app-token", b"t"),
                ("x-management-id", b"j"),
                ("x-management-token", b"t"),
            ],
            &[("authorization", b"Bearer \xff")],
            &[("x-api-key", "ü".as_bytes())],
            &[("x-api-key", &long)],
        ];
        for lines in cases {
            assert_eq!(read(lines), Err(MalformedToken), "{lines:?}");
        }
    }
}
