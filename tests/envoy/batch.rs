//! Files with the results of a batch, in a real Envoy: whole, repeated, in ranges, on two workers and at the same time. The sums are
//! what the upstream served, once.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::support::agent::{Line, to_both_workers};
use crate::support::client;
use crate::support::envoy::{Envoy, Options};
use crate::support::otlp::{Attribute, Receiver};
use crate::support::prometheus::{Sample, total};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(20);
const RESPONSES: &str = "gaugeway.batch.responses";
/// Length of every line of a file, in bytes.
const LENGTH: usize = 4 << 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn downloads_on_two_workers_count_each_response_once_whole_repeated_and_in_ranges() {
    let upstream = Files::start().await;
    let spans = Receiver::start().await;
    let config = json!({"otlp": {"cluster": "otlp"}});
    let options = Options { concurrency: 2, config, otlp: Some(spans.addr), ..Options::to(upstream.addr) };
    let envoy = Envoy::start(&options).await;
    let mut lines = to_both_workers(&envoy).await;
    let whole = download(&envoy, &mut lines[0], 100, None).await;
    let told = [RESPONSES, "gaugeway.batch.failures", "gen_ai.usage.input_tokens", "gaugeway.cost.status"];
    assert_eq!(told.map(|key| &whole[key]), ["100", "10", "4410", "priced"], "{whole}");
    for line in &mut lines {
        for range in [None, Some((0, 50 * LENGTH)), Some((150_000, 100 * LENGTH))] {
            let again = download(&envoy, line, 100, range).await;
            assert_eq!(
                (&again[RESPONSES], &again["gen_ai.usage.input_tokens"]),
                (&"0".into(), &Value::Null),
                "{again}"
            );
        }
    }
    // The second file comes in ranges that overlap by a line, in any order and on any worker.
    for (number, part) in [2, 0, 1, 3].into_iter().enumerate() {
        let range = (part * 50 * LENGTH + 7, ((part + 1) * 50 * LENGTH + LENGTH).min(200 * LENGTH));
        let range = if part == 0 { (0, range.1) } else { range };
        download(&envoy, &mut lines[number % 2], 200, Some(range)).await;
    }
    // A client reads a part of the third file, and two read it at the same time.
    let id = client::request_id();
    let open = client::open(envoy.addr, request(400, None, &id), client::Http::One).await.unwrap();
    drop(open);
    envoy.entry(&id, PATIENCE).await.expect("no access log line for the request");
    let [one, two] = &mut lines;
    tokio::join!(download(&envoy, one, 400, None), download(&envoy, two, 400, None));
    download(&envoy, one, 400, None).await;

    let expected = truth(100).add(truth(200)).add(truth(400));
    let (samples, sums) = (envoy.samples_when(|samples| sums(samples) == expected, PATIENCE).await, expected);
    assert_eq!(self::sums(&samples), sums);
    let of = |model: &'static str| total(&samples, "gaugeway_input_tokens_total", &[("gen_ai_response_model", model)]);
    assert_eq!(of("gpt-4o-2024-08-06") + of("gpt-4o-mini-2024-07-18"), sums.input);
    assert!(of("gpt-4o-2024-08-06") > 0.0 && of("gpt-4o-mini-2024-07-18") > 0.0, "each model has totals of its own");
    assert_eq!(total(&samples, "gen_ai_client_operation_duration_microseconds_count", &[]), 0.0);

    let span = spans.wait_for(|span| span.attributes.get(RESPONSES) == Some(&Attribute::Int(100)), PATIENCE).await;
    let span = span.expect("no span of the first download");
    assert_eq!(span.attributes.get("gaugeway.batch.failures"), Some(&Attribute::Int(10)));
    assert_eq!(span.attributes.get("gen_ai.usage.output_tokens"), Some(&Attribute::Int(90)));
    assert!(!envoy.log().contains("[wasm]"), "{}", envoy.log());
}

/// `GAUGEWAY_BATCH_MIB` sets the size of the file. Its lines have 4 KiB.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_file_is_read_to_the_end_in_constant_memory_and_in_short_callbacks() {
    let mib: usize = std::env::var("GAUGEWAY_BATCH_MIB").map_or(128, |size| size.parse().unwrap());
    let count = mib << 20 >> 12;
    let upstream = Files::start().await;
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("envoy/envoy.yaml");
    let shipped = std::fs::read_to_string(path).unwrap();
    let text = Some(format!("enable_dispatcher_stats: true\n{shipped}"));
    let envoy = Envoy::start(&Options { text, ..Options::to(upstream.addr) }).await;
    let mut line = Line::open(envoy.addr).await.unwrap();
    let warm = 8 << 20 >> 12;
    download(&envoy, &mut line, warm, None).await;
    let before = envoy.resident();
    let (start, id) = (Instant::now(), client::request_id());
    let mut open = client::open(envoy.addr, request(count, None, &id), client::Http::One).await.unwrap();
    let (mut bytes, mut most) = (0, before);
    while let Some(frame) = http_body_util::BodyExt::frame(open.response.body_mut()).await {
        let length = frame.unwrap().data_ref().map_or(0, Bytes::len);
        if (bytes + length) >> 24 > bytes >> 24 {
            most = most.max(envoy.resident());
        }
        bytes += length;
    }
    let took = start.elapsed();
    assert_eq!(bytes, count * LENGTH);
    envoy.entry(&id, PATIENCE).await.expect("no access log line for the request");
    let expected = truth(warm).add(truth(count));
    let samples = envoy.samples_when(|samples| sums(samples) == expected, PATIENCE).await;
    assert_eq!(sums(&samples), expected);
    let longest = longest_loop(&envoy).await;
    let grown = most.max(envoy.resident()) - before;
    println!("{mib} MiB in {took:?}: {grown} bytes more resident memory, longest turn of the event loop {longest:?}");
    assert!(grown < 8 << 20, "the file grew the resident memory of {before} bytes by {grown} bytes");
    assert!(longest < Duration::from_millis(40), "{longest:?}");
}

/// The longest turn of the worker's event loop, which has at least one callback.
async fn longest_loop(envoy: &Envoy) -> Duration {
    let stats = envoy.admin("/stats?filter=worker_0.dispatcher.loop_duration_us").await;
    let (_, last) = stats.split_once("P100(").unwrap_or_else(|| panic!("no such histogram: {stats}"));
    let whole = last.split([',', ')']).nth(1).unwrap();
    Duration::from_micros(whole.parse::<f64>().unwrap() as u64)
}

/// The sums that the counters show, or should show.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Sums {
    completed: f64,
    failed: f64,
    input: f64,
    output: f64,
    nanousd: f64,
}

impl Sums {
    fn add(self, more: Sums) -> Sums {
        Sums {
            completed: self.completed + more.completed,
            failed: self.failed + more.failed,
            input: self.input + more.input,
            output: self.output + more.output,
            nanousd: self.nanousd + more.nanousd,
        }
    }
}

fn sums(samples: &[Sample]) -> Sums {
    let requests = |outcome| {
        total(samples, "gaugeway_requests_total", &[("gen_ai_operation_name", "fetch_batch"), ("outcome", outcome)])
    };
    let of = |name| total(samples, name, &[("gen_ai_operation_name", "fetch_batch")]);
    Sums {
        completed: requests("completed"),
        failed: requests("error"),
        input: of("gaugeway_input_tokens_total"),
        output: of("gaugeway_output_tokens_total"),
        nanousd: of("gaugeway_cost_nanousd_total"),
    }
}

/// The sums of a file with this number of lines. Batch prices, in nano-dollars: 1,250 and 75 for the input, 5,000 and 300 for the output.
fn truth(count: usize) -> Sums {
    let mut sums = Sums { completed: 0.0, failed: 0.0, input: 0.0, output: 0.0, nanousd: 0.0 };
    for number in 0..count {
        let input = (number % 100) as f64;
        match number % 10 {
            9 => sums.failed += 1.0,
            last => {
                let nanousd = if last % 2 == 0 { 1250.0 * input + 5000.0 } else { 75.0 * input + 300.0 };
                let one = Sums { completed: 1.0, failed: 0.0, input, output: 1.0, nanousd };
                sums = sums.add(one);
            }
        }
    }
    sums
}

/// A line of a file, of the length of all.
fn line(number: usize) -> Vec<u8> {
    let (model, input) = (["gpt-4o-2024-08-06", "gpt-4o-mini-2024-07-18"][number % 2], number % 100);
    let (response, error) = match number % 10 {
        9 => ("null".to_owned(), r#"{"code":"batch_expired","message":"m"}"#),
        _ => (
            format!(
                r#"{{"status_code":200,"body":{{"id":"c-{number}","model":"{model}","choices":[{{"message":{{"content":"@"}}}}],"usage":{{"prompt_tokens":{input},"completion_tokens":1}}}}}}"#
            ),
            "null",
        ),
    };
    let mut line = format!(r#"{{"id":"b-{number}@","custom_id":"{number}","response":{response},"error":{error}}}"#);
    let at = line.rfind('@').unwrap();
    let missing = LENGTH - line.len();
    line.replace_range(at..=at, &"a".repeat(missing));
    let mut line = line.into_bytes();
    line.resize(LENGTH - 1, b' ');
    line.push(b'\n');
    line
}

fn request(lines: usize, range: Option<(usize, usize)>, id: &str) -> Request<Full<Bytes>> {
    let mut request = Request::get(format!("/v1/files/file-{lines}/content"))
        .header("host", "api.openai.com")
        .header("x-request-id", id);
    if let Some((from, to)) = range {
        request = request.header("range", format!("bytes={from}-{}", to - 1));
    }
    request.body(Full::default()).unwrap()
}

/// Downloads the file with this number of lines, or a range of it, and returns the line of the access log.
async fn download(envoy: &Envoy, line: &mut Line, lines: usize, range: Option<(usize, usize)>) -> Value {
    let id = client::request_id();
    let (status, body) = line.send(request(lines, range, &id)).await;
    let (from, to) = range.unwrap_or((0, lines * LENGTH));
    assert_eq!((status, body.len()), (if range.is_some() { 206 } else { 200 }, to - from));
    envoy.entry(&id, PATIENCE).await.expect("no access log line for the request")
}

/// A server of files: `file-N` has N lines.
struct Files {
    addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Files {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move { drop(serve(stream).await) });
            }
        });
        Files { addr, task }
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream) -> std::io::Result<()> {
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
        let after = |mark: &str| head.split_once(mark).map(|(_, rest)| rest.split(['/', '\r']).next().unwrap());
        let size = after("/file-").unwrap().parse::<usize>().unwrap() * LENGTH;
        let range = after("range: bytes=").and_then(|range| range.split_once('-'));
        let range = range.map(|(from, last)| (from.parse::<usize>().unwrap(), last.parse::<usize>().unwrap() + 1));
        let (from, to) = range.unwrap_or((0, size));
        let mut answer = match range {
            Some(_) => format!("HTTP/1.1 206 Partial Content\r\ncontent-range: bytes {from}-{}/{size}\r\n", to - 1),
            None => "HTTP/1.1 200 OK\r\n".to_owned(),
        };
        answer += &format!("content-type: application/octet-stream\r\ncontent-length: {}\r\n\r\n", to - from);
        stream.write_all(answer.as_bytes()).await?;
        for number in from / LENGTH..to.div_ceil(LENGTH) {
            let (line, start) = (line(number), number * LENGTH);
            stream.write_all(&line[from.saturating_sub(start)..(to - start).min(LENGTH)]).await?;
        }
        stream.flush().await?;
        let _ = stream.read(&mut []).await?;
    }
}
