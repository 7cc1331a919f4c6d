//! Rules for details that few requests and responses have. Its memory is reserved with [`Draft::keeps`].

use super::{BLOCK, Draft, entry};
use crate::json::Scalar;
use crate::observation::{LIST, RareDetails, Server, Text};

/// A method sets what it is named after. Of several values the last one counts. A text that is missing or empty changes nothing.
impl Draft {
    /// The server that the request names.
    pub fn server(&mut self, authority: &str, scheme: &str) {
        self.observation.server =
            Server::of(authority, scheme).filter(|server| self.keeps(server.address.len() + BLOCK));
    }

    /// The service tier that the request asks for, and the tier of its prices. `auto` leaves the choice to the provider.
    pub fn requested_tier(&mut self, value: Scalar<'_>) {
        self.service_tier(value);
        if value != Scalar::Text("auto") {
            self.set_text(value, |rare| &mut rare.requested_tier);
        }
    }

    /// The service tier that served the request, and the tier of its prices. `auto` is no tier: the first event of a stream may
    /// repeat the request.
    pub fn served_tier(&mut self, value: Scalar<'_>) {
        self.service_tier(value);
        if value != Scalar::Text("auto") {
            self.set_text(value, |rare| &mut rare.served_tier);
        }
    }

    /// The fingerprint of the provider's configuration.
    pub fn system_fingerprint(&mut self, value: Scalar<'_>) {
        self.set_text(value, |rare| &mut rare.system_fingerprint);
    }

    /// The level of reasoning.
    pub fn reasoning_level(&mut self, value: Scalar<'_>) {
        self.set_text(value, |rare| &mut rare.reasoning_level);
    }

    /// The identifier by which requests fetch the answer or file.
    pub fn fetched_by(&mut self, id: Scalar<'_>) {
        self.set_text(id, |rare| &mut rare.fetched);
    }

    /// The time since the request that created what this one fetches, in nanoseconds.
    pub fn age(&mut self, nanos: u64) {
        if let Some(rare) = self.rare() {
            rare.age = Some(nanos);
        }
    }

    /// The identifier of the response that the request continues.
    pub(super) fn previous_response_id(&mut self, value: Scalar<'_>) {
        self.set_text(value, |rare| &mut rare.previous_response);
    }

    /// Sets the rest of the rate limit that the open part names. The name comes first.
    pub fn rate_limit(&mut self, value: Scalar<'_>) {
        let limits = &mut self.observation.limits;
        match self.open.part_kind() {
            "requests" => limits.requests = value.count(),
            "tokens" => limits.tokens = value.count(),
            _ => {}
        }
    }

    /// The number of dimensions of embeddings.
    pub fn embedding_dimensions(&mut self, value: Scalar<'_>) {
        if let Some(count) = value.count()
            && let Some(rare) = self.rare()
        {
            rare.dimensions = Some(count);
        }
    }

    /// Adds an encoding of embeddings.
    pub fn embedding_encoding(&mut self, value: Scalar<'_>) {
        if let Some(text) = value.text()
            && self.rare().is_some_and(|rare| rare.encodings.len() < LIST)
            && self.keeps(entry::<Text>(text.len()))
            && let Some(rare) = self.rare()
        {
            rare.encodings.push(text);
        }
    }

    /// Sets a text. An equal one is kept: every event of a stream may repeat it.
    #[inline(never)]
    fn set_text(&mut self, value: Scalar<'_>, slot: fn(&mut RareDetails) -> &mut Option<Text>) {
        let Scalar::Text(text) = value else { return };
        if text.is_empty() {
            return;
        }
        let Some(kept) = self.rare().map(slot).filter(|kept| kept.as_deref() != Some(text)) else { return };
        let replaced = kept.take().map_or(0, |replaced| replaced.len() + BLOCK);
        self.room.give(replaced);
        if self.keeps(text.len() + BLOCK)
            && let Some(rare) = self.rare()
        {
            *slot(rare) = Some(text.into());
        }
    }

    /// The details. None if there is no memory for them.
    fn rare(&mut self) -> Option<&mut RareDetails> {
        let exists = self.observation.rare.is_some() || self.keeps(size_of::<RareDetails>() + BLOCK);
        exists.then(|| &mut **self.observation.rare.get_or_insert_default())
    }
}
