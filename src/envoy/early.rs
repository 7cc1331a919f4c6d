//! Operations of MCP that ended before the answer of the model that calls their tools: agents execute a tool as soon as the model has asked for it,
//! while the answer still goes on. Their reports wait until the answer has ended.
//!
//! A worker keeps at most [`MOST`](super::resumable) of them. One address cannot take all of these places.

use std::cell::RefCell;

use super::host;
use super::resumable::{Report, has_room};
use super::shared::Shared;
use crate::rpc::RpcOperation;
use crate::signal::asked::{AskedBucket, AskedCall, Wanted};

/// How long an operation waits if models have asked for tools at its address, in nanoseconds.
const PATIENCE: u64 = 120_000_000_000;
/// How long it waits if none has: the first answer may be about to end.
const SHORT_PATIENCE: u64 = 2_000_000_000;

/// The operations of this worker that wait for the end of an answer.
#[derive(Default)]
pub struct EarlyCalls {
    waiting: RefCell<Vec<EarlyCall>>,
}

struct EarlyCall {
    /// Keyed hashes of the downstream address and of the caller.
    source: (u64, u64),
    due: u64,
    report: Report,
}

impl EarlyCalls {
    /// Waits for the answer that calls the tool of an operation. Without room it is reported at once.
    pub fn wait(&self, source: (u64, u64), report: Report, shared: &Shared) {
        let patience = if shared.asked.knows(source.0) { PATIENCE } else { SHORT_PATIENCE };
        match self.waiting.try_borrow_mut() {
            Ok(mut waiting) if has_room(waiting.iter().map(|one| one.source.0), source.0) => {
                waiting.push(EarlyCall { source, due: host::now().saturating_add(patience), report });
            }
            _ => report.make(shared),
        }
    }

    /// Reports the operations whose answers have ended, and those that have waited too long. Called once per second.
    pub fn report(&self, shared: &Shared) {
        let now = host::now();
        self.report_if(shared, |one| one.due <= now);
    }

    /// Reports all operations. The configuration of this plugin has been replaced.
    pub fn report_all(&self, shared: &Shared) {
        self.report_if(shared, |_| true);
    }

    fn report_if(&self, shared: &Shared, is_over: impl Fn(&EarlyCall) -> bool) {
        let Ok(mut waiting) = self.waiting.try_borrow_mut() else { return };
        // Many operations of one address may wait.
        let mut last: Option<(u64, Option<AskedBucket>)> = None;
        let ended = waiting.extract_if(.., |one| {
            let peer = one.source.0;
            let (_, bucket) = match last.take().filter(|(of, _)| *of == peer) {
                Some(known) => last.insert(known),
                None => last.insert((peer, shared.asked.of(peer))),
            };
            let is_over = is_over(one);
            one.join(shared, bucket.as_ref(), is_over) || is_over
        });
        ended.for_each(|one| one.report.make(shared));
    }
}

impl EarlyCall {
    /// Looks for the call of the model. Returns true if it is there. Its run has a place in a trace only once the whole answer has passed, so the
    /// operation waits for that too, unless its time is over. A run that is not recorded never has one: then it waits for the result.
    fn join(&mut self, shared: &Shared, bucket: Option<&AskedBucket>, is_over: bool) -> bool {
        let Report { operation, observer, .. } = &self.report;
        let RpcOperation { call, item, arguments, .. } = *operation;
        let Some(tool) = operation.tool() else { return true };
        let wait = observer.config.agent.abandoned_after.saturating_mul(1_000_000_000);
        let ((peer, caller), now) = (self.source, host::now());
        let wanted = Wanted { peer, caller, call, item, arguments, tool, now, wait, has_ended: true };
        let Some((how, calls)) = bucket.and_then(|bucket| bucket.find(&wanted)) else { return false };
        let has_run = |call: &AskedCall| shared.memory.find(call.key).is_some_and(|pending| pending.run.is_some());
        if !is_over && !calls.iter().all(|call| call.closed.is_some() || has_run(call)) {
            return false;
        }
        self.report.operation.join = how.as_str();
        self.report.asked = Some((how, calls));
        true
    }
}
