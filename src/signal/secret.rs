//! A secret that clients present.

use core::hint::black_box;

use sha2::{Digest, Sha256};

/// Fewest characters of a secret.
const SHORTEST: usize = 16;
/// The start of a setting that has the digest of the secret instead of the secret.
const DIGEST: &str = "sha256:";

/// A secret, stored as its SHA-256. It is never shown: its debug form is the same for all.
#[derive(Clone, Copy, Default, PartialEq)]
pub struct Secret(Option<[u8; 32]>);

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// Reads a setting: the secret itself, or `sha256:` and the secret's SHA-256 in hexadecimal. Empty for no secret.
    ///
    /// # Errors
    /// What is wrong with it. The text never has a part of the secret.
    pub fn read(setting: &str) -> Result<Self, &'static str> {
        if setting.is_empty() {
            return Ok(Secret(None));
        }
        if let Some(hex) = setting.strip_prefix(DIGEST) {
            return match digest(hex) {
                Some(digest) => Ok(Secret(Some(digest))),
                None => Err("must have 64 hexadecimal digits after sha256:"),
            };
        }
        if setting.len() < SHORTEST || !setting.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("must have 16 or more visible ASCII characters without spaces");
        }
        Ok(Secret(Some(Sha256::digest(setting.as_bytes()).into())))
    }

    /// Returns true if there is a secret.
    pub fn is_set(&self) -> bool {
        self.0.is_some()
    }

    /// Returns true if the value of an `authorization` header has this secret, in the scheme `Bearer` (RFC 6750). The time does
    /// not depend on how much of the secret is right.
    pub fn is_in(&self, authorization: &[u8]) -> bool {
        let Some(digest) = &self.0 else { return false };
        let Some((scheme, token)) = authorization.split_at_checked(b"bearer ".len()) else { return false };
        if !scheme.eq_ignore_ascii_case(b"bearer ") {
            return false;
        }
        let given: [u8; 32] = Sha256::digest(token.trim_ascii()).into();
        let differences = given.iter().zip(digest).fold(0, |all, (a, b)| black_box(all | (a ^ b)));
        differences == 0
    }
}

fn digest(hex: &str) -> Option<[u8; 32]> {
    let digits: Option<Vec<u8>> =
        hex.chars().map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let (pairs, rest) = digits.as_ref()?.as_chunks::<2>();
    let bytes: Vec<u8> = pairs.iter().map(|[high, low]| high << 4 | low).collect();
    rest.is_empty().then(|| bytes.try_into().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORD: &str = "0123456789abcdef";

    #[test]
    fn a_secret_is_recognised_by_itself_and_by_its_digest() {
        // `printf 0123456789abcdef | sha256sum`
        let digest = "sha256:9f9f5111f7b27a781f1f1ddde5ebc2dd2b796bfc7365c9c28b548e564176929f";
        for setting in [WORD, digest] {
            let secret = Secret::read(setting).unwrap();
            for right in ["Bearer 0123456789abcdef", "bearer  0123456789abcdef ", "BEARER 0123456789abcdef"] {
                assert!(secret.is_in(right.as_bytes()), "{right}");
            }
            for wrong in
                ["", "Bearer", "Bearer ", "0123456789abcdef", "Basic 0123456789abcdef", "Bearer 0123456789abcdeF"]
            {
                assert!(!secret.is_in(wrong.as_bytes()), "{wrong}");
            }
            assert_eq!(format!("{secret:?}"), "Secret");
        }
        assert!(!Secret::read("").unwrap().is_in(b"Bearer "));
        assert!(!Secret::read("").unwrap().is_set());
    }

    #[test]
    fn a_setting_that_is_short_or_cannot_be_sent_is_refused_without_being_shown() {
        for setting in ["0123456789abcde", "0123456789 abcdef", "0123456789abcdef\u{e9}", "sha256:9f9f", "sha256:"] {
            let error = Secret::read(setting).unwrap_err();
            assert!(!error.contains("9abc") && !error.contains("9f9f"), "{error}");
        }
    }
}
