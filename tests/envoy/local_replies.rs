//! Answers that no provider gave: Envoy's own, and those of real filters behind the plugin. Each has the outcome `local_reply`
//! with Envoy's reason, no usage and no cost. An answer of the provider, whatever its status, is none.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::support::client::{self, Http, Made};
use crate::support::closed::Closed;
use crate::support::envoy::{Envoy, Options};
use crate::support::expect;
use crate::support::fixtures::Fixture;
use crate::support::prometheus::{Sample, total};
use crate::support::responder::Responder;
use crate::support::upstream::Upstream;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const PATIENCE: Duration = Duration::from_secs(10);
const UNARY: &str = "openai-chat/unary";
/// The longest body that the buffer filter of the test accepts is shorter than that of [`UNARY`].
const FILTERS: &[(&str, &str, &str)] = &[
    (
        "limit",
        "local_ratelimit.v3.LocalRateLimit",
        "stat_prefix: limit, token_bucket: {max_tokens: 1, tokens_per_fill: 1, fill_interval: 3600s}, filter_enabled: {default_value: {numerator: 100}}, filter_enforced: {default_value: {numerator: 100}}",
    ),
    (
        "rbac",
        "rbac.v3.RBAC",
        "rules: {action: DENY, policies: {all: {permissions: [{any: true}], principals: [{any: true}]}}}",
    ),
    (
        "authz",
        "ext_authz.v3.ExtAuthz",
        "http_service: {server_uri: {uri: \"http://authz\", cluster: authz, timeout: 5s}}",
    ),
    (
        "lost-authz",
        "ext_authz.v3.ExtAuthz",
        "http_service: {server_uri: {uri: \"http://authz\", cluster: closed, timeout: 5s}}",
    ),
    (
        "jwt",
        "jwt_authn.v3.JwtAuthentication",
        "providers: {p: {issuer: i, local_jwks: {inline_string: '{\"keys\":[{\"kty\":\"oct\",\"alg\":\"HS256\",\"k\":\"c2VjcmV0\"}]}'}}}, rules: [{match: {prefix: /}, requires: {provider_name: p}}]",
    ),
    ("fault", "fault.v3.HTTPFault", "abort: {http_status: 503, percentage: {numerator: 100}}"),
    (
        "lua",
        "lua.v3.Lua",
        "default_source_code: {inline_string: 'function envoy_on_request(h) h:respond({[\":status\"]=\"200\", [\"content-type\"]=\"application/json\", [\"retry-after\"]=\"30\"}, \"{\\\"model\\\":\\\"gpt-4o\\\",\\\"usage\\\":{\\\"prompt_tokens\\\":9000,\\\"completion_tokens\\\":9000}}\") end'}",
    ),
    (
        "cache",
        "cache.v3.CacheConfig",
        "typed_config: {\"@type\": type.googleapis.com/envoy.extensions.http.cache.simple_http_cache.v3.SimpleHttpCacheConfig}",
    ),
    ("buffer", "buffer.v3.Buffer", "max_request_bytes: 5"),
    ("process", "ext_proc.v3.ExternalProcessor", "grpc_service: {envoy_grpc: {cluster_name: process}, timeout: 5s}"),
    (
        "lost-process",
        "ext_proc.v3.ExternalProcessor",
        "grpc_service: {envoy_grpc: {cluster_name: closed}, timeout: 5s}",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_no_provider_gave_has_envoys_reason_and_no_cost() {
    let gateway = Gateway::start(&[]).await;
    gateway.call("/limit", &[]).await;
    let mut expected = BTreeMap::from([(("completed".to_owned(), String::new()), 1)]);
    for (route, headers, status, reason) in [
        ("/limit", &[][..], 429, "rate_limited"),
        ("/rbac", &[], 403, "rbac_access_denied"),
        ("/authz", &[], 403, "ext_authz_denied"),
        ("/lost-authz", &[], 403, "ext_authz_error"),
        ("/jwt", &[], 401, "jwt_authn_failed"),
        ("/fault", &[], 503, "fault_filter_abort"),
        ("/lua", &[], 200, "lua_response"),
        ("/buffer", &[], 413, "request_payload_too_large"),
        ("/process", &[], 200, "local_reply"),
        ("/lost-process", &[], 500, "ext_proc_error"),
        ("/direct", &[], 403, "direct_response"),
        ("/away", &[], 301, "redirect"),
        ("/nowhere", &[], 404, "no_route"),
        ("/unknown", &[], 503, "cluster_not_found"),
        ("/empty", &[], 503, "no_healthy_upstream"),
        ("/full", &[], 503, "overflow"),
        ("", &[("x-cached", "yes")], 200, "local_reply"),
        ("", &[("x-guard", "yes")], 403, "local_reply"),
    ] {
        let (seen, entry) = gateway.call(route, headers).await;
        assert_eq!(seen, status, "{route} {headers:?}: {entry}");
        assert_eq!(
            (&entry["gaugeway.outcome"], &entry["error.type"]),
            (&json!("local_reply"), &json!(reason)),
            "{route} {headers:?}: {entry}"
        );
        for (key, value) in entry.as_object().unwrap() {
            let is_answers =
                ["gen_ai.usage.", "gen_ai.response.", "gaugeway.response."].iter().any(|of| key.starts_with(of));
            assert!(value.is_null() || !is_answers, "{route} {headers:?}: {key} in {entry}");
        }
        assert!(entry["gaugeway.cost.usd"].is_null(), "{route} {headers:?}: {entry}");
        *expected.entry(("local_reply".to_owned(), reason.to_owned())).or_insert(0) += 1;
    }
    assert_eq!(gateway.counted().await, expected);
    let samples = gateway.envoy.samples().await;
    assert_eq!(total(&samples, "gaugeway_cost_nanousd_total", &[]), 227_500.0, "only the provider's answer costs");
    assert_eq!(total(&samples, "gaugeway_input_tokens_total", &[]), 27.0);
    assert!(samples.iter().all(|sample| sample.name != "gaugeway_retry_after_seconds"), "no provider asked to wait");
    // The guardrail replaced an answer of the provider.
    assert_eq!(total(&samples, "gaugeway_usage_hidden_total", &[]), 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_of_the_provider_is_no_local_reply_even_if_the_header_of_the_router_is_missing() {
    let router = "            typed_config:\n              \"@type\": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router\n";
    let suppress = (router.to_owned(), format!("{router}              suppress_envoy_headers: true\n"));
    for replace in [vec![], vec![suppress]] {
        let gateway = Gateway::start(&replace).await;
        let unary = Fixture::load(UNARY);
        for route in ["", "/stripped", "/cache"] {
            let id = client::request_id();
            let reply = gateway.send(&unary, route, &[("x-request-id", &id)]).await;
            assert_eq!(reply, 200, "{route}");
            let faults = expect::log_faults(&unary.observation, &[], &gateway.entry(&id).await);
            assert!(faults.is_empty(), "{route}: {faults:#?}");
        }
        let refused = Fixture::load("openai-chat/error-429-to-a-stream-request");
        for route in ["", "/stripped"] {
            let id = client::request_id();
            gateway.send(&refused, route, &[("x-request-id", &id)]).await;
            let faults = expect::log_faults(&refused.observation, &[], &gateway.entry(&id).await);
            assert!(faults.is_empty(), "{route}: {faults:#?}");
        }
        let (_, entry) = gateway.call("/rbac", &[]).await;
        assert_eq!(entry["error.type"], "rbac_access_denied", "{entry}");
        let (_, entry) = gateway.call("/closed", &[]).await;
        assert_eq!(
            (&entry["gaugeway.outcome"], &entry["error.type"]),
            (&json!("upstream_reset"), &json!("upstream_reset"))
        );
        let outcomes: Vec<_> = gateway.counted().await.into_keys().map(|(outcome, _)| outcome).collect();
        assert_eq!(outcomes, ["completed", "error", "local_reply", "upstream_reset"]);
        let samples = gateway.envoy.samples().await;
        assert_eq!(total(&samples, "gaugeway_usage_hidden_total", &[]), 0.0, "nothing reached the provider unseen");
    }
}

struct Gateway {
    envoy: Envoy,
    _closed: Closed,
    _responder: Responder,
    _upstream: Upstream,
}

impl Gateway {
    /// Starts Envoy with one route per filter, and with `respond.wat` behind the plugin.
    async fn start(replace: &[(String, String)]) -> Self {
        let upstream = Upstream::start(Fixture::all()).await;
        let responder = Responder::new();
        let closed = Closed::new();

        let filter = |(name, kind, settings): &(&str, &str, &str)| {
            format!(
                "{{name: {name}, disabled: true, typed_config: {{\"@type\": type.googleapis.com/envoy.extensions.filters.http.{kind}, {settings}}}}}"
            )
        };
        let filters: String =
            FILTERS.iter().map(filter).chain([responder.filter()]).map(|one| format!("          - {one}\n")).collect();
        let only = |name: &str| {
            format!(
                "{{name: {name}, match: {{prefix: /{name}/}}, route: {{cluster: llm, timeout: 0s}}, typed_per_filter_config: {{{name}: {{\"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig, config: {{}}}}}}}}"
            )
        };
        let to = |name: &str| {
            format!("{{name: {name}, match: {{prefix: /{name}/}}, route: {{cluster: {name}, timeout: 0s}}}}")
        };
        let mut routes: Vec<_> = FILTERS.iter().map(|(name, _, _)| only(name)).collect();
        routes.extend(["empty", "full", "closed"].map(to));
        routes.extend(
            [
                "{name: direct, match: {prefix: /direct/}, direct_response: {status: 403, body: {inline_string: denied}}}",
                "{name: away, match: {prefix: /away/}, redirect: {host_redirect: example.com}}",
                "{name: unknown, match: {prefix: /unknown/}, route: {cluster_header: x-cluster}}",
                "{name: stripped, match: {prefix: /stripped/}, route: {cluster: llm, timeout: 0s}, response_headers_to_remove: [x-envoy-upstream-service-time]}",
            ]
            .map(str::to_owned),
        );
        let http2 = "typed_extension_protocol_options: {envoy.extensions.upstreams.http.v3.HttpProtocolOptions: {\"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions, explicit_http_config: {http2_protocol_options: {}}}}";
        let none = "circuit_breakers: {thresholds: [{max_connections: 0, max_pending_requests: 0, max_requests: 0}]}";
        let clusters = [
            cluster("authz", Some(serve(false).await), ""),
            cluster("process", Some(serve(true).await), http2),
            cluster("closed", Some(closed.addr), http2),
            cluster("full", Some(upstream.addr), none),
            cluster("empty", None, ""),
        ];
        let routes: Vec<_> = routes.iter().map(String::as_str).collect();
        let mut options = Options::to(upstream.addr).with(&routes, &clusters);
        let router = "          - name: envoy.filters.http.router\n";
        options.replace.push((router.to_owned(), format!("{filters}{router}")));
        options.replace.push((
            "                match: {prefix: /}\n".to_owned(),
            "                match: {prefix: /v1/}\n".to_owned(),
        ));
        options.replace.extend(replace.iter().cloned());
        Gateway { envoy: Envoy::start(&options).await, _closed: closed, _responder: responder, _upstream: upstream }
    }

    /// Sends [`UNARY`] on a route. Returns the response's status and the line of the access log.
    async fn call(&self, route: &str, headers: &[(&str, &str)]) -> (u16, Value) {
        let id = client::request_id();
        let headers = [&[("x-request-id", id.as_str())], headers].concat();
        let status = self.send(&Fixture::load(UNARY), route, &headers).await;
        (status, self.entry(&id).await)
    }

    async fn send(&self, fixture: &Fixture, route: &str, headers: &[(&str, &str)]) -> u16 {
        let mut request = client::request(fixture, headers);
        *request.uri_mut() = format!("{route}{}", fixture.request.path).parse().unwrap();
        client::send(self.envoy.addr, request, Http::One).await.unwrap().status
    }

    async fn entry(&self, id: &str) -> Value {
        let entry = self.envoy.entry(id, PATIENCE).await;
        entry.unwrap_or_else(|| panic!("the access log has no line for {id}:\n{}", self.envoy.log()))
    }

    /// Number of requests by outcome and error type.
    async fn counted(&self) -> BTreeMap<(String, String), u64> {
        let mut counted = BTreeMap::new();
        let samples = self.envoy.samples().await;
        for sample in samples.iter().filter(|sample: &&Sample| sample.name == "gaugeway_requests_total") {
            let key = (sample.label("outcome").to_owned(), sample.label("error_type").to_owned());
            *counted.entry(key).or_default() += sample.value as u64;
        }
        counted
    }
}

fn cluster(name: &str, addr: Option<SocketAddr>, more: &str) -> String {
    let endpoint = addr.map(|addr| {
        format!("{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {}}}}}}}}}", addr.port())
    });
    let comma = if more.is_empty() { "" } else { ", " };
    format!(
        "{{name: {name}, type: STATIC, load_assignment: {{cluster_name: {name}, endpoints: [{{lb_endpoints: [{}]}}]}}{comma}{more}}}",
        endpoint.unwrap_or_default()
    )
}

/// Starts a server of the filters: `processes` is an external processor over gRPC that answers each request itself, the other
/// denies each request.
async fn serve(processes: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let io = TokioIo::new(stream);
            tokio::spawn(async move {
                if processes {
                    let service = service_fn(process);
                    drop(
                        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                            .serve_connection(io, service)
                            .await,
                    );
                } else {
                    let deny = async |_: Request<Incoming>| Response::builder().status(403).body(String::new());
                    drop(hyper::server::conn::http1::Builder::new().serve_connection(io, service_fn(deny)).await);
                }
            });
        }
    });
    addr
}

/// Answers the first message of a stream with `ProcessingResponse.immediate_response`.
async fn process(
    request: Request<Incoming>,
) -> hyper::http::Result<Response<Made<std::array::IntoIter<Frame<Bytes>, 2>>>> {
    request.into_body().frame().await;
    let field = |number: u8, bytes: &[u8]| [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat();
    let answer = br#"{"model":"gpt-4o","usage":{"prompt_tokens":9000,"completion_tokens":9}}"#;
    // status {code: 200}, body, details
    let immediate = [field(1, &[1 << 3, 0xc8, 1]), field(3, answer), field(5, b"semantic_cache_hit")].concat();
    let message = field(7, &immediate);
    let head = [&[0, 0, 0, 0][..], &[u8::try_from(message.len()).unwrap()]].concat();
    let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
    let frames = [Frame::data(Bytes::from([head, message].concat())), Frame::trailers(trailers)];
    Response::builder().header("content-type", "application/grpc").body(Made(frames.into_iter()))
}
