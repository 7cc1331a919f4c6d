from telemetry import tracer

from langchain_anthropic import ChatAnthropic
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from opentelemetry.instrumentation.langchain import LangchainInstrumentor

LangchainInstrumentor().instrument()  # spans for chains, models and tools

prompt = ChatPromptTemplate.from_messages([("user", "{question}")])
models = {
    "ChatOpenAI": ChatOpenAI(model="gpt-4o", max_tokens=16, stream_usage=True),
    "ChatAnthropic": ChatAnthropic(model="claude-sonnet-4-20250514", max_tokens=16),
}

for name, model in models.items():
    chain = prompt | model
    with tracer.start_as_current_span(name):
        answer = chain.invoke({"question": "Name three colours."})
        print("tokens", answer.usage_metadata["input_tokens"], answer.usage_metadata["output_tokens"])

    with tracer.start_as_current_span(f"{name}, streamed"):
        answer = None
        for chunk in chain.stream({"question": "Name three colours."}):
            answer = chunk if answer is None else answer + chunk
        print("tokens", answer.usage_metadata["input_tokens"], answer.usage_metadata["output_tokens"])
