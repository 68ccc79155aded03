//! The secret string that a caller presents: how it is made, recognised and fingerprinted.
//!
//! A token is `lk_mk_<id><secret><crc>` with an underscore between id and secret: 12 base62 characters of
//! public key id, 43 of secret (more than 256 bits), 6 of CRC-32 over everything before them. The regular
//! expression [`PATTERN`] finds it in any text, and the checksum tells a mistyped or invented token from a real
//! one before anything is hashed.
//!
//! Knows no client, no runtime, no database. Nothing here that holds a secret can be printed or serialized.

use rand::{TryRng, rngs::SysRng};
use sha2::{Digest as _, Sha256};
use std::fmt;
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

/// Finds a Latchkey token in any text: for secret scanners, and for the tests that look for leaks.
pub const PATTERN: &str = "lk_(mk|ak)_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}";

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const PREFIX_LENGTH: usize = 6;
const ID_LENGTH: usize = 12;
const SECRET_LENGTH: usize = 43;
const CHECKSUM_LENGTH: usize = 6;
const CHECKSUM_AT: usize = PREFIX_LENGTH + ID_LENGTH + 1 + SECRET_LENGTH;
const TOKEN_LENGTH: usize = CHECKSUM_AT + CHECKSUM_LENGTH;
const HINT_LENGTH: usize = 4;

/// Which kind of key a token belongs to; the third and fourth letter of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// A `ManagementKey`, prefix `lk_mk_`.
    Management,
    /// An `APIKey`, prefix `lk_ak_`.
    Api,
}

impl KeyKind {
    /// The Kubernetes kind.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Management => "ManagementKey",
            Self::Api => "APIKey",
        }
    }

    const fn prefix(self) -> &'static str {
        match self {
            Self::Management => "lk_mk_",
            Self::Api => "lk_ak_",
        }
    }
}

/// A key's public identifier: 12 base62 characters, minted once and kept over all rotations.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId([u8; ID_LENGTH]);

impl KeyId {
    /// Draws a new identifier from the operating system's random source.
    pub fn mint() -> Result<Self, MintError> {
        let mut id = [0; ID_LENGTH];
        fill_base62(&mut id)?;
        Ok(Self(id))
    }

    /// Reads an identifier; `None` when it is not exactly 12 base62 characters.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; ID_LENGTH] = text.as_bytes().try_into().ok()?;
        is_base62(&bytes).then_some(Self(bytes))
    }

    /// The identifier as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A secret token in plain text. It has no `Debug`, `Display` or `Serialize`, and zeroes its memory when dropped.
pub struct Token(Zeroizing<String>);

/// Why no token could be made.
#[derive(Debug, thiserror::Error)]
#[error("drawing random bytes from the operating system failed: {0}")]
pub struct MintError(#[source] rand::rngs::SysError);

impl Token {
    /// Makes a new token for the key `id`.
    pub fn mint(kind: KeyKind, id: KeyId) -> Result<Self, MintError> {
        let mut secret = Zeroizing::new([0; SECRET_LENGTH]);
        fill_base62(secret.as_mut())?;
        let mut text = Zeroizing::new(String::with_capacity(TOKEN_LENGTH));
        text.push_str(kind.prefix());
        text.push_str(id.as_str());
        text.push('_');
        text.extend(secret.iter().copied().map(char::from));
        let checksum = checksum(text.as_bytes());
        text.extend(checksum.into_iter().map(char::from));
        Ok(Self(text))
    }

    /// Takes an existing token of any shape, as found in a Secret.
    pub fn from_existing(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The plain text, for the one place where it may go: the Secret.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The digest of the whole token.
    pub fn digest(&self) -> TokenDigest {
        TokenDigest::of(&self.0)
    }

    /// The last four characters, which help a person to tell tokens apart.
    pub fn hint(&self) -> String {
        let count = self.0.chars().count();
        self.0.chars().skip(count.saturating_sub(HINT_LENGTH)).collect()
    }
}

/// SHA-256 of a whole token: all that statuses and verifiers ever hold. Written `sha256:<hex>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// The digest of a presented token.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Reads `sha256:<64 hex digits>`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix("sha256:")?;
        if hex.len() != 64 || !hex.is_ascii() {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).ok()?;
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// Compares in constant time, so that an answer's delay tells nothing about the digest.
    pub fn matches(&self, other: &Self) -> bool {
        let halves = self.0.as_chunks().0.iter().zip(other.0.as_chunks().0);
        halves
            .map(|(ours, theirs)| u128::from_ne_bytes(*ours).ct_eq(&u128::from_ne_bytes(*theirs)))
            .fold(Choice::from(1), |same, half| same & half)
            .into()
    }
}

impl fmt::Display for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What a presented string turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A Latchkey token whose checksum is right, with the kind and id that it names.
    Latchkey(KeyKind, KeyId),
    /// It begins like a Latchkey token but its length, alphabet or checksum is wrong.
    Broken,
    /// Something else. Only a token that was imported from another system looks like this.
    Foreign,
}

/// Recognises a presented string without hashing it.
pub fn recognise(text: &str) -> Shape {
    let kind = if text.starts_with(KeyKind::Management.prefix()) {
        KeyKind::Management
    } else if text.starts_with(KeyKind::Api.prefix()) {
        KeyKind::Api
    } else {
        return Shape::Foreign;
    };
    read_id(text.as_bytes()).map_or(Shape::Broken, |id| Shape::Latchkey(kind, id))
}

fn read_id(text: &[u8]) -> Option<KeyId> {
    if text.len() != TOKEN_LENGTH || checksum(&text[..CHECKSUM_AT]) != text[CHECKSUM_AT..] {
        return None;
    }
    let (id, rest) = text[PREFIX_LENGTH..CHECKSUM_AT].split_at(ID_LENGTH);
    let (separator, secret) = rest.split_at(1);
    let well_formed = separator == b"_" && is_base62(secret);
    well_formed.then(|| KeyId::parse(std::str::from_utf8(id).ok()?)).flatten()
}

/// Looks at every byte, which is faster than to stop at the first wrong one: the compiler takes many at a time.
fn is_base62(text: &[u8]) -> bool {
    text.iter().fold(true, |so_far, byte| so_far & byte.is_ascii_alphanumeric())
}

fn checksum(text: &[u8]) -> [u8; CHECKSUM_LENGTH] {
    let mut rest = crc32fast::hash(text) as usize;
    let mut digits = [0; CHECKSUM_LENGTH];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[rest % ALPHABET.len()];
        rest /= ALPHABET.len();
    }
    digits
}

/// Fills `target` with uniformly drawn base62 characters; bytes of 248 and above are drawn again, because 256 is no
/// multiple of 62 and the first characters of the alphabet would otherwise be likelier.
fn fill_base62(target: &mut [u8]) -> Result<(), MintError> {
    const EVEN: u8 = 248;
    let mut filled = 0;
    let mut drawn = Zeroizing::new([0; 64]);
    while filled < target.len() {
        SysRng.try_fill_bytes(drawn.as_mut()).map_err(MintError)?;
        for byte in drawn.iter().filter(|byte| **byte < EVEN) {
            let Some(place) = target.get_mut(filled) else {
                break;
            };
            *place = ALPHABET[usize::from(*byte) % ALPHABET.len()];
            filled += 1;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn minted() -> (KeyId, Token) {
        let id = KeyId::mint().unwrap();
        (id, Token::mint(KeyKind::Management, id).unwrap())
    }

    #[test]
    fn a_minted_token_is_recognised_with_its_id() {
        let (id, token) = minted();
        assert_eq!(token.reveal().len(), TOKEN_LENGTH);
        assert_eq!(recognise(token.reveal()), Shape::Latchkey(KeyKind::Management, id));
        assert_eq!(token.hint(), token.reveal()[TOKEN_LENGTH - 4..]);
    }

    #[test]
    fn the_published_pattern_finds_a_token_in_a_text() {
        let (_, token) = minted();
        let text = format!("token={},", token.reveal());
        let found = regex::Regex::new(PATTERN).unwrap().find(&text).unwrap().range();
        assert_eq!(&text[found], token.reveal());
    }

    #[test]
    fn two_tokens_of_one_key_differ() {
        let id = KeyId::mint().unwrap();
        let first = Token::mint(KeyKind::Api, id).unwrap();
        let second = Token::mint(KeyKind::Api, id).unwrap();
        assert!(!first.digest().matches(&second.digest()));
        assert!(first.digest().matches(&TokenDigest::of(first.reveal())));
    }

    #[test]
    fn a_digest_survives_being_written_down() {
        let (_, token) = minted();
        assert_eq!(TokenDigest::parse(&token.digest().to_string()), Some(token.digest()));
        for broken in ["", "sha256:", "sha256:zz", &"0".repeat(64), &format!("sha256:{}é", "0".repeat(62))] {
            assert_eq!(TokenDigest::parse(broken), None, "{broken}");
        }
    }

    #[test]
    fn other_strings_are_foreign() {
        for text in ["", "xai-0123456789", "lk_", "lk_xk_aaaaaaaaaaaa_"] {
            assert_eq!(recognise(text), Shape::Foreign, "{text}");
        }
    }

    proptest! {
        #[test]
        fn one_changed_character_breaks_the_checksum(position in PREFIX_LENGTH..TOKEN_LENGTH, replacement in "[0-9A-Za-z_]") {
            let (_, token) = minted();
            let mut changed = token.reveal().to_owned();
            prop_assume!(changed[position..=position] != replacement);
            changed.replace_range(position..=position, &replacement);
            prop_assert_eq!(recognise(&changed), Shape::Broken);
        }

        #[test]
        fn no_string_is_a_token_by_accident(text in "lk_mk_.{0,80}") {
            prop_assert_eq!(recognise(&text), Shape::Broken);
        }
    }
}
