//! Who sends a request. Equal conversations and equal identifiers of two callers must not meet in what exchanges share, so the
//! caller is part of every key.
//!
//! The caller is the first of these that the request has:
//! 1. the access key id of an AWS signature, version 4, in `authorization` or in the query. The signature itself differs per request.
//! 2. `iss` and `sub` of a JSON Web Token in `authorization`. The token itself is replaced every hour.
//! 3. the credential: [`CREDENTIALS`] and [`PARAMETERS`], all that the request has.
//! 4. the downstream address.
//!
//! Only a keyed hash of it is computed. Nothing of a credential is stored or reported.
//!
//! Nothing is verified here. That is fine, because the caller only separates: it opens no access and is no label. Who forges
//! another's `sub` or access key id must also know the complete first messages of a conversation, and in every API the identifiers
//! of its calls, to reach the figures of one run. A gateway that verifies tokens refuses the request before the plugin sees it.
//!
//! Specifications: the AWS documentation of Signature Version 4; RFC 7515, RFC 7519 (JWT); RFC 6750 (Bearer).

use std::rc::Rc;

use serde_json::Value;

use super::Head;
use crate::bytes::{Base64, SipKey};
use crate::text::hash::{Key, begin, end};

/// Headers that carry a credential.
const CREDENTIALS: &[&str] = &["authorization", "x-api-key", "api-key", "x-goog-api-key", "x-auth-token"];
/// Parameters of the query that carry a credential.
const PARAMETERS: &[&str] = &["key", "api_key", "api-key"];
/// Maximum length of a token's payload in base64. A longer token is hashed as a whole. Reading one with a second instance of the
/// JSON scanner would be faster, but makes the plugin larger by its whole code.
const PAYLOAD: usize = 8192;

/// Computes the hashes that tell callers apart.
pub struct Callers {
    key: SipKey,
}

impl Callers {
    /// Hashes with a key that follows from this one.
    pub fn new(key: Rc<Key>) -> Self {
        let bytes = end(Some(&key), begin(Some(&key)));
        Callers { key: SipKey::new(bytes.first_chunk().copied().unwrap_or_default()) }
    }

    /// The hash of the caller, never 0. `address` is called only if the request has no credential.
    pub fn caller(&self, head: Head<'_>, address: impl FnOnce() -> Vec<u8>) -> u64 {
        let hash = |parts: &[&[u8]]| self.keyed(parts);
        let authorization = head.bytes("authorization").unwrap_or_default();
        let path = head.bytes(":path").unwrap_or_default();
        let query = path.iter().position(|byte| *byte == b'?').and_then(|at| path.get(at + 1..)).unwrap_or_default();
        if let Some(id) = access_key(authorization, query) {
            return hash(&[b"access key", id]);
        }
        if let Some((issuer, subject)) = claims(authorization) {
            return hash(&[b"subject", issuer.as_bytes(), subject.as_bytes()]);
        }
        let mut parts: Vec<&[u8]> = vec![b"credential"];
        for (name, value) in CREDENTIALS.iter().filter_map(|name| Some((name, head.bytes(name)?))) {
            parts.extend([name.as_bytes(), value]);
        }
        for (name, value) in PARAMETERS.iter().filter_map(|name| Some((name, parameter(query, name)?))) {
            parts.extend([name.as_bytes(), value]);
        }
        if parts.len() == 1 { hash(&[b"address", &address()]) } else { hash(&parts) }
    }

    /// The hash of a downstream address, never 0.
    pub fn peer(&self, address: &[u8]) -> u64 {
        self.keyed(&[b"peer", address])
    }

    /// The key of a caller's tool call. `agent` is the caller's agent, if the request names it; `call` is the hash of the call's
    /// identifier.
    pub fn call_key(&self, caller: u64, agent: Option<&str>, call: u64) -> u64 {
        let agent = agent.unwrap_or_default().as_bytes();
        self.keyed(&[b"call", &caller.to_be_bytes(), agent, &call.to_be_bytes()])
    }

    /// The key of a caller's conversation, by a word for what names it, and the name.
    pub fn conversation_key(&self, caller: u64, kind: &str, names: &[&[u8]]) -> u64 {
        let caller = caller.to_be_bytes();
        self.keyed(&[&[kind.as_bytes(), &caller], names].concat())
    }

    /// The hash of some byte strings, never 0. Each is followed by its length, so that the boundaries between them count.
    fn keyed(&self, parts: &[&[u8]]) -> u64 {
        let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len() + size_of::<u64>()).sum());
        for part in parts {
            bytes.extend_from_slice(part);
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        }
        self.key.hash(&bytes).max(1)
    }
}

/// Issuer and subject of a bearer token that is a JSON Web Token and has both.
fn claims(authorization: &[u8]) -> Option<(String, String)> {
    let (scheme, token) = authorization.split_at_checked(7)?;
    let mut segments = token.trim_ascii().split(|byte| *byte == b'.');
    let (_, payload, _, None) = (segments.next()?, segments.next()?, segments.next()?, segments.next()) else {
        return None;
    };
    if !scheme.eq_ignore_ascii_case(b"bearer ") || payload.is_empty() || payload.len() > PAYLOAD {
        return None;
    }
    let mut base64 = Base64::default();
    base64.decode(payload);
    base64.finish();
    let claims: Value = serde_json::from_str(core::str::from_utf8(&base64.take_decoded()).ok()?).ok()?;
    let text = |name: &str| claims.get(name)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    Some((text("iss")?, text("sub")?))
}

/// The access key id of an AWS signature: the part of its credential before the first slash.
fn access_key<'a>(authorization: &'a [u8], query: &'a [u8]) -> Option<&'a [u8]> {
    let in_header = || {
        let fields = authorization.strip_prefix(b"AWS4-")?;
        let begins = |field: &'a [u8]| field.trim_ascii_start().strip_prefix(b"Credential=");
        fields.split(|byte| matches!(byte, b' ' | b',')).find_map(begins)
    };
    let credential = in_header().or_else(|| parameter(query, "X-Amz-Credential"))?;
    // In a query the slash may be percent-encoded.
    let id = credential.split(|byte| matches!(byte, b'/' | b'%')).next()?;
    (!id.is_empty()).then_some(id)
}

/// The value of a parameter of the query, as it is written there. None if it is empty.
fn parameter<'a>(query: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let value = |pair: &'a [u8]| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=");
    query.split(|byte| *byte == b'&').find_map(value).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(path: &str, headers: &[(&str, &str)]) -> u64 {
        let callers = Callers::new(Rc::new(Key::new(b"secret")));
        let mut head: Vec<(&[u8], &[u8])> = vec![(b":path", path.as_bytes())];
        head.extend(headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
        callers.caller(Head(&head), || b"10.0.0.1".to_vec())
    }

    /// A token with this payload, as base64 without padding.
    fn token(payload: &str) -> String {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut digits = String::new();
        for bytes in payload.as_bytes().chunks(3) {
            let bits = bytes.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - bytes.len()));
            (0..=bytes.len()).for_each(|at| digits.push(DIGITS[(bits >> (18 - 6 * at)) as usize & 63] as char));
        }
        format!("eyJhbGciOiJSUzI1NiJ9.{digits}.c2ln")
    }

    #[test]
    fn a_signature_is_known_by_its_access_key_in_the_header_or_the_query() {
        let header = |id: &str, signature: &str| {
            let value = format!(
                "AWS4-HMAC-SHA256 Credential={id}/20261129/eu-west-1/bedrock/aws4_request, SignedHeaders=host, Signature={signature}"
            );
            caller("/model/m/converse", &[("authorization", &value)])
        };
        let query =
            |id: &str, slash: &str| caller(&format!("/x?X-Amz-Date=1&X-Amz-Credential={id}{slash}20261129"), &[]);
        assert_eq!(header("AKIDALICE", "aa"), header("AKIDALICE", "bb"));
        assert_ne!(header("AKIDALICE", "aa"), header("AKIDBOB", "aa"));
        assert_eq!([query("AKIDBOB", "/"), query("AKIDBOB", "%2F")], [header("AKIDBOB", "cc"); 2]);
    }

    #[test]
    fn a_token_is_known_by_its_issuer_and_subject_however_often_it_is_renewed() {
        let bearer =
            |scheme: &str, payload: &str| caller("/x", &[("authorization", &format!("{scheme} {}", token(payload)))]);
        let alice = bearer("Bearer", r#"{"iss":"https://id.example","sub":"alice","exp":1}"#);
        assert_eq!(bearer("bearer", r#"{"exp":2,"aud":["a"],"sub":"alice","iss":"https://id.example"}"#), alice);
        for other in [
            r#"{"iss":"https://id.example","sub":"bob"}"#,
            r#"{"iss":"https://other.example","sub":"alice"}"#,
            r#"{"iss":"https://id.examplea","sub":"lice"}"#,
        ] {
            assert_ne!(bearer("Bearer", other), alice, "{other}");
        }
        // Without both claims the whole token counts.
        for payload in [
            r#"{"sub":"alice","n":@}"#,
            r#"{"iss":"i","sub":"","n":@}"#,
            r#"{"iss":"i","sub":7,"n":@}"#,
            r#"{"iss":"i","sub":"s","n":@"#,
            "[@]",
            "@",
            "x@",
        ] {
            let pair = ["1", "2"].map(|n| bearer("Bearer", &payload.replace('@', n)));
            assert_ne!(pair[0], pair[1], "{payload}");
        }
        let long = |n: usize| bearer("Bearer", &format!(r#"{{"iss":"i","sub":"s","n":"{}"}}"#, "x".repeat(n)));
        assert_eq!(long(1), long(5000));
        assert_ne!(long(7000), long(7001));
    }

    #[test]
    fn any_other_credential_counts_as_a_whole_and_without_one_the_address() {
        let with = |headers: &[(&str, &str)]| caller("/x", headers);
        let callers = [
            with(&[]),
            with(&[("authorization", "Bearer sk-1")]),
            with(&[("authorization", "Bearer sk-2")]),
            with(&[("authorization", "Bearer sk-1"), ("x-api-key", "1")]),
            with(&[("x-api-key", "1")]),
            with(&[("api-key", "1")]),
            with(&[("x-goog-api-key", "1")]),
            with(&[("x-auth-token", "1")]),
            caller("/x?alt=sse&key=1", &[]),
            caller("/x?key=2", &[]),
            caller("/x?key=10.0.0.1", &[]),
        ];
        for (at, one) in callers.iter().enumerate() {
            assert!(!callers[..at].contains(one), "{at}");
        }
        assert_eq!(with(&[("user-agent", "a"), ("cookie", "b")]), callers[0]);
        assert_eq!(caller("/x?monkey=1&key=", &[]), callers[0]);
    }

    #[test]
    fn a_keyed_hash_depends_on_the_boundaries_between_its_parts() {
        let callers = Callers::new(Rc::new(Key::new(b"secret")));
        let parts: [&[&[u8]]; 4] = [&[b"ab", b"c"], &[b"a", b"bc"], &[b"abc"], &[b"", b"abc"]];
        let hashes = parts.map(|parts| callers.keyed(parts));
        for (at, hash) in hashes.iter().enumerate() {
            assert!(!hashes[..at].contains(hash), "{at}");
        }
    }

    #[test]
    fn the_key_of_a_call_depends_on_everything_and_on_the_secret() {
        let of = |secret: &[u8]| Callers::new(Rc::new(Key::new(secret)));
        let keys = [
            of(b"a").call_key(1, None, 5),
            of(b"b").call_key(1, None, 5),
            of(b"a").call_key(2, None, 5),
            of(b"a").call_key(1, Some("x"), 5),
            of(b"a").call_key(1, Some("y"), 5),
            of(b"a").call_key(1, None, 6),
            of(b"a").conversation_key(1, "message", &[b"", b"5"]),
            of(b"a").conversation_key(2, "message", &[b"", b"5"]),
            of(b"a").conversation_key(1, "message", &[b"x", b"5"]),
            of(b"a").conversation_key(1, "task", &[b"", b"5"]),
            of(b"a").conversation_key(1, "message", &[b"", b"6"]),
        ];
        for (at, key) in keys.iter().enumerate() {
            assert!(!keys[..at].contains(key), "{at}");
        }
    }
}
