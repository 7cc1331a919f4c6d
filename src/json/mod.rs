//! Streaming JSON (RFC 8259): bytes go in, in pieces of any size, and the values that a [`Program`] selects come out.
//!
//! - [`Program`] compiles rules (a path and a function) into a tree of keys.
//! - [`Scanner`] reads documents and calls the rules. It keeps no value beyond the rule's call.
//! - [`Validator`] validates one document.
//! - [`ObjectHash`] computes a hash of an object that does not depend on the order of its members.
//! - [`Scalar`] converts a value into the type that a rule expects.
//! - `number` converts between decimal text and `f64`.
//!
//! The scanner is lenient: of a value that no rule selects, it checks only what it needs to find the value's end.
//! [`Validator`] is strict.

pub(crate) mod number;
mod object_hash;
mod program;
mod scalar;
mod scanner;
mod search;
mod string;
mod validator;

pub use object_hash::ObjectHash;
pub use program::{
    Deferred, Ended, Group, On, Program, Rule, Scalar, close, deferred, digest, open, raw, scalar, supersedes, text,
};
pub use scalar::{COUNT_LIMIT, identity, is_random, is_unnamed, unnamed_call};
pub use scanner::{Documents, Scanner};
pub use string::{LIMIT, Unescape};
pub use validator::{Validator, key_hash};
