//! The program that sent a request, by what its own headers and body say. Nothing of it is verified.

use super::Text;

/// The program that sent a request, and the session that it belongs to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClientDetails {
    /// Name of the program, from a fixed list.
    pub name: Option<&'static str>,
    /// Its version.
    pub version: Option<Text>,
    /// Identifier of the session.
    pub session: Option<Text>,
    /// Identifier of the agent within the session; None for the main agent.
    pub agent: Option<Text>,
    /// Identifier of the agent that started this one.
    pub parent_agent: Option<Text>,
    /// Number of this attempt at one logical request, from 1; None if the client does not count.
    pub attempt: Option<u64>,
}
