//! The client, its session and its agents: requests of each client, written from the formats, and hostile ones.

use std::rc::Rc;

use gaugeway::config::Config;
use gaugeway::exchange::{Exchange, Head, Observer};
use gaugeway::observation::{ClientDetails, Observation, RequestKind};

thread_local! {
    static OBSERVER: Rc<Observer> =
        Rc::new(Observer::new(Config::parse(r#"{"conversation": {"header": "x-thread"}}"#).unwrap()));
}

type Headers<'a> = [(&'a str, &'a str)];

/// The observation of a request to this path. The body arrives in pieces of `cut` bytes.
fn cut(path: &str, headers: &Headers<'_>, body: &str, cut: usize) -> Observation {
    let all = [(":method", "POST"), (":authority", "llm.internal"), (":path", path)];
    let pairs: Vec<_> = all.iter().chain(headers).map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
    let mut exchange = OBSERVER.with(|observer| Exchange::start(observer, Head(&pairs), 0)).unwrap();
    body.as_bytes().chunks(cut).for_each(|piece| exchange.request_body(piece));
    exchange.request_end(0);
    exchange.observation().clone()
}

fn observed(path: &str, headers: &Headers<'_>, body: &str) -> Observation {
    let whole = cut(path, headers, body, usize::MAX);
    let pieces = cut(path, headers, body, 1);
    assert_eq!((&whole.client, whole.conversation()), (&pieces.client, pieces.conversation()));
    let mut reversed = headers.to_vec();
    reversed.reverse();
    assert_eq!(whole.client, cut(path, &reversed, body, 7).client, "the order of headers has no effect");
    whole
}

const MESSAGES: &str = "/v1/messages";
const RESPONSES: &str = "/v1/responses";
const CHAT: &str = "/v1/chat/completions";

fn client(headers: &Headers<'_>) -> ClientDetails {
    observed(MESSAGES, headers, "{}").client.map(|client| *client).unwrap_or_default()
}

fn session(path: &str, headers: &Headers<'_>, body: &str) -> Option<String> {
    observed(path, headers, body).conversation().map(str::to_owned)
}

fn details(name: &'static str, version: &str, session: &str) -> ClientDetails {
    let text = |text: &str| Some(text.into()).filter(|_| !text.is_empty());
    ClientDetails { name: Some(name), version: text(version), session: text(session), ..ClientDetails::default() }
}

#[test]
fn claude_code_names_session_subagent_parent_and_kind() {
    const ID: &str = "0b9c7f6e-2f4e-4d0c-9d55-1f0a3f1f7f10";
    let main =
        [("user-agent", "claude-cli/2.1.332 (external, sdk-ts, agent-sdk/0.3.1)"), ("x-claude-code-session-id", ID)];
    let of_main = details("claude-code", "2.1.332", ID);
    assert_eq!(client(&main), of_main);
    let sub = [
        ("x-claude-code-agent-id", "reviewer@team%2D%C3%A9"),
        ("x-claude-code-parent-agent-id", "a17"),
        ("x-claude-code-agent-type", "code-reviewer"),
        ("x-stainless-retry-count", "2"),
    ];
    let of_sub = ClientDetails {
        agent: Some("reviewer@team-é".into()),
        parent_agent: Some("a17".into()),
        agent_name: Some("code-reviewer".into()),
        kind: Some(RequestKind::Subagent),
        attempt: Some(3),
        ..of_main
    };
    let all = [&main[..], &sub].concat();
    assert_eq!(client(&all), of_sub);
    for (class, kind) in [
        ("main", Some(RequestKind::Main)),
        ("compaction", Some(RequestKind::Compaction)),
        ("side_reply", Some(RequestKind::Auxiliary)),
        ("workflow", Some(RequestKind::Subagent)),
        ("other", None),
    ] {
        assert_eq!(client(&[main[0], main[1], ("x-claude-code-request-class", class)]).kind, kind, "{class}");
    }
    assert_eq!(client(&[("x-claude-code-auxiliary-type", "title")]).kind, Some(RequestKind::Auxiliary));
}

#[test]
fn only_the_session_of_claude_codes_user_id_is_reported() {
    let uuid = "0b9c7f6e-2f4e-4d0c-9d55-1f0a3f1f7f10";
    let device = "d".repeat(64);
    let new = format!(
        r#"{{"device_id":"{device}","account_uuid":"account","parent_session_id":"parent","session_id":"{uuid}"}}"#
    );
    let old = format!("user_{device}_account_account_session_{uuid}");
    let without_account = format!("user_{device}_account__session_{uuid}");
    for user_id in [new, old, without_account] {
        let body = serde_json::json!({"model": "m", "metadata": {"user_id": user_id}}).to_string();
        let seen = observed(MESSAGES, &[], &body);
        let expected = ClientDetails { session: Some(uuid.into()), ..ClientDetails::default() };
        assert_eq!(seen.client.as_deref(), Some(&expected), "{user_id}");
        assert_eq!(session(MESSAGES, &[("x-claude-code-session-id", "s-1")], &body).as_deref(), Some("s-1"));
    }
    for user_id in
        ["u-381", "me@example.com", "user_1_account_2_session_3", r#"{"device_id":"d"}"#, "{\"session_id\":\"a b\"}"]
    {
        let body = serde_json::json!({"metadata": {"user_id": user_id}}).to_string();
        assert_eq!(observed(MESSAGES, &[], &body).client, None, "{user_id}");
    }
    let body = format!(r#"{{"metadata":{{"user_id":"{}"}}}}"#, "x".repeat(100_000));
    assert_eq!(observed(MESSAGES, &[], &body).client, None);
}

#[test]
fn codex_names_session_thread_parent_and_kind() {
    let turn =
        r#"{"session_id":"root","request_kind":"turn","workspaces":{"/home/me":{"request_kind\":\"":"memory"}}}"#;
    let main = [
        ("user-agent", "codex_cli_rs/0.171.0 (Ubuntu 22.4.0; x86_64) xterm-256color"),
        ("originator", "codex_cli_rs"),
        ("session-id", "root"),
        ("thread-id", "root"),
        ("chatgpt-account-id", "account"),
        ("x-codex-installation-id", "device"),
    ];
    assert_eq!(client(&main), details("codex", "0.171.0", "root"));
    let with_turn = [&main[..], &[("x-codex-turn-metadata", turn)]].concat();
    assert_eq!(
        client(&with_turn),
        ClientDetails { kind: Some(RequestKind::Main), ..details("codex", "0.171.0", "root") }
    );
    let of = |parent: &'static str, subagent: &'static str| {
        let more =
            [("x-codex-parent-thread-id", parent), ("x-openai-subagent", subagent), ("x-codex-turn-metadata", turn)];
        client(&[&[main[0], main[2], ("thread-id", "child")], &more[..]].concat())
    };
    let child = ClientDetails {
        agent: Some("child".into()),
        agent_name: Some("collab_spawn".into()),
        kind: Some(RequestKind::Subagent),
        ..details("codex", "0.171.0", "root")
    };
    assert_eq!(of("root", "collab_spawn"), child, "the main agent has no identifier");
    assert_eq!(of("other", "collab_spawn").parent_agent.as_deref(), Some("other"));
    assert_eq!(of("root", "compact").kind, Some(RequestKind::Compaction));
    assert_eq!(of("root", "memory_consolidation").kind, Some(RequestKind::Auxiliary));
    // Older releases, and the names of other programs.
    assert_eq!(client(&[("originator", "codex_exec"), ("conversation_id", "c-1")]), details("codex", "", "c-1"));
    assert_eq!(client(&[("session_id", "web-session"), ("thread-id", "t")]), ClientDetails::default());
}

#[test]
fn codex_names_its_session_in_the_body_and_as_the_key_of_the_cache() {
    let body = r#"{"client_metadata":{"thread_id":"child","session_id":"root","x-codex-parent-thread-id":"root","x-openai-subagent":"review","x-codex-installation-id":"device"},"prompt_cache_key":"key"}"#;
    let seen = observed(RESPONSES, &[("user-agent", "codex_exec/1.0.0")], body);
    let expected = ClientDetails {
        agent: Some("child".into()),
        agent_name: Some("review".into()),
        kind: Some(RequestKind::Subagent),
        ..details("codex", "1.0.0", "root")
    };
    assert_eq!(seen.client.as_deref(), Some(&expected));
    let key = r#"{"prompt_cache_key":"key"}"#;
    assert_eq!(session(RESPONSES, &[("originator", "codex_vscode")], key).as_deref(), Some("key"));
    assert_eq!(session(RESPONSES, &[("user-agent", "OpenAI/Python 3.57.0")], key), None, "the key may be a user");
}

#[test]
fn a_subagent_of_opencode_has_its_own_session_and_names_its_parents() {
    let headers =
        [("user-agent", "opencode/1.18.33"), ("x-session-affinity", "ses_1"), ("x-session-id", "ses_1_child")];
    assert_eq!(client(&headers), details("opencode", "1.18.33", "ses_1_child"));
    let child = client(&[headers[0], headers[2], ("x-parent-session-id", "ses_1")]);
    let of_child = details("opencode", "1.18.33", "ses_1_child");
    let agents = (child.agent.as_deref(), child.parent_agent.as_deref(), child.kind);
    assert_eq!(agents, (Some("ses_1_child"), Some("ses_1"), Some(RequestKind::Subagent)));
    assert_eq!(ClientDetails { agent: None, parent_agent: None, kind: None, ..child }, of_child);
    assert_eq!(client(&[("x-opencode-session", "ses_2")]), details("opencode", "", "ses_2"));
}

#[test]
fn gemini_cli_names_its_session_in_the_body_of_code_assist() {
    let headers = [
        ("user-agent", "GeminiCLI-a2a/0.61.0/gemini-3-pro (linux; x64; terminal)"),
        ("x-gemini-api-privileged-user-id", "installation"),
    ];
    let body = r#"{"model":"m","project":"p","user_prompt_id":"u","request":{"contents":[],"session_id":"s-9"}}"#;
    let seen = observed("/v1internal:streamGenerateContent", &headers, body);
    assert_eq!(seen.client.as_deref(), Some(&details("gemini-cli", "0.61.0", "s-9")));
}

#[test]
fn copilot_names_the_session_of_the_editor_and_the_kind() {
    let headers = [
        ("copilot-integration-id", "vscode-chat"),
        ("editor-plugin-version", "copilot-chat/0.35.0"),
        ("user-agent", "node"),
        ("vscode-sessionid", "7b8a1c6f1712345678901"),
        ("vscode-machineid", "machine"),
        ("x-interaction-type", "conversation-subagent"),
    ];
    let expected = details("github-copilot", "0.35.0", "7b8a1c6f1712345678901");
    assert_eq!(client(&headers), ClientDetails { kind: Some(RequestKind::Subagent), ..expected });
}

#[test]
fn frameworks_and_sdks_are_recognised_by_the_user_agents_of_their_releases() {
    for (user_agent, name, version) in [
        ("OpenAI/Python 3.57.0", "openai-python", "3.57.0"),
        ("AsyncAzureOpenAI/Python 3.57.0", "openai-python", "3.57.0"),
        ("OpenAI/JS 7.59.0", "openai-js", "7.59.0"),
        ("OpenAI/Go 3.1.0", "openai-go", "3.1.0"),
        ("OpenAI/2.5.0 (.NET 9.0; Linux)", "openai-dotnet", "2.5.0"),
        ("Anthropic/Python 2.14.0", "anthropic-python", "2.14.0"),
        ("AsyncAnthropicBedrock/Python 2.14.0", "anthropic-python", "2.14.0"),
        ("Anthropic/JS 1.14.0", "anthropic-js", "1.14.0"),
        ("Agents/Python 0.24.0", "openai-agents", "0.24.0"),
        ("Agents/JavaScript 0.20.0", "openai-agents", "0.20.0"),
        ("langchain-anthropic/1.7.10", "langchain", "1.7.10"),
        (
            "google-genai-sdk/2.34.0 gl-python/3.11.7 langchain-google-genai/4.4.3-ChatGoogleGenerativeAI",
            "langchain",
            "4.4.3-ChatGoogleGenerativeAI",
        ),
        ("google-genai-sdk/2.34.0 gl-python/3.11.7 pydantic-ai/2.68.0", "pydantic-ai", "2.68.0"),
        ("pydantic-ai/2.68.0", "pydantic-ai", "2.68.0"),
        ("google-genai-sdk/2.32.0 gl-node/v20.20.2", "google-genai", "2.32.0"),
        ("google-genai-sdk/1.50.0 gl-python/3.12 google-adk/2.0.1 gl-python/3.12", "google-adk", "2.0.1"),
        ("ai/6.0.326 ai-sdk/provider-utils/4.0.66 runtime/node.js/v20.20.2", "vercel-ai-sdk", "6.0.326"),
        ("ai-sdk/openai/3.0.1 ai-sdk/provider-utils/4.0.66", "vercel-ai-sdk", "3.0.1"),
        ("litellm/1.110.2", "litellm", "1.110.2"),
        ("mistral-client-python/3.7.0", "mistral-sdk", "3.7.0"),
        ("cohere/7.3.1", "cohere-sdk", "7.3.1"),
        ("RooCode/3.52.1", "roo-code", "3.52.1"),
    ] {
        assert_eq!(client(&[("user-agent", user_agent)]), details(name, version, ""), "{user_agent}");
    }
    assert_eq!(
        client(&[("x-goog-api-client", "google-genai-sdk/2.32.0 gl-node/v20")]),
        details("google-genai", "2.32.0", "")
    );
    for unknown in [
        "curl/8.5.0",
        "Mozilla/5.0 (X11) AppleWebKit/537.36",
        "python-httpx/0.28",
        "",
        "OpenAI/Cobol 1",
        "ai",
        "litellm/",
    ] {
        assert_eq!(client(&[("user-agent", unknown)]), ClientDetails::default(), "{unknown}");
    }
}

#[test]
fn the_version_is_that_of_the_client_and_not_of_a_program_below_it() {
    let headers = [("user-agent", "Anthropic/JS 1.14.0"), ("x-claude-code-session-id", "s")];
    assert_eq!(client(&headers), details("claude-code", "", "s"));
}

#[test]
fn the_strongest_source_names_the_conversation() {
    let body = r#"{"model":"m","conversation":"conv_1","session_id":"body","prompt_cache_key":"key"}"#;
    let headers = [
        ("x-thread", "configured"),
        ("x-litellm-session-id", "gateway"),
        ("x-portkey-trace-id", "trace"),
        ("x-opencode-session", "vendor"),
        ("x-acme-session-id", "general-1"),
    ];
    let named = |from: usize, body: &str| session(RESPONSES, &headers[from..], body);
    assert_eq!(named(0, body).as_deref(), Some("configured"));
    assert_eq!(named(1, body).as_deref(), Some("conv_1"), "the API's own identifier");
    let body = r#"{"model":"m","session_id":"body","prompt_cache_key":"key"}"#;
    for (from, expected) in [(1, "gateway"), (2, "trace"), (3, "vendor"), (4, "general-1"), (5, "body")] {
        assert_eq!(named(from, body).as_deref(), Some(expected));
    }
    let baggage = ("baggage", "user.id=me, session.id = b%2D1;p=1, session.id=b-2");
    let of = |body: &str| session(CHAT, &[baggage, ("user-agent", "opencode/1.0.0")], body);
    assert_eq!(of(r#"{"prompt_cache_key":"key","metadata":{"session_id":"m-1"}}"#).as_deref(), Some("m-1"));
    assert_eq!(of(r#"{"prompt_cache_key":"key","litellm_session_id":"l-1"}"#).as_deref(), Some("l-1"));
    assert_eq!(of(r#"{"prompt_cache_key":"key"}"#).as_deref(), Some("b-1"));
    assert_eq!(session(CHAT, &[("helicone-session-id", "h")], "{}").as_deref(), Some("h"));
}

#[test]
fn hostile_values_are_ignored() {
    let long = "a".repeat(129);
    let bomb = "%25".repeat(40);
    let encoded = "%61".repeat(50_000);
    for value in [
        "",
        " ",
        &long,
        &bomb,
        &encoded,
        "a b",
        "a\tb",
        "a\u{1}b",
        "a\u{202e}b",
        "%00",
        "%0a",
        "%",
        "%4",
        "%zz",
        "%ff",
        "<a>",
        "\"",
        "{}",
        "me@example.com",
        "sk-ant-0123456789",
        "eyJhbGciOiJIUzI1NiJ9.e30.x",
        "AKIA0123456789ABCDEF",
        "https://example.com/path",
    ] {
        for name in [
            "x-claude-code-agent-id",
            "x-claude-code-parent-agent-id",
            "x-claude-code-agent-type",
            "x-litellm-session-id",
            "helicone-session-id",
            "x-acme-session-id",
            "x-parent-session-id",
            "x-openai-subagent",
            "vscode-sessionid",
            "x-stainless-retry-count",
            "x-claude-code-request-class",
        ] {
            assert_eq!(client(&[(name, value)]), ClientDetails::default(), "{name}: {value}");
        }
        assert_eq!(client(&[("baggage", &format!("session.id={value}"))]), ClientDetails::default(), "{value}");
        assert_eq!(client(&[("x-claude-code-session-id", value)]), details("claude-code", "", ""), "{value}");
        let body = serde_json::json!({"session_id": value, "metadata": {"session_id": value}}).to_string();
        assert_eq!(observed(CHAT, &[], &body).client, None, "{value}");
    }
    assert_eq!(client(&[("x-litellm-session-id", &"é".repeat(64))]).session.as_deref(), Some(&*"é".repeat(64)));
}

#[test]
fn bytes_that_are_not_utf_8_are_ignored() {
    let pairs: [(&[u8], &[u8]); 7] = [
        (b":method", b"POST"),
        (b":authority", b"llm.internal"),
        (b":path", b"/v1/messages"),
        (b"user-agent", b"OpenAI/Python 1.0 \xff"),
        (b"x-acme-session-id", b"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8"),
        (b"\xff-session-id", b"session-1"),
        (b"x-litellm-session-id", b"\xc3"),
    ];
    let exchange = OBSERVER.with(|observer| Exchange::start(observer, Head(&pairs), 0)).unwrap();
    assert_eq!(exchange.observation().client, None);
}

#[test]
fn the_sessions_of_logins_accounts_and_devices_are_not_read() {
    for name in [
        "x-auth-session-id",
        "x-user-session-id",
        "x-device-session-id",
        "x-sso-session-id",
        "mcp-session-id",
        "cookie",
    ] {
        assert_eq!(client(&[(name, "0123456789abcdef")]), ClientDetails::default(), "{name}");
    }
    assert_eq!(client(&[("x-acme-session-id", "short")]), ClientDetails::default());
}

#[test]
fn many_headers_words_and_members_take_bounded_work() {
    let words = "word/1 ".repeat(100_000) + "litellm/1.0";
    let members = "a=b,".repeat(100_000) + "session.id=s";
    let mut headers = vec![("user-agent", &*words), ("baggage", &*members)];
    headers.extend([("x-acme-session-id", "session-0")].repeat(10_000));
    headers.push(("x-stainless-retry-count", "99999999999999999999"));
    assert_eq!(client(&headers), ClientDetails { session: Some("session-0".into()), ..ClientDetails::default() });
}

#[test]
fn an_attempt_is_counted_from_one() {
    for (count, attempt) in
        [("0", Some(1)), ("1", Some(2)), ("1000", Some(1001)), ("1001", None), ("-1", None), ("x", None)]
    {
        assert_eq!(client(&[("x-stainless-retry-count", count)]).attempt, attempt, "{count}");
    }
}
