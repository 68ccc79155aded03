//! Taking over a token that was made elsewhere: what can be one, and whether it is hard enough to guess.

use crate::token::{KeyId, Shape, Token, recognise};
use std::collections::HashMap;

/// The least entropy of a token, in bits.
const NEEDED_BITS: f64 = 128.0;
/// The least entropy that the characters' frequencies must show. Random tokens of 128 bits vary around 115 when they are
/// short and hexadecimal; repetitive ones stay far below.
const NEEDED_VARIETY_BITS: f64 = 96.0;
/// The longest token that fits a header comfortably.
const MAX_LENGTH: usize = 512;

/// Why a token can't be taken over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is too easy to guess.
    #[error("it has about {bits} bits of entropy, and 128 are needed")]
    TooWeak {
        /// The estimate.
        bits: u32,
    },
    /// It can't be sent in a header.
    #[error("a token is 1 to 512 printable ASCII characters without spaces")]
    Unsendable,
    /// It begins like a Latchkey token and isn't one.
    #[error("it looks like a Latchkey token, but its checksum is wrong")]
    Broken,
}

/// Checks a token, and tells the id that it already carries if it was made by Latchkey elsewhere.
pub fn check(token: &Token) -> Result<Option<KeyId>, Refused> {
    let text = token.reveal();
    if text.is_empty() || text.len() > MAX_LENGTH || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refused::Unsendable);
    }
    match recognise(text) {
        Shape::Latchkey(_, id) => return Ok(Some(id)),
        Shape::Broken => return Err(Refused::Broken),
        Shape::Foreign => {}
    }
    let bits = alphabet_bits(text);
    let variety = variety_bits(text);
    if bits < NEEDED_BITS || variety < NEEDED_VARIETY_BITS {
        return Err(Refused::TooWeak { bits: bits.min(variety) as u32 });
    }
    Ok(None)
}

/// Length times the bits per character of the smallest usual alphabet that has all the characters.
fn alphabet_bits(text: &str) -> f64 {
    let has = |class: fn(&u8) -> bool| text.bytes().any(|byte| class(&byte));
    let hexadecimal = text.bytes().all(|byte| byte.is_ascii_hexdigit())
        && !(has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase));
    let size = if text.bytes().all(|byte| byte.is_ascii_digit()) {
        10
    } else if hexadecimal {
        16
    } else {
        let punctuation =
            text.bytes().filter(u8::is_ascii_punctuation).collect::<std::collections::HashSet<_>>();
        [(has(u8::is_ascii_lowercase), 26), (has(u8::is_ascii_uppercase), 26), (has(u8::is_ascii_digit), 10)]
            .into_iter()
            .filter_map(|(has, size)| has.then_some(size))
            .sum::<usize>()
            + punctuation.len()
    };
    text.len() as f64 * (size as f64).log2()
}

/// Shannon entropy of the text's own character frequencies, with the Miller-Madow correction for short texts.
fn variety_bits(text: &str) -> f64 {
    let mut counts: HashMap<u8, usize> = HashMap::new();
    for byte in text.bytes() {
        *counts.entry(byte).or_default() += 1;
    }
    let length = text.len() as f64;
    let shannon: f64 =
        counts.values().map(|count| *count as f64 / length).map(|share| -share * share.log2()).sum();
    let correction = (counts.len() as f64 - 1.0) / (2.0 * length * std::f64::consts::LN_2);
    length * (shannon + if shannon > 0.0 { correction } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::KeyKind;

    fn checked(text: &str) -> Result<Option<KeyId>, Refused> {
        check(&Token::from_existing(text.to_owned()))
    }

    #[test]
    fn random_tokens_of_128_bits_pass() {
        for text in [
            "9f86d081884c7d659a2feaa0c55ad015",
            "4f0c8a1be2d75396c1d8e07b5a94f236",
            "xai-Kq8sD2mVn4Zt7LwPc1Rf",
            "c1f9a7b2-1234-4cde-9f01-23456789abcd-7e",
        ] {
            assert_eq!(checked(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn guessable_tokens_are_refused() {
        for text in [
            "password",
            "0123456789012345678901234567",
            &"a".repeat(64),
            &"ab".repeat(40),
            "9f86d081884c7d659a2feaa0c55ad01",
        ] {
            assert!(matches!(checked(text), Err(Refused::TooWeak { .. })), "{text}: {:?}", checked(text));
        }
    }

    #[test]
    fn what_no_header_can_carry_is_refused() {
        for text in [
            "",
            "with space and forty more characters in it",
            "tab\there",
            "ünïcode-token-that-is-long-enough-for-all",
            &"x".repeat(513),
        ] {
            assert_eq!(checked(text), Err(Refused::Unsendable), "{text:?}");
        }
    }

    #[test]
    fn a_latchkey_token_keeps_its_id_and_a_mistyped_one_is_refused() {
        let id = KeyId::mint().unwrap();
        let token = Token::mint(KeyKind::Management, id).unwrap();
        assert_eq!(check(&token), Ok(Some(id)));
        let last = if token.reveal().ends_with('0') { "1" } else { "0" };
        assert_eq!(checked(&(token.reveal()[..67].to_owned() + last)), Err(Refused::Broken));
    }
}
