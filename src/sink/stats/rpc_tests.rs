use super::tests::Host;
use super::*;
use crate::observation::Server;
use crate::rpc::{Protocol, RpcOperation, RpcTransport, TaskState};

#[test]
fn a_server_and_a_tool_are_labels_once_a_call_there_has_succeeded() {
    let (config, mut stats, mut host) = (Config::parse("{}").unwrap(), Stats::default(), Host::default());
    let mut count =
        |server: &str, error| stats.record_rpc(&at(server), &tool_call("search", error), &config, &mut host);
    count("invented.example.com", Some("404"));
    count("Tools.Example.com", None);
    count("tools.example.COM", Some("tool_error"));
    count("invented.example.com", Some("404"));
    let has = |labels: &str| host.names.iter().filter(|name| name.contains(labels)).count();
    assert_eq!(has("gen_ai_tool_name=search,server_address=tools.example.com"), 2);
    assert_eq!((has("server_address=other"), has("invented")), (2, 0));
}

#[test]
fn a_tool_that_a_model_has_called_is_a_label_although_it_has_only_failed() {
    let (config, mut stats, mut host) = (Config::parse("{}").unwrap(), Stats::default(), Host::default());
    let joined = RpcOperation { join: "id", ..tool_call("search", Some("tool_error")) };
    stats.record_rpc(&at("tools.example.com"), &joined, &config, &mut host);
    assert!(
        host.names.iter().any(|name| name.contains("gen_ai_tool_name=search,server_address=other")),
        "{:?}",
        host.names
    );
}

#[test]
fn a_code_that_no_specification_has_keeps_its_name_while_there_is_room() {
    let (config, mut stats, mut host) = (Config::parse("{}").unwrap(), Stats::default(), Host::default());
    for error in [None, Some("-31999")] {
        stats.record_rpc(&at("tools.example.com"), &tool_call("search", error), &config, &mut host);
    }
    let has = |text: &str| host.names.iter().any(|name| name.contains(text));
    assert!(has("server_address=tools.example.com,error_type=-31999"), "{:?}", host.names);
    assert!(!has(OVERFLOW.name), "{:?}", host.names);
}

#[test]
fn names_of_servers_are_bounded() {
    let (config, mut stats, mut host) = (Config::parse("{}").unwrap(), Stats::default(), Host::default());
    for number in 0..2 * SERVERS {
        stats.record_rpc(&at(&format!("s{number}.example.com")), &tool_call("search", None), &config, &mut host);
    }
    assert!(stats.servers.len() <= SERVERS);
    assert!(host.names.iter().any(|name| name.starts_with(OVERFLOW.name) && name.contains("server_address")));
}

/// A request to this server, which began at 1,000.
pub fn at(server: &str) -> RpcTransport {
    RpcTransport { server: Server::of(server, "https"), start: 1000, ..RpcTransport::default() }
}

/// A call of a tool, which ended at 5,000.
pub fn tool_call(tool: &str, error: Option<&str>) -> RpcOperation {
    let error = error.map(Into::into);
    let (method, name) = ("tools/call".into(), Some(tool.into()));
    RpcOperation { method, name, error, end: Some(5000), ..RpcOperation::default() }
}

#[test]
fn tasks_sessions_and_operations_of_agents_have_samples_of_their_own() {
    let (config, mut stats, mut host) = (Config::parse("{}").unwrap(), Stats::default(), Host::default());
    let sent = RpcOperation {
        protocol: Protocol::A2a,
        method: "SendMessage".into(),
        state: Some(TaskState::Completed),
        task_nanos: Some(3_000_000),
        end: Some(2_001_000),
        ..RpcOperation::default()
    };
    stats.record_rpc(&at("agent"), &sent, &config, &mut host);
    stats.record_rpc(
        &at("agent"),
        &RpcOperation { method: "vendor/do".into(), task_nanos: None, ..sent },
        &config,
        &mut host,
    );
    let old = RpcTransport { version: Some("2025-06-18".into()), ..at("tools") };
    let unknown = RpcTransport { version: Some("1999-01-01".into()), ..at("tools") };
    stats.record_session(&old, 7_000_000, &config, &mut host);
    stats.record_session(&unknown, 7_000_000, &config, &mut host);
    let sums: Vec<_> = host.sums.iter().map(|(name, value)| format!("{name} {value}")).collect();
    let expected = [
        "gaugeway_a2a_operation_duration_microseconds,rpc_method=other,server_address=agent 2000",
        "gaugeway_a2a_operation_duration_microseconds,gen_ai_operation_name=invoke_agent,rpc_method=SendMessage,server_address=agent 2000",
        "gaugeway_task_duration_microseconds,gen_ai_operation_name=invoke_agent,task_state=completed,server_address=agent 3000",
        "mcp_client_session_duration_microseconds,mcp_protocol_version=2025-06-18,server_address=tools 7000",
        "mcp_client_session_duration_microseconds,mcp_protocol_version=other,server_address=tools 7000",
    ];
    assert_eq!(sums.len(), expected.len(), "{sums:#?}");
    for sum in expected {
        assert!(sums.contains(&sum.to_owned()), "{sum} is not in {sums:#?}");
    }
}
