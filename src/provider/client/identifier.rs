//! Identifiers that a client chooses, and which of them may be reported.

use std::borrow::Cow;

/// Maximum length of an identifier, in bytes.
pub(super) const LONGEST: usize = 128;
/// Length of a UUID in hexadecimal digits and hyphens.
const UUID: usize = 36;
/// Beginnings of credentials: of OpenAI, Anthropic and others, Stripe, GitHub, Slack, AWS, Google, and JSON Web Tokens.
const CREDENTIALS: &[&str] =
    &["sk-", "sk_", "pk_", "rk_", "ghp_", "gho_", "ghs_", "github_pat_", "xox", "AKIA", "AIza", "eyJ"];

/// The text if it is fit to be reported: 1 to [`LONGEST`] bytes of letters, digits and `-`, `_`, `.`, `:`, `~`, `+`, `=`, `@`, and
/// neither an e-mail address nor a credential.
pub(super) fn fit(text: &str) -> Option<&str> {
    let text = text.trim_matches(' ');
    let is_fit = |c: char| c.is_alphanumeric() || "-_.:~+=@".contains(c);
    let is_address = text.split_once('@').is_some_and(|(_, domain)| domain.contains('.'));
    let is_credential = CREDENTIALS.iter().any(|beginning| text.starts_with(beginning));
    let is_short = (1..=LONGEST).contains(&text.len());
    Some(text).filter(|text| is_short && text.chars().all(is_fit) && !is_address && !is_credential)
}

/// Decodes `%` followed by two hexadecimal digits, once (RFC 3986, section 2.1). Returns None if the text is longer than an
/// identifier can be, or if the bytes are not UTF-8.
pub(super) fn percent_decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(text.into());
    }
    if text.len() > 3 * LONGEST {
        return None;
    }
    let (mut out, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail.get(..2).filter(|_| *first == b'%');
        let digits = digits.and_then(|digits| core::str::from_utf8(digits).ok());
        match digits.filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit())).and_then(|d| u8::from_str_radix(d, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(out).ok().map(Cow::from)
}

/// The session in the member `metadata.user_id` of Claude Code: a JSON text with `session_id`, or
/// `user_HASH_account_UUID_session_UUID`. `text` may be the beginning of the member: the result is None until the identifier is
/// complete, and does not change after that.
pub(super) fn session_in_user_id(text: &str) -> Option<&str> {
    if text.starts_with('{') {
        return member(text, "\"session_id\":\"");
    }
    let (_, session) = text.strip_prefix("user_")?.split_once("_account_")?.1.split_once("_session_")?;
    session.get(..UUID)
}

/// The string that follows `key` in a JSON text without spaces. `key` is the member's name with its quotes, the colon and the
/// opening quote. It cannot be part of a string, where its quotes would be escaped.
pub(super) fn member<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    Some(text.split_once(key)?.1.split_once('"')?.0)
}
