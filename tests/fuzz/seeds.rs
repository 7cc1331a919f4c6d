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
const JSON_RPC: [&str; 3] = [
    "A{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\",\"params\":{\"name\":\"a\",\"arguments\":{},\"_meta\":{\"progressToken\":1}}}\n%\
     data: {\"method\":\"notifications/progress\",\"params\":{\"progressToken\":1}}\n\ndata: {\"id\":7,\"result\":{\"content\":[],\"isError\":true}}\n\n",
    "B[{\"id\":\"1\",\"method\":\"ping\"},{\"id\":2,\"method\":\"resources/read\",\"params\":{\"uri\":\"a\"}}]\n%[{\"id\":2,\"error\":{\"code\":-32002}},{\"id\":\"1\",\"result\":{}}]",
    "B{\"id\":0,\"method\":\"initialize\",\"params\":{\"protocolVersion\":\"2025-11-25\"}}\n%{\"id\":0,\"result\":{\"protocolVersion\":\"2025-06-18\"}}",
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
