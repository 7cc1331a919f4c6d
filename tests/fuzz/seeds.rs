//! Writes the initial corpus of each fuzz target from the fixtures: `seeds FIXTURES CORPUS`.

use std::fs;
use std::path::Path;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [fixtures, corpus] = arguments.as_slice() else { panic!("seeds FIXTURES CORPUS") };
    let write = |target: &str, name: &str, bytes: &[u8]| {
        let folder = Path::new(corpus).join(target);
        fs::create_dir_all(&folder).expect("the corpus folder can be created");
        fs::write(folder.join(name), bytes).expect("the corpus file can be written");
    };
    for (at, conversation) in CONVERSATIONS.iter().enumerate() {
        write("session", &format!("conversation-{at}"), &[b"\x07", conversation.as_bytes()].concat());
    }
    for (at, bodies) in JSON_RPC.iter().enumerate() {
        write("json_rpc", &at.to_string(), bodies.as_bytes());
    }
    for api in folders(Path::new(fixtures)) {
        for case in folders(&api) {
            let name = case
                .strip_prefix(fixtures)
                .expect("the case is below the fixtures")
                .to_string_lossy()
                .replace(['/', '\\'], "-");
            let (request_line, request_head, request) = message(&case.join("request.http"));
            let (status, response_head, response) = message(&case.join("response.http"));
            let with_size = |body: &str| [b"\x40", body.as_bytes()].concat();
            for target in ["json", "validator", "request"] {
                write(target, &name, &with_size(&request));
            }
            let framed = response_head.iter().any(|line| line.contains("vnd.amazon.eventstream"));
            write(if framed { "event_stream" } else { "sse" }, &name, &with_size(&response));
            for (encoding, packed) in stored(response.as_bytes()) {
                write("encoding", &format!("{name}-{encoding}"), &[b"\x40", packed.as_slice()].concat());
            }
            // The messages of a client that are stored in frames, and those of a server that are compressed.
            write("websocket", &name, &[b"\x40\x09\x81", request.replace('\n', " ").as_bytes()].concat());
            write(
                "websocket",
                &format!("{name}-deflate"),
                &[b"\x07\x0a", deflated(response.as_bytes()).as_slice()].concat(),
            );
            // A request of its own, and the events of a stream.
            let events =
                response.lines().filter_map(|line| line.strip_prefix("data: ")).map(|event| format!("S{event}"));
            let create = request.replacen('{', "{\"type\":\"response.create\",", 1).replace('\n', " ");
            let lines: Vec<_> = vec![format!("C{create}")].into_iter().chain(events).collect();
            write("session", &name, &with_size(&lines.join("\n")));
            if request.starts_with("--") {
                write("multipart", &name, &with_size(&request));
            }
            let path = request_line.split(' ').nth(1).unwrap_or_default();
            let mut script: Vec<_> =
                request_head.iter().map(|line| format!("h{}", line.replacen("host:", ":authority:", 1))).collect();
            script.extend([format!(">{path}"), format!("q{request}"), "Q".to_owned()]);
            script.extend(response_head.iter().map(|line| format!("h{line}")));
            script.push(format!("<{status}"));
            script.extend(response.split_inclusive("\n\n").map(|event| format!("s{event}")));
            script.push("Svia_upstream".to_owned());
            write("exchange", &name, script.join("\n%").as_bytes());
        }
    }
}

/// Inputs of the target `json_rpc`: the size of the pieces, a request, the separator and a response.
const JSON_RPC: [&str; 6] = [
    "A{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\",\"params\":{\"name\":\"a\",\"arguments\":{},\"_meta\":{\"progressToken\":1}}}\n%\
     data: {\"method\":\"notifications/progress\",\"params\":{\"progressToken\":1}}\n\ndata: {\"id\":7,\"result\":{\"content\":[],\"isError\":true}}\n\n",
    "H[{\"id\":\"1\",\"method\":\"ping\"},{\"id\":2,\"method\":\"resources/read\",\"params\":{\"uri\":\"a\"}}]\n%[{\"id\":2,\"error\":{\"code\":-32002}},{\"id\":\"1\",\"result\":{}}]",
    "H{\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-11-25\"}}\n%{\"id\":0,\"result\":{\"protocolVersion\":\"2025-06-18\"}}",
    "B{\"method\":\"SendMessage\",\"params\":{\"message\":{\"taskId\":\"t\",\"contextId\":\"c\"}},\"id\":\"1\",\"jsonrpc\":\"2.0\"}\n%{\"result\":{\"task\":{\"id\":\"t\",\"contextId\":\"c\",\"status\":{\"state\":\"TASK_STATE_FAILED\"}}},\"id\":\"1\"}",
    "C{\"id\":1,\"method\":\"message/stream\",\"params\":{\"message\":{}}}\n%data: {\"id\":1,\"result\":{\"kind\":\"task\",\"id\":\"t\",\"status\":{\"state\":\"working\"}}}\n\n\
     data: {\"id\":1,\"result\":{\"statusUpdate\":{\"taskId\":\"t\",\"status\":{\"state\":\"input-required\"}}}}\n\n",
    "G{\"request\":{\"task_id\":\"t\"}}\n%data: {\"message\":{\"taskId\":\"t\",\"contextId\":\"c\"}}\n\ndata: {\"artifactUpdate\":{\"taskId\":\"t\"}}\n\n",
];

/// The first bytes of the body in each content encoding, as uncompressed blocks.
fn stored(body: &[u8]) -> [(&'static str, Vec<u8>); 4] {
    let body = &body[..body.len().min(1000)];
    let (size, complement) = ((body.len() as u16).to_le_bytes(), (!(body.len() as u16)).to_le_bytes());
    let block = [&[1], size.as_slice(), &complement, body].concat();
    let brotli = (body.len().max(1) as u32 - 1) << 4 | 1 << 20;
    let zstd = (body.len() as u32) << 3 | 1;
    [
        ("gzip", [b"\x1f\x8b\x08\0\0\0\0\0\0\x03", block.as_slice()].concat()),
        ("zlib", [b"\x78\x01", block.as_slice()].concat()),
        ("br", [&brotli.to_le_bytes()[..3], body, b"\x03"].concat()),
        (
            "zstd",
            [b"\x28\xb5\x2f\xfd\xa0", &(body.len() as u32).to_le_bytes()[..], &zstd.to_le_bytes()[..3], body].concat(),
        ),
    ]
}

/// A conversation of each API over a WebSocket.
const CONVERSATIONS: [&str; 3] = [
    r#"C{"type":"response.create","model":"gpt-5.1","generate":false,"input":[]}
S{"type":"response.completed","response":{"id":"r0","usage":{"input_tokens":9,"output_tokens":0}}}
C{"type":"response.create","stream_id":"a","model":"gpt-5.1","input":[{"role":"user","content":"list"}],"client_metadata":{"session_id":"s"}}
C{"model":"gpt-5-mini","input":"title","type":"response.create","stream_id":"b"}
S{"type":"response.created","stream_id":"a","response":{"id":"r1","model":"gpt-5.1"}}
S{"type":"response.output_text.delta","stream_id":"b","delta":"Hi"}
S{"type":"response.output_item.done","stream_id":"a","item":{"type":"function_call","call_id":"c1","name":"ls","arguments":"{}"}}
S{"type":"error","stream_id":"b","status":429,"error":{"code":"rate_limit_exceeded"}}
S{"type":"response.incomplete","stream_id":"a","response":{"id":"r1","incomplete_details":{"reason":"steered"},"usage":{"input_tokens":9,"output_tokens":3}}}"#,
    r#"S{"type":"session.created","session":{"id":"s","model":"gpt-realtime"}}
C{"type":"session.update","session":{"audio":{"input":{"transcription":{"model":"gpt-4o-transcribe"}}}}}
C{"type":"input_audio_buffer.append","audio":"AAAA"}
S{"type":"input_audio_buffer.speech_stopped"}
S{"type":"response.created","response":{"id":"r1"}}
S{"type":"conversation.item.input_audio_transcription.completed","item_id":"i","transcript":"x","usage":{"type":"tokens","input_tokens":9,"output_tokens":2}}
S{"type":"response.output_audio.delta","response_id":"r1","delta":"AAAA"}
S{"type":"response.done","response":{"id":"r1","status":"completed","usage":{"input_tokens":9,"input_token_details":{"audio_tokens":4,"cached_tokens":2},"output_tokens":3}}}
C{"type":"conversation.item.create","item":{"type":"function_call_output","call_id":"c1","output":"x"}}
C{"type":"response.create","event_id":"e","response":{}}
S{"type":"error","error":{"code":"x","event_id":"e"}}
S{"type":"rate_limits.updated","rate_limits":[{"name":"tokens","remaining":4}]}"#,
    r#"C{"setup":{"model":"models/gemini-3.8-live"}}
S{"setupComplete":{}}
C{"clientContent":{"turns":[{"role":"user","parts":[{"text":"x"}]}],"turnComplete":true}}
S{"toolCall":{"functionCalls":[{"id":"c1","name":"ls","args":{}}]},"usageMetadata":{"promptTokenCount":9,"responseTokenCount":2}}
C{"toolResponse":{"functionResponses":[{"id":"c1","name":"ls","response":{}}]}}
S{"serverContent":{"modelTurn":{"parts":[{"text":"x"}]}}}
C{"realtimeInput":{"audio":{"data":"AAAA"}}}
S{"serverContent":{"interrupted":true}}
S{"serverContent":{"turnComplete":true},"usageMetadata":{"promptTokenCount":9,"responseTokenCount":2,"responseTokensDetails":[{"modality":"AUDIO","tokenCount":2}]}}"#,
];

/// Frames, one per line, with the first bytes of the body as uncompressed blocks, and with the examples of RFC 7692.
fn deflated(body: &[u8]) -> Vec<u8> {
    let body: Vec<u8> = body.iter().copied().filter(|byte| *byte != b'\n').take(200).collect();
    let size = body.len() as u8;
    let stored = [&[0xc1, 0, size, 0, !size, 0xff], body.as_slice(), b"\0"].concat();
    [
        b"\xc1\xf2\x48\xcd\xc9\xc9\x07\0\n\x89ping\n\xc1\xf2\0\x11\0\0\n",
        stored.as_slice(),
        b"\n\x41\xf2\x48\xcd\n\x80\xc9\xc9\x07\0\n\xc1\xf3\x48\xcd\xc9\xc9\x07\0\0\n\x88\x03\xe8",
    ]
    .concat()
}

/// The folders in a folder.
fn folders(parent: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(parent).unwrap_or_else(|error| panic!("{}: {error}", parent.display()));
    entries.map(|entry| entry.expect("the folder can be read").path()).filter(|path| path.is_dir()).collect()
}

/// First line, other lines of the head, and body of a message.
fn message(file: &Path) -> (String, Vec<String>, String) {
    let text = String::from_utf8_lossy(&fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display())))
        .into_owned();
    let (head, body) = text.split_once("\n\n").unwrap_or((&text, ""));
    let mut lines = head.lines().map(str::to_owned);
    (lines.next().unwrap_or_default(), lines.collect(), body.to_owned())
}
