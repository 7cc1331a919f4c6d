//! The texts of requests and answers: their hashes, their lengths and, only if the configuration enables it, their content.

pub mod content;
pub mod fingerprint;
pub mod hash;
pub mod opening;
#[cfg(feature = "capture")]
pub mod redaction;
#[cfg(not(feature = "capture"))]
#[path = "no_redaction.rs"]
pub mod redaction;
pub mod transcript;
