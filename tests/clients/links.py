"""Calls a model with a client. Only the named instrumentations are active, and there is no other span around the call.

links.py 'CLIENT: INSTRUMENTATION, ...' ...    one call per argument, in this order
"""

import os
import sys
from importlib import import_module

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

GPT, CLAUDE = "gpt-4o", "claude-sonnet-4-20250514"
QUESTION = "Name three colours."
INSTRUMENTATIONS = {
    "httpx": "opentelemetry.instrumentation.httpx:HTTPXClientInstrumentor",
    "httpx2": "opentelemetry.instrumentation.httpx:HTTPX2ClientInstrumentor",
    "langchain": "opentelemetry.instrumentation.langchain:LangchainInstrumentor",
    "llamaindex": "opentelemetry.instrumentation.llamaindex:LlamaIndexInstrumentor",
    "OpenInference langchain": "openinference.instrumentation.langchain:LangChainInstrumentor",
    "OpenInference llama-index": "openinference.instrumentation.llama_index:LlamaIndexInstrumentor",
}


def openai(streamed):
    from openai import OpenAI

    answer = OpenAI().chat.completions.create(
        model=GPT, messages=[{"role": "user", "content": QUESTION}], stream=streamed
    )
    list(answer) if streamed else answer


def anthropic(streamed):
    from anthropic import Anthropic

    asked = dict(model=CLAUDE, max_tokens=16, messages=[{"role": "user", "content": QUESTION}])
    answer = Anthropic().messages.create(stream=streamed, **asked)
    list(answer) if streamed else answer


def langchain_openai(streamed):
    from langchain_openai import ChatOpenAI

    langchain(ChatOpenAI(model=GPT), streamed)


def langchain_anthropic(streamed):
    from langchain_anthropic import ChatAnthropic

    langchain(ChatAnthropic(model=CLAUDE), streamed)


def langchain(model, streamed):
    from langchain_core.prompts import ChatPromptTemplate

    chain = ChatPromptTemplate.from_messages([("user", "{question}")]) | model
    list(chain.stream({"question": QUESTION})) if streamed else chain.invoke({"question": QUESTION})


def llama_index(streamed):
    from llama_index.core.llms import ChatMessage
    from llama_index.llms.openai import OpenAI

    model, question = OpenAI(model=GPT), [ChatMessage(QUESTION)]
    list(model.stream_chat(question)) if streamed else model.chat(question)


def main(client, names):
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    for name in filter(None, map(str.strip, names.split(","))):
        module, kind = INSTRUMENTATIONS[name].split(":")
        getattr(import_module(module), kind)().instrument()
    # "openai 3, streamed" calls openai(), which uses the installed version.
    globals()[client.removesuffix(", streamed").split()[0].replace("-", "_")](client.endswith(", streamed"))
    provider.shutdown()


# Imports before the calls, because importing takes longer than calling.
for argument in sys.argv[1:]:
    client, names = argument.split(":")
    package = client.removesuffix(", streamed").split()[0].replace("-", "_")
    import_module("llama_index.llms.openai" if package == "llama_index" else package)
    for name in filter(None, map(str.strip, names.split(","))):
        import_module(INSTRUMENTATIONS[name].split(":")[0])

for argument in sys.argv[1:]:
    # An instrumentation cannot be removed, so each call runs in a process of its own.
    child = os.fork()
    if not child:
        main(*argument.split(":"))
        sys.exit()
    if os.waitpid(child, 0)[1]:
        sys.exit(f"{argument} failed")
