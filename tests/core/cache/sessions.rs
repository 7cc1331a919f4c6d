//! Sessions of an agent with tools, as the requests of several APIs: in every turn the request has two messages more.

use serde_json::{Value, json};

use super::provider::Counts;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Api {
    Chat,
    Responses,
    /// Responses with `previous_response_id`: a request has only the new items.
    ResponsesById,
    Anthropic,
    Gemini,
}

impl Api {
    pub const ALL: [Api; 5] = [Api::Chat, Api::Responses, Api::ResponsesById, Api::Anthropic, Api::Gemini];

    pub fn counts_in_steps(self) -> bool {
        matches!(self, Api::Chat | Api::Responses | Api::ResponsesById)
    }

    /// Number of messages of the request before the first of the session: the system message.
    pub fn messages_before_first(self) -> usize {
        usize::from(self == Api::Chat)
    }
}

/// A planted edit.
#[derive(Clone, Debug)]
pub enum Edit {
    Model,
    Parameter,
    ToolDescription,
    ToolSchema,
    AddTool,
    SwapTools,
    System,
    /// Of the message with this number in the session, from 1.
    Message(usize),
    /// The second and the third message are left out.
    Trim,
    /// The provider forgets everything.
    Forget,
}

#[derive(Clone)]
pub struct Session {
    pub api: Api,
    pub turns: usize,
    /// The turn in which the provider forgets everything. 0 if it does not.
    pub forgets: usize,
    model: &'static str,
    parameter: u32,
    tools: Vec<[String; 3]>,
    system: String,
    /// The number of each message at the begin of the session, and its text.
    messages: Vec<(usize, String)>,
    trimmed: usize,
}

impl Session {
    /// Number of [`Session::parts`] before the messages.
    pub const PARTS_BEFORE_MESSAGES: usize = 4;

    pub fn new(api: Api, turns: usize) -> Self {
        Session::of(api, turns, 6000)
    }

    /// A session whose first prompts are below the minimum.
    pub fn short(api: Api) -> Self {
        Session::of(api, 10, 400)
    }

    pub fn tiny(api: Api) -> Self {
        Session::of(api, 3, 8)
    }

    fn of(api: Api, turns: usize, length: usize) -> Self {
        let text = |name: &str| format!("{name} \"é\\{}", "x".repeat(length));
        Session {
            api,
            turns,
            forgets: 0,
            model: if api == Api::Gemini { "gemini-2.5-flash" } else { "a-model" },
            parameter: 1,
            tools: ["search", "write"].map(|name| [name.to_owned(), text(name), text("schema")]).into(),
            system: text("system"),
            messages: (1..2 * turns).map(|n| (n, text(&format!("message {n}")))).collect(),
            trimmed: 0,
        }
    }

    /// Number of messages of the session in the request of the turn before.
    pub fn messages_before(turn: usize) -> usize {
        2 * (turn - 1) - 1
    }

    pub fn edit(&mut self, edit: &Edit, turn: usize) {
        let edited = |text: &mut String| *text = text.replacen('x', "y", 1);
        match edit {
            Edit::Model => self.model = if self.api == Api::Gemini { "gemini-2.5-pro" } else { "another-model" },
            Edit::Parameter => self.parameter += 1,
            Edit::ToolDescription => edited(&mut self.tools[1][1]),
            Edit::ToolSchema => edited(&mut self.tools[0][2]),
            Edit::AddTool => self.tools.push(["read", "reads", "none"].map(str::to_owned)),
            Edit::SwapTools => self.tools.swap(0, 1),
            Edit::System => edited(&mut self.system),
            Edit::Message(number) => edited(&mut self.messages[number - 1].1),
            Edit::Trim => {
                self.messages.drain(1..3);
                self.trimmed = 2;
            }
            Edit::Forget => self.forgets = turn,
        }
    }

    fn shown(&self, turn: usize) -> &[(usize, String)] {
        &self.messages[..2 * turn - 1 - self.trimmed]
    }

    /// The parts that the provider caches, in its order.
    pub fn parts(&self, turn: usize) -> Vec<String> {
        let parameter = self.parameter.to_string();
        let tools = self.tools.concat().join(" ");
        let mut parts = match self.api {
            Api::Anthropic => vec![self.model.to_owned(), tools, self.system.clone(), parameter],
            _ => vec![self.model.to_owned(), parameter, tools, self.system.clone()],
        };
        parts.extend(self.shown(turn).iter().map(|(_, text)| text.clone()));
        parts
    }

    /// The path and the body of a turn's request.
    pub fn request(&self, turn: usize) -> (String, Value) {
        let shown = self.shown(turn);
        let messages = |shown: &[(usize, String)]| {
            shown
                .iter()
                .enumerate()
                .map(|(at, (number, text))| self.message(*number, text, at + 1 == shown.len()))
                .collect()
        };
        let mut all: Vec<Value> = messages(shown);
        let schema =
            |text: &str| json!({"type": "object", "properties": {"a": {"type": "string", "description": text}}});
        let tools = |tool: fn(&[String; 3], Value) -> Value| -> Value {
            self.tools.iter().map(|one| tool(one, schema(&one[2]))).collect()
        };
        let function = |[name, description, _]: &[String; 3], schema: Value| json!({"name": name, "description": description, "parameters": schema});
        match self.api {
            Api::Chat => {
                all.insert(0, json!({"role": "system", "content": self.system}));
                let tools: Vec<_> = self
                    .tools
                    .iter()
                    .map(|one| json!({"type": "function", "function": function(one, schema(&one[2]))}))
                    .collect();
                let body = json!({"model": self.model, "reasoning_effort": format!("level {}", self.parameter), "messages": all, "tools": tools});
                ("/v1/chat/completions".into(), body)
            }
            Api::Responses | Api::ResponsesById => {
                let tools: Vec<_> = self
                    .tools
                    .iter()
                    .map(|one| {
                        let mut tool = function(one, schema(&one[2]));
                        tool["type"] = json!("function");
                        tool["strict"] = json!(true);
                        tool
                    })
                    .collect();
                let mut body = json!({"model": self.model, "instructions": self.system, "tools": tools,
                    "reasoning": {"effort": format!("level {}", self.parameter)}, "input": all});
                if self.api == Api::ResponsesById && turn > 1 {
                    body["previous_response_id"] = json!(format!("resp_{}", turn - 1));
                    body["input"] = Value::Array(messages(&shown[shown.len() - 1..]));
                }
                ("/v1/responses".into(), body)
            }
            Api::Anthropic => {
                let tools = tools(
                    |[name, description, _], schema| json!({"name": name, "description": description, "input_schema": schema}),
                );
                let mark = json!({"type": "ephemeral"});
                let body = json!({"model": self.model, "max_tokens": 9, "system": [{"type": "text", "text": self.system, "cache_control": mark}],
                    "thinking": {"type": "enabled", "budget_tokens": self.parameter}, "tools": tools, "messages": all});
                ("/v1/messages".into(), body)
            }
            Api::Gemini => {
                let tools: Vec<_> = self.tools.iter().map(|one| function(one, schema(&one[2]))).collect();
                let body = json!({"systemInstruction": {"parts": [{"text": self.system}]}, "contents": all,
                    "tools": [{"functionDeclarations": tools}], "cachedContent": format!("cachedContents/{}", self.parameter)});
                (format!("/v1beta/models/{}:generateContent", self.model), body)
            }
        }
    }

    /// A message: of the user, a call, its result, and the answer of the model, in turn.
    fn message(&self, number: usize, text: &str, is_last: bool) -> Value {
        let (kind, id) = (number % 4, format!("call_{}", number / 4));
        let arguments = json!({"path": text});
        match (self.api, kind) {
            (Api::Chat, 1) => json!({"role": "user", "content": [{"type": "text", "text": text}]}),
            (Api::Chat, 2) => json!({"role": "assistant", "content": null, "tool_calls": [
                {"id": id, "type": "function", "function": {"name": "search", "arguments": arguments.to_string()}}]}),
            (Api::Chat, 3) => json!({"role": "tool", "tool_call_id": id, "content": text}),
            (Api::Chat, _) => json!({"role": "assistant", "content": text}),
            (Api::Responses | Api::ResponsesById, 1) => json!({"role": "user", "content": text}),
            (Api::Responses | Api::ResponsesById, 2) => {
                json!({"type": "function_call", "call_id": id, "name": "search", "arguments": arguments.to_string()})
            }
            (Api::Responses | Api::ResponsesById, 3) => {
                json!({"type": "function_call_output", "call_id": id, "output": text})
            }
            (Api::Responses | Api::ResponsesById, _) => {
                json!({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]})
            }
            (Api::Anthropic, kind) => {
                let mut block = match kind {
                    2 => json!({"type": "tool_use", "id": id, "name": "search", "input": arguments}),
                    3 => json!({"type": "tool_result", "tool_use_id": id, "content": text}),
                    _ => json!({"type": "text", "text": text}),
                };
                // The mark moves to the last message.
                if is_last {
                    block["cache_control"] = json!({"type": "ephemeral"});
                }
                json!({"role": (if kind % 2 == 1 { "user" } else { "assistant" }), "content": [block]})
            }
            (Api::Gemini, kind) => {
                let part = match kind {
                    2 => json!({"functionCall": {"name": "search", "args": arguments}}),
                    3 => json!({"functionResponse": {"name": "search", "response": {"result": text}}}),
                    _ => json!({"text": text}),
                };
                json!({"role": (if kind % 2 == 1 { "user" } else { "model" }), "parts": [part]})
            }
        }
    }

    /// The answer of a turn with these counts.
    pub fn answer(&self, turn: usize, counts: &Counts) -> Value {
        let Counts { input, read, written } = *counts;
        match self.api {
            Api::Chat => json!({"id": format!("chat_{turn}"), "model": self.model,
                "choices": [{"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": input, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": read}}}),
            Api::Responses | Api::ResponsesById => {
                json!({"id": format!("resp_{turn}"), "model": self.model, "status": "completed",
                "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "ok"}]}],
                "usage": {"input_tokens": input, "output_tokens": 1, "input_tokens_details": {"cached_tokens": read}}})
            }
            Api::Anthropic => json!({"id": format!("msg_{turn}"), "type": "message", "model": self.model,
                "content": [{"type": "text", "text": "ok"}], "stop_reason": "end_turn",
                "usage": {"input_tokens": input - read - written, "output_tokens": 1, "cache_read_input_tokens": read,
                    "cache_creation_input_tokens": written}}),
            Api::Gemini => {
                let mut usage =
                    json!({"promptTokenCount": input, "candidatesTokenCount": 1, "totalTokenCount": input + 1});
                if read > 0 {
                    usage["cachedContentTokenCount"] = json!(read);
                }
                json!({"responseId": format!("gem_{turn}"), "modelVersion": self.model, "usageMetadata": usage,
                    "candidates": [{"index": 0, "content": {"parts": [{"text": "ok"}]}, "finishReason": "STOP"}]})
            }
        }
    }
}
