//! Feedback on answers: `POST {"response_id": ..., "score": 0..1}` to a path that the plugin answers itself.
//!
//! A client brings the secret in `authorization: Bearer SECRET`: every HTTP client can send that header, tools treat it as a secret,
//! and a page of another origin cannot send it unless the gateway allows that.
//!
//! The host stores the labels of answers for all workers in a fixed number of slots. A later answer replaces an earlier one in
//! its slot. Memory: [`BODY`] bytes of a request, about 200 bytes per slot. Slots have names of models and routes, no text.

use serde_json::Value;

use crate::json::Scalar;
use crate::json::identity;
use crate::observation::{Attribution, Text};
use crate::provider;
use crate::signal::secret::Secret;

/// Maximum length of a request, in bytes.
pub const BODY: usize = 4096;

/// Settings of the path on which the plugin accepts feedback.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FeedbackSettings {
    /// `feedback.path`. Empty for none.
    pub path: String,
    /// `feedback.secret`
    pub secret: Secret,
    /// `feedback.slots`
    pub slots: u64,
}

impl FeedbackSettings {
    /// Returns true if a request's path is the path of feedback.
    pub fn is_at(&self, path: &str) -> bool {
        !self.path.is_empty() && path.split('?').next() == Some(&self.path)
    }

    /// The slot of an answer, by the [`key`] of its identifier.
    pub fn slot(&self, key: u64) -> u64 {
        (key ^ key >> 32) % self.slots.max(1)
    }
}

/// One piece of feedback.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Feedback {
    /// The [`key`] of the answer.
    pub answer: u64,
    /// The score, 0 to 1,000.
    pub permille: u64,
}

/// The key of an answer: a hash of its identifier.
pub fn key(response_id: &str) -> u64 {
    identity(Scalar::Text(response_id))
}

impl Feedback {
    /// Reads a request's body.
    ///
    /// # Errors
    /// What is wrong with the body, for the client.
    pub fn parse(body: &[u8]) -> Result<Self, &'static str> {
        const NOT_JSON: &str = "the body is not JSON";
        // All JSON is parsed from text: a parser of bytes would be a second copy of the code.
        let text = core::str::from_utf8(body).map_err(|_| NOT_JSON)?;
        let value: Value = serde_json::from_str(text).map_err(|_| NOT_JSON)?;
        let members = value.as_object().ok_or("the body is not an object")?;
        let (mut answer, mut permille) = (None, None);
        for (name, value) in members {
            match name.as_str() {
                "response_id" => answer = value.as_str().filter(|id| !id.is_empty()),
                "score" => permille = value.as_f64().filter(|score| (0.0..=1.0).contains(score)),
                _ => return Err("there is a member that is neither response_id nor score"),
            }
        }
        let answer = key(answer.ok_or("response_id must be a string, the identifier of an answer")?);
        let score = permille.ok_or("score must be a number from 0 to 1")?;
        Ok(Feedback { answer, permille: (score * 1000.0).round() as u64 })
    }
}

/// The labels of an answer, as the bytes that the host stores. `caller` is the keyed hash of the caller who asked for it.
pub fn remembered(answer: u64, caller: u64, who: &Attribution) -> Vec<u8> {
    let mut out = ambiguous(answer);
    out.extend(caller.to_le_bytes());
    let optional = |text: &'_ Option<Text>| text.as_deref().unwrap_or_default().to_owned();
    let (asked, answered) = (optional(&who.request_model), optional(&who.response_model));
    let texts = [who.operation, &who.provider, &who.route, &asked, &answered];
    for text in texts.into_iter().chain(who.labels.iter().map(|label| &**label)) {
        let text = text.as_bytes().get(..text.len().min(0xffff)).unwrap_or_default();
        out.extend((text.len() as u16).to_le_bytes());
        out.extend_from_slice(text);
    }
    out
}

/// The bytes that the host stores if two callers got answers with the same identifier. Feedback names no caller, so it is counted
/// for neither of them.
pub fn ambiguous(answer: u64) -> Vec<u8> {
    answer.to_le_bytes().to_vec()
}

/// Returns true if the stored bytes belong to an answer with the same identifier for another caller.
pub fn is_of_another(answer: u64, caller: u64, bytes: &[u8]) -> bool {
    let (kept, rest) = bytes.split_at_checked(8).unwrap_or_default();
    kept == answer.to_le_bytes() && rest.get(..8) != Some(&caller.to_le_bytes())
}

/// Reads the bytes that [`remembered`] wrote. Returns None if they belong to another answer, are ambiguous or are damaged.
pub fn recalled(answer: u64, bytes: &[u8]) -> Option<Attribution> {
    let (kept, rest) = bytes.split_first_chunk()?;
    if u64::from_le_bytes(*kept) != answer {
        return None;
    }
    let mut rest = rest.get(8..)?;
    let mut texts = core::iter::from_fn(|| {
        let (length, tail) = rest.split_first_chunk()?;
        let (text, tail) = tail.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        rest = tail;
        core::str::from_utf8(text).ok()
    });
    let operation = texts.next()?;
    let optional = |text: &str| Some(Text::from(text)).filter(|text| !text.is_empty());
    Some(Attribution {
        operation: provider::endpoints().map(|e| e.api.operation).find(|known| *known == operation)?,
        provider: texts.next()?.to_owned().into(),
        route: texts.next()?.into(),
        request_model: optional(texts.next()?),
        response_model: optional(texts.next()?),
        conversation: None,
        client: None,
        labels: texts.map(Text::from).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_is_rounded_to_thousandths_and_wrong_bodies_are_refused() {
        let read = |body: &str| Feedback::parse(body.as_bytes());
        for (score, permille) in [("0", 0), ("1", 1000), ("0.5", 500), ("0.0004", 0), ("1e-3", 1)] {
            let feedback = read(&format!(r#"{{"response_id": "r1", "score": {score}}}"#)).unwrap();
            assert_eq!((feedback.answer, feedback.permille), (key("r1"), permille));
        }
        for wrong in [
            "",
            "[]",
            "{}",
            r#"{"response_id": "r"}"#,
            r#"{"response_id": "", "score": 1}"#,
            r#"{"response_id": 1, "score": 1}"#,
            r#"{"response_id": "r", "score": 1.01}"#,
            r#"{"response_id": "r", "score": -0.1}"#,
            r#"{"response_id": "r", "score": "1"}"#,
            r#"{"response_id": "r", "score": 1, "words": "x"}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_labels_of_an_answer_are_read_back_and_not_for_another_answer() {
        let who = Attribution {
            operation: "chat",
            provider: "openai".into(),
            route: "llm".into(),
            request_model: Some("gpt-4o".into()),
            response_model: None,
            conversation: None,
            client: None,
            labels: vec!["team".into(), "".into()],
        };
        let bytes = remembered(7, 1, &who);
        assert_eq!(recalled(7, &bytes), Some(who));
        assert_eq!(recalled(8, &bytes), None);
        for cut in 0..bytes.len() - 8 {
            assert!(recalled(7, &bytes[..cut]).is_none_or(|who| who.labels.len() < 2));
        }
        // The same identifier for another caller is ambiguous, and remains it.
        assert!(!is_of_another(7, 1, &bytes) && !is_of_another(8, 2, &bytes) && is_of_another(7, 2, &bytes));
        let both = ambiguous(7);
        assert!(recalled(7, &both).is_none() && is_of_another(7, 1, &both) && !is_of_another(8, 1, &both));
        assert!(!is_of_another(7, 1, &[0]));
    }
}
