//! The table of attributes.

mod cost;
mod request;
mod response;

use self::cost::COST;
use self::request::REQUEST;
use self::response::RESPONSE;
use super::Attribute;

/// Every attribute, in the order in which they are written.
pub const ATTRIBUTES: &[Attribute] = &joined();

const fn joined() -> [Attribute; REQUEST.len() + RESPONSE.len() + COST.len()] {
    let mut all = [Attribute::NONE; REQUEST.len() + RESPONSE.len() + COST.len()];
    let (request, rest) = all.split_at_mut(REQUEST.len());
    let (response, cost) = rest.split_at_mut(RESPONSE.len());
    request.copy_from_slice(REQUEST);
    response.copy_from_slice(RESPONSE);
    cost.copy_from_slice(COST);
    all
}
