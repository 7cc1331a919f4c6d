//! The protocols that are read, and their methods.

/// A protocol of tools or agents.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Protocol {
    /// The Model Context Protocol: an agent and its tools.
    #[default]
    Mcp,
    /// Agent2Agent: an agent and other agents.
    A2a,
}

/// The requests of MCP, in every version of it.
const MCP: &[&str] = &[
    "completion/complete",
    "initialize",
    "logging/setLevel",
    "ping",
    "prompts/get",
    "prompts/list",
    "resources/list",
    "resources/read",
    "resources/subscribe",
    "resources/templates/list",
    "resources/unsubscribe",
    "server/discover",
    "subscriptions/listen",
    "tasks/cancel",
    "tasks/get",
    "tasks/list",
    "tasks/result",
    "tasks/update",
    "tools/call",
    "tools/list",
];

/// The requests of A2A: the name in version 1.0, and the method of JSON-RPC in version 0.3. Empty if that version has no such method.
const A2A: &[(&str, &str)] = &[
    (SEND, "message/send"),
    (STREAM, "message/stream"),
    ("GetTask", "tasks/get"),
    ("ListTasks", ""),
    ("CancelTask", "tasks/cancel"),
    (SUBSCRIBE, "tasks/resubscribe"),
    ("CreateTaskPushNotificationConfig", "tasks/pushNotificationConfig/set"),
    ("GetTaskPushNotificationConfig", "tasks/pushNotificationConfig/get"),
    ("ListTaskPushNotificationConfigs", "tasks/pushNotificationConfig/list"),
    ("DeleteTaskPushNotificationConfig", "tasks/pushNotificationConfig/delete"),
    ("GetExtendedAgentCard", "agent/getAuthenticatedExtendedCard"),
];

/// Sends a message. The answer is a task or a message.
const SEND: &str = "SendMessage";
/// Sends a message. The answer is a stream.
const STREAM: &str = "SendStreamingMessage";
/// Follows a task. The answer is a stream.
const SUBSCRIBE: &str = "SubscribeToTask";

/// The method of MCP if it is one of the specification. Returns None for any other.
pub fn mcp_method(method: &str) -> Option<&'static str> {
    MCP.iter().find(|known| **known == method).copied()
}

/// The name of a method of A2A in version 1.0, and true if `method` is its name in version 0.3. Returns None if the specification does not have it.
pub fn a2a_method(method: &str) -> Option<(&'static str, bool)> {
    let row = A2A.iter().find(|(name, old)| *name == method || !old.is_empty() && *old == method)?;
    Some((row.0, row.0 != method))
}

/// The name in version 0.3 of a method of A2A with this name in version 1.0.
pub(super) fn old_a2a_method(method: &str) -> Option<&'static str> {
    A2A.iter().find(|(name, old)| *name == method && !old.is_empty()).map(|(_, old)| *old)
}

/// Returns true if a method of A2A, by its name in version 1.0, sends a message to an agent.
pub(super) fn sends(method: &str) -> bool {
    matches!(method, SEND | STREAM)
}

/// Returns true if the answer of a method of A2A, by its name in version 1.0, is a stream that follows a task.
pub(super) fn follows(method: &str) -> bool {
    matches!(method, STREAM | SUBSCRIBE)
}

/// The part of a path before that of a request of A2A's binding to HTTP and JSON: the address of the agent.
pub fn rest_base(path: &str) -> &str {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let ends = ["/message:", "/tasks", "/extendedAgentCard", "/card"].iter().filter_map(|part| path.find(part));
    path.get(..ends.min().unwrap_or(path.len())).unwrap_or_default()
}

/// A request of A2A's binding to HTTP and JSON.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct RestCall<'p> {
    /// The name in version 1.0 of JSON-RPC's method.
    pub method: &'static str,
    /// The task that the path names. Empty if it names none.
    pub task: &'p str,
    /// False if other services may have such a path.
    pub is_sure: bool,
}

impl<'p> RestCall<'p> {
    /// The request with this method and path. Returns None if the specification has no such path. Paths may begin in any way: with `/v1`, as
    /// in version 0.3, with the name of a tenant, or with the path of the agent.
    pub fn of(method: &[u8], path: &'p str) -> Option<Self> {
        let path = path.split(['?', '#']).next()?;
        let mut parts = path.rsplit('/');
        let [last, before, third] = [parts.next()?, parts.next()?, parts.next().unwrap_or_default()];
        let call = |method, task, is_sure| Some(RestCall { method, task, is_sure });
        match (method, last) {
            (b"POST", "message:send") => return call(SEND, "", true),
            (b"POST", "message:stream") => return call(STREAM, "", true),
            (b"GET", "tasks") => return call("ListTasks", "", false),
            (b"GET", "extendedAgentCard") => return call("GetExtendedAgentCard", "", true),
            (b"GET", "card") if before == "v1" => return call("GetExtendedAgentCard", "", false),
            _ => {}
        }
        if before == "tasks" {
            let (task, verb) = last.rsplit_once(':').unwrap_or((last, ""));
            let name = match (method, verb) {
                (b"GET", "") => "GetTask",
                (b"POST", "cancel") => "CancelTask",
                (b"GET" | b"POST", "subscribe") => SUBSCRIBE,
                _ => return None,
            };
            return call(name, task, false).filter(|call| !call.task.is_empty());
        }
        let configs = "pushNotificationConfigs";
        match (method, last == configs, before == configs) {
            (b"POST", true, _) => call("CreateTaskPushNotificationConfig", before, false),
            (b"GET", true, _) => call("ListTaskPushNotificationConfigs", before, false),
            (b"GET", _, true) => call("GetTaskPushNotificationConfig", third, false),
            (b"DELETE", _, true) => call("DeleteTaskPushNotificationConfig", third, false),
            _ => None,
        }
    }
}
