//! Batches and answers in the background, created, polled and downloaded by real SDKs through an Envoy with two workers. The sums are
//! what the upstream served, once.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::task::JoinHandle;

use super::PATIENCE;
use super::support::envoy::{Envoy, Options};
use super::support::prometheus::{Sample, total};

/// Number of lines of each file. Every tenth has failed.
const LINES: u64 = 40;
/// Number of times that each file is downloaded.
const TIMES: u64 = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_sdks_of_four_vendors_download_counts_once() {
    let upstream = Vendors::start().await;
    let envoy = Envoy::start(&Options { concurrency: 2, ..Options::to(upstream.addr) }).await;
    let installed =
        std::env::var("GAUGEWAY_CLIENTS").expect("GAUGEWAY_CLIENTS is not set: run ./build.sh test clients");
    let run = Command::new(Path::new(&installed).join("bin/python"))
        .arg("-B")
        .arg(super::clients().join("late/batches.py"))
        .args([format!("http://{}", envoy.addr), TIMES.to_string()])
        .env("PYTHONPATH", Path::new(&installed).join("late"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let out = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{out}\n{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(out, format!("openai {LINES}\nanthropic {LINES}\ngemini 2 {LINES}\nmistral {LINES}\n"));

    // (provider, operation, completed, failed, input, output)
    let numbers = || (0..LINES).filter(|number| number % 10 != 9);
    let (good, bad, input) = (numbers().count() as u64, LINES / 10, numbers().sum::<u64>());
    let wanted = [
        ("openai", "fetch_batch", good, bad, input, 2 * good),
        ("anthropic", "fetch_batch", good, bad, input, 2 * good),
        ("gcp.gemini", "fetch_batch", good + 1, bad + 1, input + 11, 2 * good + 7),
        ("mistral_ai", "fetch_batch", good, bad, input, 2 * good),
        ("openai", "fetch_response", 1 + TIMES, 0, 18, 7),
    ];
    let told = |samples: &[Sample]| {
        wanted.map(|(provider, operation, ..)| {
            let own = [("gen_ai_provider_name", provider), ("gen_ai_operation_name", operation)];
            let of = |name: &str, more: &[(&str, &str)]| total(samples, name, &[&own, more].concat()) as u64;
            let requests = |outcome| of("gaugeway_requests_total", &[("outcome", outcome)]);
            let (completed, failed) = (requests("completed"), requests("error"));
            let tokens = |kind: &str| of(&format!("gaugeway_{kind}_tokens_total"), &[]);
            (provider, operation, completed, failed, tokens("input"), tokens("output"))
        })
    };
    let samples = envoy.samples_when(|samples| told(samples) == wanted, PATIENCE).await;
    assert_eq!(told(&samples), wanted, "{:#?}", envoy.entries());
    let both = |samples: &[Sample]| {
        let served = samples.iter().filter(|sample| sample.name == "envoy_listener_worker_downstream_cx_total");
        served.filter(|sample| sample.value > 0.0).count() >= 2
    };
    assert!(both(&samples), "only one worker served the clients");
    assert_eq!(total(&samples, "gaugeway_usage_missing_total", &[]), 0.0);
    let deferred = envoy.entries().into_iter().filter(|entry| entry["gaugeway.cost.status"] == "deferred").count();
    assert_eq!(deferred, 1, "the request that created the response");
    assert!(envoy.entries().iter().any(|entry| entry["gaugeway.response.age"].is_string()), "no response has an age");
}

/// The scripted upstream of all vendors.
struct Vendors {
    addr: SocketAddr,
    task: JoinHandle<()>,
}

/// The number of polls of each path.
type Polls = Arc<Mutex<HashMap<String, u32>>>;

impl Vendors {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let polls = Polls::default();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let polls = Arc::clone(&polls);
                tokio::spawn(async move { drop(serve(stream, &polls).await) });
            }
        });
        Vendors { addr, task }
    }
}

impl Drop for Vendors {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, polls: &Polls) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut head, mut last) = (String::new(), String::new());
        while last != "\r\n" {
            last.clear();
            if stream.read_line(&mut last).await? == 0 {
                return Ok(());
            }
            head.push_str(&last);
        }
        let header = |name: &str| {
            let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")));
            line.map(|line| line[name.len() + 1..].trim().to_owned())
        };
        let length = header("content-length").map_or(0, |length| length.parse().unwrap());
        stream.read_exact(&mut vec![0; length]).await?;
        let target = head.split(' ').nth(1).unwrap().split('?').next().unwrap().to_owned();
        let call = format!("{} {target}", head.split(' ').next().unwrap());
        let polled = {
            let mut polls = polls.lock().unwrap();
            let count = polls.entry(call.clone()).or_default();
            *count += 1;
            *count > 1
        };
        let host = header("host").unwrap_or_default();
        let body = answer(&call, polled, &host);
        let is_file = ["/content", "/results", ":download"].iter().any(|end| call.ends_with(end));
        let kind = if is_file { "octet-stream" } else { "json" };
        let range = header("range").and_then(|range| {
            let (from, last) = range.strip_prefix("bytes=")?.split_once('-')?;
            Some(from.parse::<usize>().ok()?..(last.parse::<usize>().ok()? + 1).min(body.len()))
        });
        let answer = match range {
            Some(range) => {
                let told = format!("content-range: bytes {}-{}/{}\r\n", range.start, range.end - 1, body.len());
                head_of(206, kind, &told, range.len()) + &body[range]
            }
            None => head_of(200, kind, "", body.len()) + &body,
        };
        stream.write_all(answer.as_bytes()).await?;
        stream.flush().await?;
    }
}

fn head_of(status: u16, kind: &str, more: &str, length: usize) -> String {
    format!("HTTP/1.1 {status} X\r\n{more}content-type: application/{kind}\r\ncontent-length: {length}\r\n\r\n")
}

/// The answer to a call. `polled`: it is not the first call of its kind.
fn answer(call: &str, polled: bool, host: &str) -> String {
    let file = |id: &str| json!({"id": id, "object": "file", "bytes": 1, "created_at": 1, "filename": "in.jsonl", "purpose": "batch", "status": "processed", "sample_type": "batch_request", "source": "upload"});
    let batch = |status: &str, output: Value| {
        json!({"id": "batch_1", "object": "batch", "endpoint": "/v1/chat/completions", "input_file_id": "file-in", "completion_window": "24h", "status": status,
            "created_at": 1, "output_file_id": output, "usage": {"input_tokens": 9999, "output_tokens": 9999, "total_tokens": 19998}})
    };
    let response = |status: &str, usage: Value| {
        json!({"id": "resp_late1", "object": "response", "created_at": 1, "status": status, "background": true, "model": "gpt-4o-2024-08-06", "output": [],
            "parallel_tool_calls": true, "tool_choice": "auto", "tools": [], "usage": usage})
    };
    let messages = |status: &str, url: Value| {
        json!({"id": "msgbatch_1", "type": "message_batch", "processing_status": status, "created_at": "2026-11-29T10:00:00Z", "expires_at": "2026-11-30T10:00:00Z",
            "request_counts": {"processing": 0, "succeeded": 1, "errored": 0, "canceled": 0, "expired": 0}, "results_url": url})
    };
    let inlined = json!({"inlinedResponses": {"inlinedResponses": [{"response": generated(11, 7)}, {"error": {"code": 400, "message": "m"}}]}});
    let google = |state: &str, output: Value| json!({"name": "batches/late1", "metadata": {"model": "models/gemini-2.5-flash", "state": state, "output": output}});
    let job = |status: &str, output: Value| {
        json!({"id": "job-1", "object": "batch", "input_files": ["file-m"], "endpoint": "/v1/chat/completions", "errors": [], "status": status, "created_at": 1,
            "total_requests": 1, "completed_requests": 1, "succeeded_requests": 1, "failed_requests": 0, "output_file": output})
    };
    let usage = json!({"input_tokens": 18, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 7, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 25});
    let document = match call {
        "POST /openai/v1/files" => file("file-in"),
        "POST /openai/v1/batches" => batch("validating", Value::Null),
        "GET /openai/v1/batches/batch_1" if polled => batch("completed", json!("file-out")),
        "GET /openai/v1/batches/batch_1" => batch("in_progress", Value::Null),
        "POST /openai/v1/responses" => response("queued", Value::Null),
        "GET /openai/v1/responses/resp_late1" if polled => response("completed", usage),
        "GET /openai/v1/responses/resp_late1" => response("in_progress", Value::Null),
        "GET /openai/v1/files/file-in/content" => {
            return "{\"custom_id\":\"1\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\",\"body\":{\"model\":\"gpt-4o\"}}\n".repeat(9);
        }
        "GET /openai/v1/files/file-out/content" => return lines("gpt-4o-2024-08-06"),
        "POST /anthropic/v1/messages/batches" => messages("in_progress", Value::Null),
        "GET /anthropic/v1/messages/batches/msgbatch_1" if polled => {
            messages("ended", json!(format!("http://{host}/anthropic/v1/messages/batches/msgbatch_1/results")))
        }
        "GET /anthropic/v1/messages/batches/msgbatch_1" => messages("in_progress", Value::Null),
        "GET /anthropic/v1/messages/batches/msgbatch_1/results" => return results(),
        "POST /gemini/v1/models/gemini-2.5-flash:batchGenerateContent" => google("BATCH_STATE_PENDING", Value::Null),
        "GET /gemini/v1/batches/late1" if polled => google("BATCH_STATE_SUCCEEDED", inlined),
        "GET /gemini/v1/batches/late1" => google("BATCH_STATE_RUNNING", Value::Null),
        "GET /gemini/v1/files/late-out:download" => return keyed(),
        "POST /mistral/v1/files" => file("0b7c4f2e-0000-4000-8000-000000000001"),
        "POST /mistral/v1/batch/jobs" => job("QUEUED", Value::Null),
        "GET /mistral/v1/batch/jobs/job-1" if polled => job("SUCCESS", json!("file-mout")),
        "GET /mistral/v1/batch/jobs/job-1" => job("RUNNING", Value::Null),
        "GET /mistral/v1/files/file-mout/content" => return lines("mistral-small-latest"),
        other => panic!("the upstream does not know {other}"),
    };
    document.to_string()
}

/// A file of OpenAI or Mistral.
fn lines(model: &str) -> String {
    let line = |number: u64| {
        let body = json!({"id": format!("c-{number}"), "object": "chat.completion", "model": model,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Calm. ".repeat(50)}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": number, "completion_tokens": 2, "total_tokens": number + 2}});
        match number % 10 {
            9 => {
                json!({"custom_id": number.to_string(), "response": null, "error": {"code": "batch_expired", "message": "m"}})
            }
            _ => {
                json!({"custom_id": number.to_string(), "response": {"status_code": 200, "body": body}, "error": null})
            }
        }
    };
    (0..LINES).map(|number| format!("{}\n", line(number))).collect()
}

/// A file of Anthropic.
fn results() -> String {
    let line = |number: u64| {
        let message = json!({"id": format!("msg_{number}"), "type": "message", "role": "assistant", "model": "claude-haiku-4-5-20251001",
            "content": [{"type": "text", "text": "Calm."}], "stop_reason": "end_turn", "stop_sequence": null,
            "usage": {"input_tokens": number, "output_tokens": 2, "service_tier": "batch"}});
        match number % 10 {
            9 => json!({"custom_id": number.to_string(), "result": {"type": "expired"}}),
            _ => json!({"custom_id": number.to_string(), "result": {"type": "succeeded", "message": message}}),
        }
    };
    (0..LINES).map(|number| format!("{}\n", line(number))).collect()
}

/// A file of Gemini.
fn keyed() -> String {
    let line = |number: u64| match number % 10 {
        9 => json!({"key": number.to_string(), "error": {"code": 500, "message": "m"}}),
        _ => json!({"key": number.to_string(), "response": generated(number, 2)}),
    };
    (0..LINES).map(|number| format!("{}\n", line(number))).collect()
}

fn generated(input: u64, output: u64) -> Value {
    json!({"candidates": [{"content": {"parts": [{"text": "Calm."}], "role": "model"}, "finishReason": "STOP", "index": 0}], "modelVersion": "gemini-2.5-flash",
        "usageMetadata": {"promptTokenCount": input, "candidatesTokenCount": output, "totalTokenCount": input + output}})
}
