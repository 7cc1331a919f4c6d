//! Replaces `encoding` in builds without the feature `encodings`: no content encoding is supported.

use crate::budget::Share;

/// Never constructed: [`Decoder::new`] always returns None.
pub struct Decoder;

/// Never constructed.
pub struct Unreadable;

impl Decoder {
    /// Returns None.
    pub fn new(_: &str, _: Share) -> Option<Self> {
        None
    }

    /// Returns false.
    pub fn has_pending_output(&self) -> bool {
        false
    }

    /// Returns false.
    pub fn has_delayed_output(&self) -> bool {
        false
    }

    /// Writes nothing.
    ///
    /// # Errors
    /// Never.
    pub fn feed(&mut self, _: &[u8], _: impl FnMut(&[u8])) -> Result<(), Unreadable> {
        Ok(())
    }
}

/// Never constructed: [`MessageInflate::new`] always returns None.
pub struct MessageInflate;

impl MessageInflate {
    /// Returns None.
    pub fn new(_: u8, _: bool, _: Share) -> Option<Self> {
        None
    }

    /// Does nothing.
    pub fn allow_work(&mut self, _: usize) {}

    /// Writes nothing.
    ///
    /// # Errors
    /// Never.
    pub fn feed(&mut self, _: &[u8], _: impl FnMut(&[u8])) -> Result<(), Unreadable> {
        Ok(())
    }

    /// Writes nothing.
    ///
    /// # Errors
    /// Never.
    pub fn end(&mut self, _: impl FnMut(&[u8])) -> Result<(), Unreadable> {
        Ok(())
    }
}
