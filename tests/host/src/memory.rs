//! The memory of the VM with thousands of open streams: ordinary ones all fit, and a VM that its host lets grow no further never
//! traps.

use crate::host::Host;
use crate::host_calls::Headers;
use serde_json::json;
use wasmtime::StoreLimitsBuilder;

#[test]
fn ten_thousand_open_streams_of_one_client_are_read_in_128_mib() {
    let mut host = Host::new("{}").unwrap();
    let event =
        "data: {\"id\":\"c\",\"model\":\"gpt-4o\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hello\"}}]}\n\n"
            .repeat(20);
    let open: Vec<_> = (0..10_000).map(|_| stream(&mut host, event.as_bytes())).collect();
    println!("10,000 open streams: {} bytes", host.memory());
    assert!(host.memory() < 128 << 20, "the VM has {} bytes", host.memory());
    for id in open {
        end(&mut host, id);
    }
    assert_eq!((counted(&mut host, "gaugeway_requests_total"), counted(&mut host, UNREAD)), (10_000, 0));
}

#[test]
fn streams_beyond_the_budget_pass_unread_and_the_memory_is_used_again() {
    let mut host = Host::new(r#"{"limits": {"stream_memory_bytes": 16777216}}"#).unwrap();
    let event = large_event();
    let mut sizes = Vec::new();
    for _ in 0..3 {
        let open: Vec<_> = (0..2500).map(|_| stream(&mut host, event.as_bytes())).collect();
        open.into_iter().for_each(|id| end(&mut host, id));
        sizes.push(host.memory());
    }
    println!("three times 2,500 large streams: {sizes:?} bytes");
    assert!(sizes[0] < 24 << 20 && sizes[2] < sizes[0] + (2 << 20), "the VM has {sizes:?} bytes");
    let (read, unread) = (counted(&mut host, "gaugeway_requests_total"), counted(&mut host, UNREAD));
    assert!(read > 750 && unread > 5000 && read + unread == 7500, "{read} were read and {unread} were not");
}

#[test]
fn a_vm_that_cannot_grow_lets_streams_pass_unread_and_reads_again_when_others_end() {
    let mut host = Host::new(r#"{"limits": {"stream_memory_bytes": 536870912}}"#).unwrap();
    host.state().limits = StoreLimitsBuilder::new().memory_size(224 << 20).build();
    let event = large_event();
    for round in 1..=2 {
        let open: Vec<_> = (0..8_000).map(|_| stream(&mut host, event.as_bytes())).collect();
        open.into_iter().for_each(|id| end(&mut host, id));
        let (read, unread) = (counted(&mut host, "gaugeway_requests_total"), counted(&mut host, UNREAD));
        println!("round {round}: {read} read, {unread} unread, {} bytes", host.memory());
        assert!(host.memory() <= 224 << 20);
        assert!(read > round * 2000 && unread > round * 1000 && read + unread == round * 8000);
    }
}

const UNREAD: &str = "gaugeway_unread_requests_total";

/// An event with 128 choices, each of which calls a tool.
fn large_event() -> String {
    let name = |n: usize| format!("{n:0>64}");
    let call = |n: usize| json!([{"index": 0, "id": name(n), "function": {"name": name(n), "arguments": "{}"}}]);
    let choices: Vec<_> = (0..128)
        .map(|n| json!({"index": n, "delta": {"tool_calls": call(n)}, "finish_reason": "tool_calls"}))
        .collect();
    format!("data: {}\n\n", json!({"id": "c", "model": "gpt-4o", "choices": choices}))
}

/// Opens a stream whose response has begun.
fn stream(host: &mut Host, event: &[u8]) -> u32 {
    let headers = |pairs: &[(&str, &str)]| -> Headers {
        pairs.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
    };
    let request =
        json!({"model": "gpt-4o", "stream": true, "messages": [{"role": "user", "content": "hello ".repeat(50)}]});
    let id = host.open().unwrap();
    let head = headers(&[(":method", "POST"), (":path", "/v1/chat/completions"), (":authority", "api.openai.com")]);
    host.request_headers(id, head, false).unwrap();
    host.request_body(id, request.to_string().as_bytes(), true).unwrap();
    host.response_headers(id, headers(&[(":status", "200"), ("content-type", "text/event-stream")]), false).unwrap();
    host.response_body(id, event, false).unwrap();
    id
}

fn end(host: &mut Host, id: u32) {
    host.response_body(id, b"data: [DONE]\n\n", true).unwrap();
    host.log(id).unwrap();
    host.delete(id).unwrap();
}

/// The sum of a counter's series.
fn counted(host: &mut Host, name: &str) -> u64 {
    host.state().metrics.iter().filter(|metric| metric.name.starts_with(name)).map(|metric| metric.sum).sum()
}
