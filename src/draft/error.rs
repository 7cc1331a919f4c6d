//! The error that a response reports.

use super::Draft;
use crate::json::Scalar;
use crate::observation::Text;

/// An error as the response reports it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WireError {
    is_present: bool,
    /// `error.code`, if it is not a number.
    code: Option<Text>,
    /// `error.type`
    kind: Option<Text>,
    /// `error.status` (Google)
    status: Option<Text>,
    /// A name outside the error object, or in a header.
    outer: Option<Text>,
    /// `error.code`, if it is a number: an HTTP status.
    number: Option<u16>,
}

impl WireError {
    /// Returns true if there is an error.
    pub fn is_present(&self) -> bool {
        self.is_present
    }

    /// The error's name: the provider's own, else an HTTP status. `status` is the response's, if it is an error.
    pub fn name(&self, status: Option<u16>) -> Option<Text> {
        let own = [&self.code, &self.kind, &self.status, &self.outer].into_iter().flatten().next();
        let status = status.or(self.number);
        own.cloned().or_else(|| status.map(|status| status.to_string().into()))
    }
}

/// Rules of errors. A method that takes a [`Scalar`] sets what it is named after.
impl Draft {
    /// The response reports an error.
    pub fn failed(&mut self) {
        self.error.is_present = true;
    }

    /// The error's code: a word, or an HTTP status as a number or in digits.
    #[inline(never)]
    pub fn error_code(&mut self, value: Scalar<'_>) {
        match value {
            Scalar::Number(number) => self.error.number = number.parse().ok(),
            Scalar::Text(word) if word.bytes().all(|b| b.is_ascii_digit()) => self.error.number = word.parse().ok(),
            other => self.error.code = other.text(),
        }
    }

    /// The error's code, which is a word.
    pub fn error_code_word(&mut self, value: Scalar<'_>) {
        self.error.code = value.text();
    }

    /// The error's type.
    pub fn error_type(&mut self, value: Scalar<'_>) {
        self.error.kind = value.text();
    }

    /// The error's status.
    pub fn error_status(&mut self, value: Scalar<'_>) {
        self.error.status = value.text();
    }

    /// The error's name outside the error object.
    pub fn outer_error(&mut self, value: Scalar<'_>) {
        match value {
            Scalar::Number(_) => self.error_code(value),
            other => self.error.outer = other.text(),
        }
    }

    /// The error's name in a header or frame. None removes it.
    pub fn set_outer_error(&mut self, name: Option<&str>) {
        self.error.outer = name.map(Text::from);
    }
}
