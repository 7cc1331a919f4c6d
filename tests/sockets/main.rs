//! Real clients over WebSockets, through a real Envoy with the plugin, to a scripted provider: PyPI's websockets, npm's ws,
//! OpenAI's and Google's SDKs, and Codex. What the gateway reports of each response must be what the provider recorded, and
//! every byte must be the same before and behind the gateway.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unreachable,
    clippy::unwrap_used,
    reason = "tests read environment variables and the clock, and fail by panicking"
)]

mod codex;
mod many;
mod site;
mod tap;

#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::time::Duration;

use serde_json::json;
use site::{Site, Used, installed, python, scripts};
use support::otlp::Attribute;
use support::prometheus::{Sample, total};
use tokio::process::Command;

/// A client in Python, with the gateway's address and more arguments.
fn script(site: &Site, name: &str, more: &[&str]) -> Command {
    let mut command = Command::new(python());
    command.arg("-B").arg(scripts().join(name)).arg(site.client_side.addr.to_string()).args(more);
    command
}

/// Checks that the client and the gateway saw what the provider recorded, and that the gateway changed no byte. The provider
/// refused one response per socket if `refuses` is true.
async fn check(site: &Site, mut printed: Vec<(i64, i64)>, responses: usize, sockets: usize, refuses: bool) {
    printed.sort_unstable();
    let mut recorded: Vec<_> = site.recorded().iter().map(|used| (used.input, used.output)).collect();
    recorded.sort_unstable();
    assert_eq!((printed, recorded.len()), (recorded, responses));
    site.assert_same_bytes(sockets).await;
    site.assert_reported(if refuses { sockets } else { 0 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_of_plain_websockets_are_counted() {
    let site = Site::start(false).await;
    let printed = site.run(&mut script(&site, "raw_client.py", &["none"])).await;
    check(&site, printed, 5, 1, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_in_compressed_messages_are_counted_with_every_window_and_with_and_without_context() {
    let site = Site::start(true).await;
    let mut printed = Vec::new();
    for (bits, context) in [("9", "keeps"), ("10", "forgets"), ("12", "keeps"), ("15", "forgets"), ("15", "keeps")] {
        printed.extend(site.run(&mut script(&site, "raw_client.py", &[bits, context])).await);
    }
    let answers = site.client_side.answers();
    assert!(answers.iter().all(|answer| answer.contains("permessage-deflate")), "{answers:?}");
    check(&site, printed, 25, 5, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_megabytes_in_one_message_are_read() {
    for deflate in [false, true] {
        let site = Site::start(deflate).await;
        let printed = site.run(&mut script(&site, "long_client.py", &[])).await;
        check(&site, printed, 2, 1, false).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_response_whose_client_is_gone_is_reported_with_what_was_read() {
    for deflate in [false, true] {
        let site = Site::start(deflate).await;
        assert_eq!(site.output(&mut script(&site, "leaving_client.py", &[])).await, "deltas 20\n");
        let is_open = |samples: &[Sample]| total(samples, "gaugeway_requests_total", &[]) == 0.0;
        let samples = site.envoy.samples_when(|samples| !is_open(samples), Duration::from_secs(10)).await;
        let left = [("outcome", "client_disconnect")];
        assert_eq!(total(&samples, "gaugeway_requests_total", &left), 1.0);
        assert_eq!(total(&samples, "gaugeway_websocket_sessions", &[]), 0.0);
        let span = site.span(|span| span.name == "chat gpt-5.5").await;
        assert_eq!(span.text("gaugeway.outcome"), Some("client_disconnect"));
        let Some(Attribute::Int(characters)) = span.attributes.get("gaugeway.response.characters") else {
            panic!("the answer has no length: {span:?}")
        };
        // Three deltas are 22 characters.
        assert!(*characters >= 20 * 22 / 3, "{characters} characters");
        assert_eq!(span.attributes.get("gen_ai.usage.output_tokens"), None);
    }
}

/// One client gets a quarter of the memory for decoders: 8 MiB. A socket takes 30 KiB, because the provider agrees on windows of
/// 4 KiB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compressed_sockets_for_which_there_is_no_memory_pass_unread_and_are_counted() {
    const SOCKETS: usize = 320;
    let site = Site::start(true).await;
    for _ in 0..2 {
        let before = site.recorded().len();
        let printed = site.run(&mut script(&site, "crowd_client.py", &[&SOCKETS.to_string()])).await;
        assert_eq!((printed.len(), site.recorded().len() - before), (SOCKETS, SOCKETS));
    }
    site.assert_same_bytes(2 * SOCKETS).await;
    let read_or_not = |samples: &[Sample]| {
        let unread = total(samples, "gaugeway_unread_requests_total", &[("kind", "budget")]);
        (total(samples, "gaugeway_requests_total", &[]) as usize, unread as usize)
    };
    let complete = |samples: &[Sample]| read_or_not(samples).0 + read_or_not(samples).1 >= 2 * SOCKETS;
    let (read, unread) = read_or_not(&site.envoy.samples_when(complete, Duration::from_secs(10)).await);
    assert_eq!(read + unread, 2 * SOCKETS, "{read} and {unread}");
    // The memory of the first ones was released.
    assert!((2 * 260..=2 * 300).contains(&read), "{read}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_to_ws_are_counted() {
    let site = Site::start(true).await;
    let folder = installed();
    // A module's imports are found beside it.
    let client = folder.join("ws_client.mjs");
    fs::copy(scripts().join("ws_client.mjs"), &client).unwrap();
    let node = std::env::var("GAUGEWAY_NODE").expect("GAUGEWAY_NODE is not set: run ./build.sh test sockets");
    let printed = site.run(Command::new(node).arg(client).arg(site.client_side.addr.to_string())).await;
    let answers = site.client_side.answers();
    assert!(answers.iter().all(|answer| answer.contains("permessage-deflate")), "{answers:?}");
    check(&site, printed, 3, 1, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_speak_plain_frames_if_a_setting_asks_for_it() {
    let site = Site::with(true, json!({"websocket": {"plain_frames": true}})).await;
    for client in ["google_client.py", "openai_client.py"] {
        site.run(&mut script(&site, client, &[])).await;
    }
    let answers = site.client_side.answers();
    assert!(!answers.iter().any(|answer| answer.contains("permessage-deflate")), "{answers:?}");
    site.assert_same_bytes(3).await;
    site.assert_reported(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_and_realtime_sessions_of_openais_sdk_are_counted() {
    for deflate in [false, true] {
        let site = Site::start(deflate).await;
        let printed = site.run(&mut script(&site, "openai_client.py", &[])).await;
        check(&site, printed, 7, 2, false).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turns_of_gemini_live_are_counted_with_googles_sdk() {
    for deflate in [false, true] {
        let site = Site::start(deflate).await;
        let printed = site.run(&mut script(&site, "google_client.py", &[])).await;
        check(&site, printed, 4, 1, false).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_over_http_2_are_counted() {
    let site = Site::start(false).await;
    let printed = site.run(&mut script(&site, "h2_client.py", &[])).await;
    let recorded: Vec<_> = site.recorded().iter().map(|used| (used.input, used.output)).collect();
    assert_eq!((printed, recorded.len()), (recorded, 2));
    site.assert_reported(0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turns_and_runs_of_codex_are_those_that_it_reports() {
    for deflate in [false, true] {
        let site = Site::start(deflate).await;
        let report = codex::run(&site, "Use the tool.").await;
        let recorded = site.recorded();
        let turns: Vec<_> = recorded.iter().filter(|used| used.output > 0).collect();
        let sum = |part: fn(&Used) -> i64| turns.iter().map(|used| part(used)).sum::<i64>();
        assert_eq!(report.tokens, (sum(|used| used.input), sum(|used| used.cached), sum(|used| used.output)));
        site.assert_same_bytes(1).await;
        site.assert_reported(0).await;

        // The first response prepares the turns.
        let spans = site.spans();
        let texts = |key: &str| {
            let mut texts: Vec<_> = spans.iter().filter_map(|span| span.text(key)).collect();
            texts.sort_unstable();
            texts
        };
        assert_eq!(texts("gaugeway.request.kind"), ["main", "main", "prewarm"]);
        assert_eq!(texts("gen_ai.conversation.id"), [&*report.thread; 4]);
        assert_eq!(texts("gaugeway.agent.status"), ["completed"]);
        assert_eq!(texts("gen_ai.tool.name"), ["exec_command"]);
        let run = spans.iter().find(|span| span.name == "invoke_agent").unwrap();
        assert_eq!(run.attributes.get("gaugeway.agent.iterations"), Some(&Attribute::Int(2)));
    }
}
