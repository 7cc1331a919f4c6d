//! An LLM provider on loopback that does what the request asks of each attempt, and records what it has served. It speaks
//! HTTP/1.1 on raw connections, so that it can break off at any byte.
//!
//! The request's header `x-acts` has one word per attempt, of which the last one also counts for all further attempts:
//!
//! | word | effect |
//! |---|---|
//! | `ok` | a chat completion, as a stream if the request asks for one; the default |
//! | `<status>` | an empty response with this status |
//! | `hang` | no answer |
//! | `reset` | resets the connection before the head of the response |
//! | `cut` | resets the connection after half of the response |
//! | `stall` | no more bytes after half of the response |
//! | `to=<path>` | a redirect to this path on the same host |
//!
//! `wait=<ms>,` before a word delays the effect.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Tokens of each answer: the prompt and the completion.
pub const TOKENS: (u64, u64) = (11, 7);

pub struct ActingUpstream {
    pub addr: SocketAddr,
    served: Arc<Mutex<Vec<Served>>>,
    task: JoinHandle<()>,
}

/// A request and what the upstream did.
#[derive(Clone, Debug)]
pub struct Served {
    pub request_id: String,
    pub host: String,
    pub path: String,
    pub body: Vec<u8>,
    /// The word of `x-acts` that it followed.
    pub act: String,
}

impl ActingUpstream {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("there is no free port on 127.0.0.1");
        let addr = listener.local_addr().unwrap();
        let served = Arc::default();
        let kept = Arc::clone(&served);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let kept = Arc::clone(&kept);
                connections.spawn(async move { drop(serve(stream, &kept).await) });
            }
        });
        Self { addr, served, task }
    }

    /// Everything served so far, in the order of the requests.
    pub fn served(&self) -> Vec<Served> {
        self.served.lock().unwrap().clone()
    }
}

impl Drop for ActingUpstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The answer to a request with this body, with its content type.
pub fn answer(body: &[u8]) -> (&'static str, String) {
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    let usage = json!({"prompt_tokens": TOKENS.0, "completion_tokens": TOKENS.1, "total_tokens": TOKENS.0 + TOKENS.1});
    let head = json!({"id": "chatcmpl-1", "created": 1, "model": asked["model"]});
    let document = |object: &str, choices: Value, usage: Option<Value>| {
        let mut document = head.clone();
        (document["object"], document["choices"]) = (object.into(), choices);
        if let Some(usage) = usage {
            document["usage"] = usage;
        }
        document.to_string()
    };
    if asked["stream"] != true {
        let choices =
            json!([{"index": 0, "message": {"role": "assistant", "content": "Yes, it is."}, "finish_reason": "stop"}]);
        return ("application/json", document("chat.completion", choices, Some(usage)));
    }
    let with_usage = asked["stream_options"]["include_usage"] == true;
    let mut events = String::new();
    for (content, reason) in [("Yes, ", Value::Null), ("it is.", Value::Null), ("", "stop".into())] {
        let choices = json!([{"index": 0, "delta": {"content": content}, "finish_reason": reason}]);
        let chunk = document("chat.completion.chunk", choices, with_usage.then_some(Value::Null));
        events += &format!("data: {chunk}\n\n");
    }
    if with_usage {
        events += &format!("data: {}\n\n", document("chat.completion.chunk", json!([]), Some(usage)));
    }
    ("text/event-stream", events + "data: [DONE]\n\n")
}

async fn serve(mut stream: TcpStream, served: &Mutex<Vec<Served>>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut read = Vec::new();
    loop {
        let Some((head, body)) = request(&mut stream, &mut read).await? else { return Ok(()) };
        let header = |name: &str| head.get(name).cloned().unwrap_or_default();
        let (request_id, host) = (header("x-request-id"), header("host"));
        let act = {
            let mut served = served.lock().unwrap();
            let is_earlier = |one: &&Served| one.request_id == request_id && one.host == host;
            let attempt = served.iter().filter(is_earlier).count();
            let acts = header("x-acts");
            let acts: Vec<_> = acts.split_whitespace().collect();
            let act = acts.get(attempt).or(acts.last()).map_or("ok", |act| act).to_owned();
            served.push(Served {
                request_id,
                host: host.clone(),
                path: header(":path"),
                body: body.clone(),
                act: act.clone(),
            });
            act
        };
        let delay = act.strip_prefix("wait=").and_then(|act| act.split_once(','));
        let (delay, act) = delay.map_or((0, act.as_str()), |(delay, act)| (delay.parse().unwrap_or(0), act));
        tokio::time::sleep(Duration::from_millis(delay)).await;
        let (kind, text) = answer(&body);
        let head = |status: &str, more: &str| format!("HTTP/1.1 {status} x\r\n{more}\r\n");
        let whole = head("200", &format!("content-type: {kind}\r\ncontent-length: {}\r\n", text.len())) + &text;
        match act {
            "ok" => stream.write_all(whole.as_bytes()).await?,
            "hang" => break,
            "reset" => return stream.set_zero_linger(),
            "cut" | "stall" => {
                stream.write_all(whole.get(..whole.len() - text.len() / 2).unwrap_or_default().as_bytes()).await?;
                if act == "stall" {
                    break;
                }
                // A reset discards what the receiver has not read.
                tokio::time::sleep(Duration::from_millis(100)).await;
                return stream.set_zero_linger();
            }
            _ => {
                let more = act.strip_prefix("to=").map(|path| format!("location: http://{host}{path}\r\n"));
                let status = if more.is_some() { "302" } else { act };
                let more = more.unwrap_or_default() + "content-length: 0\r\n";
                stream.write_all(head(status, &more).as_bytes()).await?;
            }
        }
    }
    // Keeps the connection open until the peer closes it.
    while stream.read(&mut [0; 1024]).await? > 0 {}
    Ok(())
}

/// Reads a request from the connection, and `:path` as one of its headers. None at the end of the connection.
async fn request(stream: &mut TcpStream, read: &mut Vec<u8>) -> io::Result<Option<(HashMap<String, String>, Vec<u8>)>> {
    let end = loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(read).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&read[..end]).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let lines = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    let mut headers: HashMap<_, _> = lines.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
    headers.insert(":path".to_owned(), path);
    let chunked = headers.contains_key("transfer-encoding");
    assert!(!chunked, "the acting upstream reads no chunks: {head}");
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    while read.len() < end + 4 + length {
        if stream.read_buf(read).await? == 0 {
            return Ok(None);
        }
    }
    let body = read[end + 4..end + 4 + length].to_vec();
    read.drain(..end + 4 + length);
    Ok(Some((headers, body)))
}
