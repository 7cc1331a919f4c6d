//! Files with the results of a batch in the core: each line counts once, in whatever ranges and pieces the file comes.

use std::rc::Rc;

use gaugeway::config::Config;
use gaugeway::exchange::{End, Exchange, Head, Observer};
use gaugeway::signal::late::LateBucket;
use gaugeway::text::hash::Key;
use serde_json::json;

/// A gateway that has one bucket, and what it has counted.
struct Gateway {
    observer: Rc<Observer>,
    bucket: LateBucket,
    responses: u64,
    input: u64,
    nanousd: u64,
}

impl Gateway {
    fn new() -> Self {
        let observer = Observer::new(Config::parse("").unwrap()).sharing(Rc::new(Key::new(b"secret")));
        let (bucket, responses, input, nanousd) = Default::default();
        Gateway { observer: Rc::new(observer), bucket, responses, input, nanousd }
    }

    fn start(&self, range: Option<(usize, usize)>) -> Exchange {
        self.start_at("api.openai.com", "/v1/files/file-1/content", range)
    }

    fn start_at(&self, host: &str, path: &str, range: Option<(usize, usize)>) -> Exchange {
        let head: &[(&[u8], &[u8])] =
            &[(b":method", b"GET"), (b":authority", host.as_bytes()), (b":path", path.as_bytes())];
        let mut exchange = Exchange::start(&self.observer, Head(head), 1).unwrap();
        exchange.identify(Head(head), Vec::new);
        exchange.request_end(2);
        let range = range.map(|(from, to)| format!("bytes {from}-{}/*", to - 1));
        let status: &[u8] = if range.is_some() { b"206" } else { b"200" };
        let range = range.unwrap_or_default();
        exchange.response(Head(&[(b":status", status), (b"content-range", range.as_bytes())]), 3);
        exchange
    }

    /// Passes the next bytes to the exchange, as the shell does.
    fn feed(&mut self, exchange: &mut Exchange, bytes: &[u8]) {
        if let Some(wanted) = exchange.wanted_range() {
            let claim = self.bucket.claim(wanted.key, wanted.range);
            exchange.grant(&claim.granted, claim.begins_line);
        }
        exchange.response_body(bytes, 4);
    }

    /// Ends the exchange, and returns the number of responses that it counts.
    fn end(&mut self, mut exchange: Exchange, end: End) -> u64 {
        exchange.finish(end, 5);
        for uncounted in exchange.uncounted_ranges() {
            self.bucket.release(uncounted.key, &uncounted.range);
        }
        self.bucket = LateBucket::parse(&self.bucket.bytes());
        if !exchange.is_recognised() {
            return 0;
        }
        let seen = exchange.observation();
        let batch = seen.batch().unwrap();
        self.responses += batch.responses;
        self.input += seen.usage.input.unwrap_or(0);
        self.nanousd += seen.cost.nanousd.unwrap_or(0);
        let parts = seen.parts_of_batch().unwrap();
        assert_eq!(parts.iter().map(|part| part.batch().unwrap().responses).sum::<u64>(), batch.responses);
        batch.responses
    }

    fn download(&mut self, file: &[u8], range: Option<(usize, usize)>, piece: usize) -> u64 {
        let mut exchange = self.start(range);
        let (from, to) = range.unwrap_or((0, file.len()));
        for bytes in file[from..to].chunks(piece) {
            self.feed(&mut exchange, bytes);
        }
        self.end(exchange, End::Whole)
    }

    fn told(&self) -> (u64, u64, u64) {
        (self.responses, self.input, self.nanousd)
    }
}

/// The response with this number has as many input tokens.
fn line(number: u64) -> String {
    let model = ["gpt-4o-2024-08-06", "gpt-4o-mini-2024-07-18"][number as usize % 2];
    let body = json!({"id": format!("c-{number}"), "model": model, "choices": [{"message": {"content": "{\"a\": \"\\n\"}"}}],
        "usage": {"prompt_tokens": number, "completion_tokens": 1}});
    json!({"id": format!("b-{number}"), "custom_id": number.to_string(), "response": {"status_code": 200, "body": body}, "error": null})
        .to_string()
        + "\n"
}

fn file(lines: u64) -> Vec<u8> {
    (1..=lines).map(line).collect::<String>().into_bytes()
}

/// The responses, input tokens and cost of the file. Batch prices, in thousandths of a nano-dollar: 1,250 and 75 for the input, 5,000 and
/// 300 for the output. Each response is rounded.
fn truth(lines: u64) -> (u64, u64, u64) {
    let nanousd = |number: u64| if number.is_multiple_of(2) { 1250 * number + 5000 } else { 75 * number + 300 };
    (lines, (1..=lines).sum(), (1..=lines).map(nanousd).sum())
}

#[test]
fn a_file_counts_once_in_pieces_of_any_size() {
    let file = file(9);
    for piece in [1, 2, 7, 100, 1000, file.len()] {
        let mut gateway = Gateway::new();
        assert_eq!(gateway.download(&file, None, piece), 9, "pieces of {piece}");
        assert_eq!(gateway.download(&file, None, piece), 0, "a repeated download counts nothing");
        assert_eq!(gateway.told(), truth(9), "pieces of {piece}");
    }
}

#[test]
fn a_download_that_was_cut_anywhere_is_completed_by_the_whole_file() {
    let file = file(4);
    for cut in 0..file.len() {
        let mut gateway = Gateway::new();
        let mut exchange = gateway.start(None);
        gateway.feed(&mut exchange, &file[..cut]);
        gateway.end(exchange, End::ClientDisconnect);
        gateway.download(&file, None, 50);
        assert_eq!(gateway.told(), truth(4), "cut at {cut}");
    }
}

#[test]
fn a_download_that_is_resumed_counts_all_lines_but_the_cut_one_which_a_later_download_brings() {
    let file = file(4);
    for cut in 1..file.len() {
        let mut gateway = Gateway::new();
        let first = gateway.download(&file, Some((0, cut)), 64);
        let second = gateway.download(&file, Some((cut, file.len())), 64);
        let is_between_lines = file[cut - 1] == b'\n' || file[cut] == b'\n';
        assert_eq!(first + second, if is_between_lines { 4 } else { 3 }, "cut at {cut}");
        gateway.download(&file, None, 64);
        assert_eq!(gateway.told(), truth(4), "cut at {cut}");
    }
}

#[test]
fn ranges_may_overlap_and_come_in_any_order() {
    let file = file(12);
    let (third, end) = (file.len() / 3, file.len());
    let ranges = [(2 * third, end), (third - 200, 2 * third + 300), (0, third + 100), (0, end), (third, end)];
    let mut gateway = Gateway::new();
    let counted: Vec<_> = ranges.into_iter().map(|range| gateway.download(&file, Some(range), 128)).collect();
    assert_eq!(gateway.told(), truth(12), "{counted:?}");
    assert!(counted[..3].iter().all(|count| *count > 0) && counted[4] == 0, "{counted:?}");
}

#[test]
fn two_downloads_at_the_same_time_count_once_and_the_second_goes_on_where_the_first_is_cut() {
    let file = file(10);
    // Inside a line.
    let half = file.len() / 2 + 30;
    let mut gateway = Gateway::new();
    let (mut one, mut two) = (gateway.start(None), gateway.start(None));
    for bytes in file[..half].chunks(100) {
        gateway.feed(&mut one, bytes);
        gateway.feed(&mut two, bytes);
    }
    let first = gateway.end(one, End::UpstreamReset);
    for bytes in file[half..].chunks(100) {
        gateway.feed(&mut two, bytes);
    }
    let second = gateway.end(two, End::Whole);
    assert_eq!(
        (first + second, first > 0 && second > 0),
        (9, true),
        "{first} {second}: the line that was cut is missing"
    );
    assert_eq!(gateway.download(&file, None, 100), 1);
    assert_eq!(gateway.told(), truth(10));
}

#[test]
fn the_last_line_needs_no_line_end_and_lines_without_usage_have_failed() {
    let failed = |rest| format!("{{\"custom_id\":\"f\",{rest}}}\n");
    let text = [
        failed(r#""response":null,"error":{"code":"batch_expired","message":"m"}"#),
        failed(r#""response":{"status_code":500,"body":{"error":{"message":"m"}}}"#),
        line(7).trim_end().to_owned(),
    ];
    let mut gateway = Gateway::new();
    let mut exchange = gateway.start(None);
    gateway.feed(&mut exchange, text.concat().as_bytes());
    exchange.finish(End::Whole, 5);
    let (seen, batch) = (exchange.observation(), exchange.observation().batch().unwrap());
    assert_eq!((batch.responses, batch.failures, seen.usage.input), (3, 2, Some(7)));
    assert_eq!(seen.error, None);
}

#[test]
fn another_file_is_no_llm_traffic_and_leaves_nothing_claimed() {
    for other in
        ["{\"custom_id\":\"a\",\"method\":\"POST\",\"body\":{\"model\":\"m\"}}\n", "a,b\n1,2\n", "\u{0}\u{1}PNG", "[1]"]
    {
        let mut gateway = Gateway::new();
        let mut exchange = gateway.start(None);
        gateway.feed(&mut exchange, other.as_bytes());
        gateway.feed(&mut exchange, line(1).as_bytes());
        assert_eq!(gateway.end(exchange, End::Whole), 0, "{other}");
        assert_eq!(gateway.download(&file(3), None, 99), 3, "{other}");
    }
}

#[test]
fn another_spelling_of_a_file_or_a_host_does_not_count_again() {
    let mut gateway = Gateway::new();
    for (host, path) in [
        ("api.openai.com", "/v1/files/file-1/content"),
        ("API.openai.com.", "/v1/files/file-1/content"),
        ("api.openai.com", "/v1/files/file%2D1/content"),
    ] {
        let mut exchange = gateway.start_at(host, path, None);
        gateway.feed(&mut exchange, &file(3));
        gateway.end(exchange, End::Whole);
        assert_eq!(gateway.told(), truth(3), "{host} {path}");
    }
}

#[test]
fn a_list_of_results_counts_once_the_batch_has_ended() {
    let mistral = |status: &str, results: usize| {
        let result = json!({"custom_id": "1", "response": {"body": {"model": "mistral-small-latest", "usage": {"prompt_tokens": 10, "completion_tokens": 0}}}});
        json!({"status": status, "outputs": vec![result; results]})
    };
    let gemini = |state: &str, results: usize| {
        let result = json!({"response": {"modelVersion": "gemini-2.5-flash", "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 0}}});
        json!({"metadata": {"output": {"inlinedResponses": {"inlinedResponses": vec![result; results]}}, "state": state}})
    };
    for (host, path, polls) in [
        ("api.mistral.ai", "/v1/batch/jobs/j1", [mistral("RUNNING", 1), mistral("SUCCESS", 4), mistral("SUCCESS", 4)]),
        (
            "generativelanguage.googleapis.com",
            "/v1beta/batches/b1",
            [gemini("BATCH_STATE_RUNNING", 1), gemini("BATCH_STATE_SUCCEEDED", 4), gemini("BATCH_STATE_SUCCEEDED", 4)],
        ),
    ] {
        let mut gateway = Gateway::new();
        let counted = polls.map(|answer| {
            let mut exchange = gateway.start_at(host, path, None);
            gateway.feed(&mut exchange, answer.to_string().as_bytes());
            gateway.end(exchange, End::Whole)
        });
        assert_eq!((counted, gateway.input), ([0, 4, 0], 40), "{host}");
    }
}
