//! The tool calls of an answer, in the form in which a later call of MCP finds them.

use super::{Exchange, Observer};
use crate::provider::Head;
use crate::signal::asked::{AskedCall, Served};
use crate::signal::memory::Pending;

impl Exchange {
    /// The tool calls of the answer, with the entries `asks` that remember them. `peer` is that of [`Observer::peer`].
    pub fn asked_calls(&self, asks: &[Pending], peer: u64) -> Vec<AskedCall> {
        if !self.is_answered() {
            return Vec::new();
        }
        let ids = self.draft.answer_calls().map(|call| (call.id, call.item));
        let asked = ids.zip(asks).map(|((id, item), pending)| AskedCall {
            peer,
            caller: self.run.caller,
            id,
            item,
            arguments: pending.arguments,
            key: pending.call,
            beginning: pending.beginning,
            asked_at: pending.called_at,
            served: Served::default(),
            closed: None,
            name: pending.name.clone(),
        });
        asked.filter(|call| call.asked_at > 0).collect()
    }

    /// Adds the calls of MCP for the tool call with this hash of its identifier. If the last one failed, the tool has failed, even if the
    /// client does not say so.
    pub fn set_served(&mut self, call: u64, served: &Served) {
        let results = &mut self.draft.observation.agent.results;
        if let Some(result) = results.iter_mut().find(|result| result.call == call) {
            result.served = Some(served.nanos).filter(|nanos| *nanos > 0);
            result.failed |= served.failed;
        }
    }
}

impl Observer {
    /// Keyed hash of a downstream address without its port. Returns None if exchanges share nothing.
    pub fn peer(&self, address: &[u8]) -> Option<u64> {
        Some(self.callers.as_ref()?.peer(address))
    }

    /// Keyed hash of an operation of MCP, by its caller, its session and the hash of its identifier. Returns None if exchanges share nothing.
    pub fn operation_key(&self, caller: u64, session: &str, id: u64) -> Option<u64> {
        Some(self.callers.as_ref()?.call_key(caller, Some(session), id))
    }

    /// Keyed hash of the caller of a request. Returns None if exchanges share nothing.
    pub fn caller(&self, head: Head<'_>, address: &[u8]) -> Option<u64> {
        Some(self.callers.as_ref()?.caller(head, || address.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::start;
    use crate::exchange::End;
    use crate::json::ObjectHash;

    /// The hashes of the arguments in an answer of a chat, which arrives in pieces of `size` bytes.
    fn arguments(answer: &str, size: usize) -> Vec<u64> {
        let config = r#"{"apis": [{"host": "internal", "api": "openai-chat"}]}"#;
        let mut exchange = start(config, "{}", answer).unwrap();
        answer.as_bytes().chunks(size).for_each(|piece| exchange.response_body(piece, 0));
        exchange.finish(End::Whole, 0);
        exchange.draft.answer_calls().map(|call| call.arguments).collect()
    }

    fn hash(text: &str) -> u64 {
        let mut hash = ObjectHash::default();
        hash.push(text.as_bytes());
        hash.finish()
    }

    #[test]
    fn the_arguments_of_a_chats_calls_are_known_whole_and_in_fragments() {
        let wanted = [hash(r#"{"a":1,"b":"x"}"#), hash("{}")];
        let call = |arguments: &str| format!(r#"{{"id":"c","function":{{"name":"f","arguments":{arguments:?}}}}}"#);
        let calls = [call(r#"{"b": "x", "a": 1}"#), call("{}").replace("\"c\"", "\"d\"")].join(",");
        let whole = format!(r#"{{"choices":[{{"message":{{"tool_calls":[{calls}]}},"finish_reason":"tool_calls"}}]}}"#);
        let event = |call: &str| format!("data: {{\"choices\":[{{\"delta\":{{\"tool_calls\":[{call}]}}}}]}}\n\n");
        let parts = [
            r#"{"index":0,"id":"c","function":{"name":"f","arguments":""}}"#,
            r#"{"index":0,"function":{"arguments":"{\"b\": \"x\","}}"#,
            r#"{"index":0,"function":{"arguments":" \"a\": 1}"}}"#,
            r#"{"index":1,"id":"d","function":{"name":"f","arguments":"{"}}"#,
            r#"{"index":1,"function":{"arguments":"}"}}"#,
        ];
        let stream: String = parts.into_iter().map(event).collect();
        for answer in [whole, stream] {
            for size in [1, 2, 3, 7, 40, answer.len()] {
                assert_eq!(arguments(&answer, size), wanted, "{answer} in pieces of {size}");
            }
        }
    }
}
