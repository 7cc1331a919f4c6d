//! The arguments of tools are content: they are reported as the setting `privacy` says, by a real Envoy.

use crate::mcp::{Site, attributes};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn arguments_are_in_no_output_unless_they_are_captured_and_then_redacted() {
    let arguments = json!({"query": "weather in Oslo", "mail": "ann@example.com"});
    for (capture, is_reported) in [("off", false), ("truncated", true)] {
        let privacy = json!({"capture": capture});
        let site = Site::start_with(|mut options| {
            options.config["privacy"] = privacy;
            options
        })
        .await;
        let (id, _) = site.call(&json!({"name": "search", "arguments": arguments}), &[]).await;
        let span = attributes(&site.spans(1).await.remove(0));
        let entry = site.entry(&id).await;
        for output in [&span, &entry] {
            let text = output["gen_ai.tool.call.arguments"].as_str().unwrap_or_default();
            assert_eq!(text.contains("weather in Oslo"), is_reported, "{capture}: {output}");
            assert!(!output.to_string().contains("ann@example.com"), "{capture}: {output}");
            assert!(is_reported || !output.to_string().contains("Oslo"), "{capture}: {output}");
        }
    }
}
