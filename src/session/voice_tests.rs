//! Sessions with speech: the responses that they have, and their tokens by modality.

use super::tests::{SECOND, Sent, run};
use crate::observation::{Outcome, Usage};

const REALTIME: &str = "/v1/realtime?model=gpt-realtime";

#[test]
fn a_realtime_session_has_responses_with_and_without_a_request_and_transcriptions() {
    let reported = run(
        REALTIME,
        &[
            ('S', r#"{"type":"session.created","session":{"id":"sess_1","type":"realtime","model":"gpt-realtime"}}"#),
            (
                'C',
                r#"{"type":"session.update","session":{"type":"realtime","tools":[{"type":"function","name":"weather"}],"audio":{"input":{"transcription":{"model":"gpt-4o-mini-transcribe"}}}}}"#,
            ),
            ('C', r#"{"type":"input_audio_buffer.append","audio":"AAAAAAAAAAAA"}"#),
            ('S', r#"{"type":"input_audio_buffer.speech_stopped","item_id":"item_1"}"#),
            ('S', r#"{"type":"response.created","response":{"id":"resp_a","status":"in_progress"}}"#),
            (
                'S',
                r#"{"type":"rate_limits.updated","rate_limits":[{"name":"requests","limit":10,"remaining":0,"reset_seconds":1},{"name":"tokens","limit":100,"remaining":42,"reset_seconds":1}]}"#,
            ),
            (
                'S',
                r#"{"type":"conversation.item.input_audio_transcription.completed","item_id":"item_1","transcript":"hello","usage":{"type":"tokens","input_tokens":14,"output_tokens":6,"total_tokens":20,"input_token_details":{"audio_tokens":14,"text_tokens":0}}}"#,
            ),
            ('S', r#"{"type":"response.output_audio.delta","response_id":"resp_a","delta":"AAAA"}"#),
            ('S', r#"{"type":"response.output_audio_transcript.delta","response_id":"resp_a","delta":"Hello."}"#),
            (
                'S',
                r#"{"type":"response.output_item.done","response_id":"resp_a","item":{"id":"item_2","type":"function_call","call_id":"call_1","name":"weather","arguments":"{}"}}"#,
            ),
            (
                'S',
                r#"{"type":"response.done","response":{"id":"resp_a","status":"completed","output":[{"type":"message","content":[{"type":"output_audio","transcript":"Hello."}]},{"id":"item_2","type":"function_call","call_id":"call_1","name":"weather","arguments":"{}"}],"usage":{"total_tokens":230,"input_tokens":130,"output_tokens":100,"input_token_details":{"text_tokens":100,"audio_tokens":30,"cached_tokens":64,"cached_tokens_details":{"text_tokens":64,"audio_tokens":0}},"output_token_details":{"text_tokens":20,"audio_tokens":80}}}}"#,
            ),
            (
                'C',
                r#"{"type":"conversation.item.create","item":{"type":"function_call_output","call_id":"call_1","output":"rain"}}"#,
            ),
            ('C', r#"{"type":"response.create","event_id":"e1","response":{"output_modalities":["text"]}}"#),
            ('S', r#"{"type":"error","error":{"type":"invalid_request_error","code":"bad_item","event_id":"other"}}"#),
            ('S', r#"{"type":"response.created","response":{"id":"resp_b"}}"#),
            ('S', r#"{"type":"response.output_text.delta","response_id":"resp_b","delta":"It rains"}"#),
            (
                'S',
                r#"{"type":"response.done","response":{"id":"resp_b","status":"cancelled","status_details":{"type":"cancelled","reason":"turn_detected"},"usage":{"total_tokens":12,"input_tokens":10,"output_tokens":2}}}"#,
            ),
            ('C', r#"{"type":"response.create","event_id":"e2"}"#),
            (
                'S',
                r#"{"type":"error","error":{"type":"invalid_request_error","code":"conversation_already_has_active_response","event_id":"e2"}}"#,
            ),
            ('C', r#"{"type":"response.create"}"#),
            ('S', r#"{"type":"response.created","response":{"id":"resp_c","usage":{}}}"#),
            (
                'S',
                r#"{"type":"response.done","response":{"id":"resp_c","status":"failed","status_details":{"type":"failed","error":{"type":"server_error","code":"overloaded"}},"usage":{}}}"#,
            ),
        ],
    );
    let models: Vec<_> = reported
        .ended
        .iter()
        .map(|seen| {
            (seen.operation, seen.request.model.as_deref().unwrap(), seen.outcome.unwrap(), seen.error.as_deref())
        })
        .collect();
    assert_eq!(
        models,
        [
            ("transcription", "gpt-4o-mini-transcribe", Outcome::Completed, None),
            ("chat", "gpt-realtime", Outcome::Completed, None),
            ("chat", "gpt-realtime", Outcome::Completed, None),
            ("chat", "gpt-realtime", Outcome::Error, Some("conversation_already_has_active_response")),
            ("chat", "gpt-realtime", Outcome::Error, Some("overloaded")),
        ]
    );
    let [transcription, a, b, _, failed] = &reported.ended[..] else { panic!() };
    assert_eq!((transcription.usage.input, transcription.usage.output), (Some(14), Some(6)));
    assert_eq!((transcription.response.model.as_deref(), a.response.model.as_deref()), (None, Some("gpt-realtime")));
    assert_eq!(transcription.agent.iteration, None, "a transcription is no part of a run");
    assert_eq!(transcription.quantities.as_ref().unwrap().input_audio, 14);
    assert_eq!(a.usage, Usage { input: Some(130), output: Some(100), cache_read: Some(64), ..Usage::default() });
    let parts = a.quantities.as_ref().unwrap();
    assert_eq!((parts.input_text, parts.cached_text, parts.input_audio), (100, 64, 30));
    assert_eq!((parts.output_text, parts.output_audio), (20, 80));
    assert_eq!((a.limits.requests, a.limits.tokens), (Some(0), Some(42)));
    assert_eq!((&*a.output.tools[0], a.output.tools.len(), a.output.characters), ("weather", 1, Some(6)));
    // From the end of the speech to the first audio.
    assert_eq!(a.timing.since_start(a.timing.first_token), Some(4 * SECOND));
    assert!(a.cost.nanousd.unwrap() > 0);
    assert_eq!((a.agent.iteration, a.agent.tools_offered, b.agent.results.len()), (Some(1), 1, 1));
    assert_eq!(&*b.response.finish_reasons[0].as_ref().unwrap().word, "turn_detected");
    assert_eq!(failed.usage, Usage::default(), "an empty object is no count");
    assert_eq!(reported.sums.usage.input, Some(154));
}

const LIVE: &str = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?key=secret";

const LIVE_MESSAGES: &[Sent<'_>] = &[
    ('C', r#"{"setup":{"model":"models/gemini-2.5-flash-live","generationConfig":{"responseModalities":["AUDIO"]}}}"#),
    ('S', r#"{"setupComplete":{}}"#),
    ('C', r#"{"clientContent":{"turns":[{"role":"user","parts":[{"text":"weather?"}]}],"turnComplete":true}}"#),
    (
        'S',
        r#"{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm","data":"AAAA"}}]}},"usageMetadata":{"promptTokenCount":120,"responseTokenCount":5,"totalTokenCount":125}}"#,
    ),
    ('S', r#"{"toolCall":{"functionCalls":[{"id":"fc1","name":"get","args":{}}]}}"#),
    ('C', r#"{"toolResponse":{"functionResponses":[{"id":"fc1","name":"get","response":{"sky":"rain"}}]}}"#),
    ('S', r#"{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm","data":"AAAA"}}]}}}"#),
    ('S', r#"{"serverContent":{"outputTranscription":{"text":"Rain."}}}"#),
    ('S', r#"{"serverContent":{"generationComplete":true}}"#),
    (
        'S',
        r#"{"serverContent":{"turnComplete":true},"usageMetadata":{"promptTokenCount":120,"responseTokenCount":30,"thoughtsTokenCount":10,"totalTokenCount":160,"promptTokensDetails":[{"modality":"AUDIO","tokenCount":100},{"modality":"TEXT","tokenCount":20}],"responseTokensDetails":[{"modality":"AUDIO","tokenCount":30}]}}"#,
    ),
    ('C', r#"{"realtimeInput":{"audio":{"data":"AAAA","mimeType":"audio/pcm"}}}"#),
    ('C', r#"{"realtimeInput":{"activityEnd":{}}}"#),
    ('S', r#"{"serverContent":{"modelTurn":{"parts":[{"inlineData":{"mimeType":"audio/pcm","data":"AAAA"}}]}}}"#),
    ('S', r#"{"serverContent":{"interrupted":true}}"#),
    (
        'S',
        r#"{"usageMetadata":{"promptTokenCount":170,"responseTokenCount":25,"totalTokenCount":195},"serverContent":{"turnComplete":true}}"#,
    ),
];

#[test]
fn a_live_session_has_one_response_for_each_turn_with_the_last_counts_of_the_turn() {
    let reported = run(LIVE, LIVE_MESSAGES);
    let seen: Vec<_> = reported
        .ended
        .iter()
        .map(|seen| {
            (seen.request.model.as_deref().unwrap(), seen.usage.input, seen.usage.output, seen.output.tools.len())
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("gemini-2.5-flash-live", Some(120), Some(5), 1),
            ("gemini-2.5-flash-live", Some(120), Some(40), 0),
            ("gemini-2.5-flash-live", Some(170), Some(25), 0),
        ]
    );
    assert!(reported.ended.iter().all(|seen| seen.outcome == Some(Outcome::Completed)));
    let parts = reported.ended[1].quantities.as_ref().unwrap();
    assert_eq!((parts.input_audio, parts.input_text, parts.output_audio), (100, 20, 30));
    assert_eq!((reported.ended[1].usage.reasoning, reported.ended[1].agent.results.len()), (Some(10), 1));
    assert_eq!(&*reported.ended[2].response.finish_reasons[0].as_ref().unwrap().word, "interrupted");
    assert_eq!(reported.ended[2].timing.since_start(reported.ended[2].timing.first_token), Some(SECOND));
}

#[test]
fn a_client_may_write_the_names_of_members_in_snake_case() {
    let snake = |text: &str| {
        let names = ["client_content", "turn_complete", "tool_response", "realtime_input", "activity_end"];
        let camel = ["clientContent", "turnComplete", "toolResponse", "realtimeInput", "activityEnd"];
        camel.iter().zip(names).fold(text.to_owned(), |text, (camel, snake)| text.replace(camel, snake))
    };
    let texts: Vec<_> = LIVE_MESSAGES
        .iter()
        .map(|(side, text)| (*side, if *side == 'C' { snake(text) } else { (*text).to_owned() }))
        .collect();
    let messages: Vec<_> = texts.iter().map(|(side, text)| (*side, text.as_str())).collect();
    assert_eq!(run(LIVE, &messages).ended, run(LIVE, LIVE_MESSAGES).ended);
}
