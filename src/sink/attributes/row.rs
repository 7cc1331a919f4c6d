//! The rows of the table of attributes.

use super::Phase::{self, End};
use super::{Attribute, Read};
use crate::documentation::documentation;
use crate::observation::{CostPart, OtherQuantities};

/// An attribute.
pub(super) const fn row(
    name: &'static str,
    unit: &'static str,
    phase: Phase,
    doc: &'static str,
    read: Read,
) -> Attribute {
    Attribute { name, unit: documentation(unit), phase, doc: documentation(doc), read }
}

/// A part of the cost, if it is not 0.
pub(super) const fn part(name: &'static str, part: CostPart, doc: &'static str) -> Attribute {
    row(name, "{USD}", End, doc, Read::Part(part))
}

/// A quantity, if it is not 0.
pub(super) const fn used(
    name: &'static str,
    unit: &'static str,
    doc: &'static str,
    read: fn(&OtherQuantities) -> u64,
) -> Attribute {
    row(name, unit, End, doc, Read::Quantity(read))
}

/// The description of a number of messages of one role.
pub(super) const OF_A_ROLE: &str = "number of messages of this role; written if the request uses tools";

/// The count, unless it is 0.
pub(super) fn positive(count: u16) -> Option<u64> {
    (count > 0).then_some(count.into())
}
