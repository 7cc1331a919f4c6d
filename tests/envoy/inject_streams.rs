//! `stream_usage.inject` in a real Envoy decides for each stream on its own: by the size of the body, a signature, the pace of the
//! client and the form of the answer. Whatever is decided, the client's bytes are exact.

use std::io::Write;
use std::time::Duration;

use crate::support::client::{self, Http, Made, Raw};
use crate::support::envoy::{self, Envoy, Options};
use crate::support::fixtures::Fixture;
use crate::support::prometheus::total;
use crate::support::upstream::Upstream;
use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::Frame;
use hyper::header::HeaderValue;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);
/// A response to a request for usage.
const ANSWER: &str = concat!(
    "data: {\"id\":\"1\",\"model\":\"gpt-4o\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"},\"finish_reason\":null}],\"usage\":null}\n\n",
    "data: {\"id\":\"1\",\"model\":\"gpt-4o\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":null}\n\n",
    "data: {\"id\":\"1\",\"model\":\"gpt-4o\",\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1,\"total_tokens\":4}}\n\n",
    "data: [DONE]\n\n",
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_up_to_the_limit_are_changed_and_larger_ones_pass_in_a_buffer_of_32_kib() {
    let site = Site::start(vec![stream(ANSWER)], |options| {
        let line = "    traffic_direction: OUTBOUND";
        let limit = format!("    per_connection_buffer_limit_bytes: 32768\n{line}");
        options.replace.push((line.to_owned(), limit));
    })
    .await;
    for http in [Http::One, Http::Two] {
        for size in [200_000, 40_000, 1_500_000, 16_385, 16_384, 16_000, 100] {
            let (reply, received) = site.call(&request(size), &[], http).await;
            let is_changed = size <= 16_384;
            assert_eq!(reply.status, 200, "{http:?}, {size} bytes");
            assert_eq!(asks_for_usage(&received), is_changed, "{http:?}, {size} bytes");
            assert_eq!(received.len(), size + if is_changed { ADDED.len() } else { 0 }, "{http:?}");
            assert_eq!(
                text(&reply.body),
                if is_changed { unasked(ANSWER) } else { ANSWER.to_owned() },
                "{http:?}, {size}"
            );
        }
    }
    site.assert_counted(&[("injected", 6.0), ("too_large", 8.0)]).await;
    assert!(!site.envoy.log().contains("[wasm]"), "{}", site.envoy.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_on_a_new_worker_neither_lose_the_usage_nor_cost_it_others() {
    let site = Site::start(vec![stream(ANSWER)], |_| {}).await;
    let slow: Vec<_> = (0..6).map(|_| client::request_id()).collect();
    let body = request(500);
    let mut held = Vec::new();
    for id in &slow {
        let whole = client::raw_request(&fixture_with(&body), &[("x-request-id", id.as_bytes())]);
        let (head, tail) = whole.split_at(whole.len() - body.len());
        held.push((Raw::send(site.envoy.addr, head).await.unwrap(), tail.to_vec()));
    }
    // A client that gives up shows nothing either.
    let head = client::raw_request(&fixture_with(&body), &[]);
    Raw::send(site.envoy.addr, &head[..head.len() - body.len()]).await.unwrap().reset().unwrap();
    // Longer than any time after which a request could be released.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    for (raw, tail) in &mut held[..4] {
        raw.write(tail).await.unwrap();
        assert!(raw.read_until(b"[DONE]").await.unwrap());
    }
    let (reply, received) = site.call(&body, &[], Http::One).await;
    assert!(asks_for_usage(&received), "an honest client lost the usage");
    assert_eq!(text(&reply.body), unasked(ANSWER));
    for (raw, tail) in &mut held[4..] {
        raw.write(tail).await.unwrap();
        assert!(raw.read_until(b"[DONE]").await.unwrap());
    }
    for (id, (raw, _)) in slow.iter().zip(&held) {
        let received = site.upstream.take_request(id, PATIENCE).await.expect("the request did not reach the upstream");
        assert!(asks_for_usage(&received.body), "a slow client lost the usage");
        assert!(!text(&raw.read).contains("usage"), "{}", text(&raw.read));
    }
    // Nor do late bodies in a row.
    for _ in 0..4 {
        let whole = client::raw_request(&fixture_with(&body), &[]);
        let (head, tail) = whole.split_at(whole.len() - body.len());
        let mut raw = Raw::send(site.envoy.addr, head).await.unwrap();
        tokio::time::sleep(Duration::from_millis(600)).await;
        raw.write(tail).await.unwrap();
        assert!(raw.read_until(b"[DONE]").await.unwrap());
    }
    let (_, received) = site.call(&body, &[], Http::One).await;
    assert!(asks_for_usage(&received), "an honest client lost the usage");
    site.assert_counted(&[("injected", 12.0)]).await;
    assert!(!site.envoy.log().contains("[wasm]"), "{}", site.envoy.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signed_body_and_one_of_unknown_length_are_not_changed() {
    let site = Site::start(vec![stream(ANSWER)], |_| {}).await;
    let body = request(300);
    let signed = [
        ("x-amz-content-sha256", "e3b0c44298fc1c149afbf4c8996fb924"),
        ("authorization", "AWS4-HMAC-SHA256 Credential=a/20261129/r/s/aws4_request, SignedHeaders=host, Signature=ab"),
        ("digest", "sha-256=x"),
        ("content-digest", "sha-256=:x:"),
        ("repr-digest", "sha-256=:x:"),
        ("content-md5", "x"),
        ("signature-input", "sig1=(\"content-digest\");keyid=\"k\""),
        ("signature", "sig1=:x:"),
    ];
    for http in [Http::One, Http::Two] {
        for header in signed {
            let (reply, received) = site.call(&body, &[header, ("accept-encoding", "gzip")], http).await;
            assert_eq!((&received, text(&reply.body).as_str()), (&body, ANSWER), "{http:?}, {header:?}");
        }
        // Trailers end the body after it was held; without content-length it is not held.
        let trailers = HeaderMap::from_iter([("x-end".parse().unwrap(), HeaderValue::from_static("1"))]);
        for length in [true, false] {
            let id = client::request_id();
            let (mut head, _) = client::request(&fixture_with(&body), &[("x-request-id", &id)]).into_parts();
            if length && http == Http::Two {
                head.headers.insert("content-length", body.len().into());
            }
            let frames = [Frame::data(body.clone()), Frame::trailers(trailers.clone())].into_iter();
            let request = hyper::Request::from_parts(head, Made(frames));
            let reply = client::send(site.envoy.addr, request, http).await.unwrap();
            assert_eq!(text(&reply.body), ANSWER, "{http:?}");
            let received =
                site.upstream.take_request(&id, PATIENCE).await.expect("the request did not reach the upstream");
            assert_eq!(received.body, body, "{http:?}");
        }
    }
    site.assert_counted(&[("signed", 16.0), ("no_length", 3.0), ("trailers", 1.0)]).await;
    assert!(!site.envoy.log().contains("[wasm]"), "{}", site.envoy.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_is_exact_however_it_ends() {
    let without = |end: &str| ANSWER.strip_suffix(end).unwrap().to_owned();
    let last = "data: {\"id\":\"1\",\"model\":\"gpt-4o\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"!\"},\"finish_reason\":null}],\"usage\":null}";
    let open = format!("{}{last}", ANSWER.split_inclusive("\n\n").next().unwrap());
    let answers = [
        ANSWER.to_owned(),
        without("\n\n"),
        without("\n"),
        without("data: [DONE]\n\n"),
        without("\n\ndata: [DONE]\n\n"),
        // The last event has no line end, or is not whole.
        open.clone(),
        open[..open.len() - 40].to_owned(),
        format!("{}data: {{\"error\":{{\"message\":\"late\"}}}}", without("data: [DONE]\n\n")),
    ];
    let numbered = |(number, answer): (usize, &String)| Fixture { id: format!("made/{number}"), ..stream(answer) };
    let fixtures: Vec<_> = answers.iter().enumerate().map(numbered).collect();
    let site = Site::start(fixtures.clone(), |options| options.http2_upstream = true).await;
    for (fixture, answer) in fixtures.iter().zip(&answers) {
        for end in ["", " trailers", " reset-after=100000"] {
            for cut in ["whole", "cut=1", "cut=7", "cut=64"] {
                let words = format!("{cut}{end}");
                let id = client::request_id();
                let headers = [("x-request-id", id.as_str()), ("x-upstream", &words)];
                let reply = client::send(site.envoy.addr, client::request(fixture, &headers), Http::Two).await.unwrap();
                let (wanted, passed) = (unasked(answer), text(&reply.body));
                assert_eq!(reply.broken.is_some(), end.starts_with(" reset"), "{words}: {:?}", reply.broken);
                assert_eq!(reply.trailers.is_some(), end == " trailers", "{words}");
                assert_eq!(passed, wanted, "{}, {words}", fixture.id);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_encoded_in_spite_of_identity_has_no_usage_either() {
    let encoded = |encoding: &str, body: Vec<u8>| {
        let mut fixture = stream(ANSWER);
        fixture.id = format!("made/{encoding}");
        fixture.response.headers.push(("content-encoding".to_owned(), encoding.to_owned()));
        fixture.response.headers.push(("content-digest".to_owned(), "sha-256=:x:".to_owned()));
        fixture.response.body = body.into();
        fixture.response.events = vec![fixture.response.body.clone()];
        fixture
    };
    let gzip = {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(ANSWER.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let deflate = {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(ANSWER.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    // A block that is stored, and one of a type that does not exist (RFC 1951, section 3.2.3).
    let malformed = [&gzip[..10], b"\0\x0b\0\xf4\xffdata: [\"x\"]\x07\0\0"].concat();
    let mut malformed = encoded("gzip", malformed);
    malformed.id = "made/malformed".to_owned();
    let unreadable = b"\xa1\x98not brotli".to_vec();
    let fixtures =
        vec![encoded("gzip", gzip), encoded("deflate", deflate), encoded("br", unreadable.clone()), malformed];
    let site = Site::start(fixtures.clone(), |_| {}).await;
    for http in [Http::One, Http::Two] {
        for cut in ["whole", "cut=1", "cut=50"] {
            for fixture in &fixtures {
                let headers = [("x-upstream", cut), ("accept-encoding", "gzip, br")];
                let request = client::request(fixture, &headers);
                let reply = client::send(site.envoy.addr, request, http).await.unwrap();
                let (encoding, what) =
                    (reply.headers.get("content-encoding"), format!("{}, {http:?}, {cut}", fixture.id));
                match fixture.id.as_str() {
                    "made/br" => {
                        assert_eq!((encoding.unwrap().as_bytes(), &reply.body[..]), (&b"br"[..], &unreadable[..]))
                    }
                    "made/malformed" => assert!(reply.broken.is_some() && encoding.is_none(), "{what}"),
                    _ => {
                        assert_eq!((reply.broken, encoding), (None, None), "{what}");
                        assert_eq!(text(&reply.body), unasked(ANSWER), "{what}");
                        assert_eq!(reply.headers.get("content-digest"), None, "{what}");
                    }
                }
            }
        }
    }
    site.assert_counted(&[("injected", 12.0), ("answer_encoded", 12.0)]).await;
    let faults = site.envoy.samples().await.into_iter().filter(|sample| sample.name.contains("vm_reload"));
    assert!(faults.into_iter().all(|sample| sample.value == 0.0));
    assert!(!site.envoy.log().contains("[wasm]"), "{}", site.envoy.log());
}

struct Site {
    upstream: Upstream,
    envoy: Envoy,
}

impl Site {
    async fn start(fixtures: Vec<Fixture>, change: impl FnOnce(&mut Options)) -> Self {
        let upstream = Upstream::start(fixtures).await;
        let config = json!({"stream_usage": {"inject": true}});
        let mut options = Options { config, ..Options::to(upstream.addr) };
        options.replace.push(envoy::holding_requests());
        change(&mut options);
        Self { envoy: Envoy::start(&options).await, upstream }
    }

    /// Sends a request with this body. Returns the reply, and the body that the upstream received.
    async fn call(&self, body: &Bytes, headers: &[(&str, &str)], http: Http) -> (client::Reply, Bytes) {
        let id = client::request_id();
        let length = body.len().to_string();
        let own = [("x-request-id", id.as_str()), ("content-length", &length)];
        let headers: Vec<_> = own.iter().chain(headers).copied().collect();
        let request = client::request(&fixture_with(body), &headers);
        let reply = client::send(self.envoy.addr, request, http).await.unwrap();
        assert_eq!((reply.status, &reply.broken), (200, &None), "{http:?}, {} bytes, {headers:?}", body.len());
        let received = self.upstream.take_request(&id, PATIENCE).await.expect("the request did not reach the upstream");
        (reply, received.body)
    }

    async fn assert_counted(&self, wanted: &[(&str, f64)]) {
        let all: f64 = wanted.iter().map(|(_, count)| count).sum();
        let name = "gaugeway_usage_injections_total";
        let samples = self.envoy.samples_when(|samples| total(samples, name, &[]) >= all, PATIENCE).await;
        for (result, count) in wanted {
            assert_eq!(total(&samples, name, &[("result", result)]), *count, "{result}");
        }
        assert_eq!(total(&samples, name, &[]), all);
    }
}

const ADDED: &str = "\"stream_options\":{\"include_usage\":true},";

/// A body of `size` bytes that asks for a stream and not for usage.
fn request(size: usize) -> Bytes {
    let body = |pad: usize| {
        format!("{{\"model\":\"gpt-4o\",\"stream\":true,\"messages\":[],\"user\":\"{}\"}}", "u".repeat(pad))
    };
    body(size - body(0).len()).into()
}

fn asks_for_usage(body: &[u8]) -> bool {
    let body: Value = serde_json::from_slice(body).expect("the request's body is not a whole JSON document");
    body["stream_options"]["include_usage"] == true
}

/// The fixture `made/stream` with this request.
fn fixture_with(body: &Bytes) -> Fixture {
    let mut fixture = stream(ANSWER);
    fixture.request.body = body.clone();
    fixture
}

/// An exchange whose client does not ask for usage, and whose answer has these events.
fn stream(answer: &str) -> Fixture {
    let mut fixture = Fixture::load("openai-chat/stream-include-usage");
    fixture.id = "made/stream".to_owned();
    fixture.request.body = request(200);
    fixture.response.body = Bytes::from(answer.to_owned());
    fixture.response.events = vec![fixture.response.body.clone()];
    fixture
}

/// The answer without what the request for usage added.
fn unasked(answer: &str) -> String {
    let events = answer.split_inclusive("\n\n").filter(|event| !event.contains(r#""choices":[],"usage":{"#));
    events.collect::<String>().replace(r#","usage":null"#, "")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
