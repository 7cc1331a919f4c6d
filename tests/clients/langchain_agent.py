from telemetry import tracer

from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_openai import ChatOpenAI
from opentelemetry.instrumentation.langchain import LangchainInstrumentor

LangchainInstrumentor().instrument()  # spans for the graph, models and tools


def temperature(city: str) -> float:
    """The temperature in a city, in degrees Celsius."""
    return 20.0


def fahrenheit(celsius: float) -> float:
    """Degrees Celsius as degrees Fahrenheit."""
    return celsius * 9 / 5 + 32


models = {
    "chat": ChatOpenAI(model="gpt-4o", stream_usage=True),
    "responses": ChatOpenAI(model="gpt-4o", use_responses_api=True),
    "previous response": ChatOpenAI(model="gpt-4o", use_responses_api=True, use_previous_response_id=True),
    "messages": ChatAnthropic(model="claude-sonnet-4-20250514"),
}
question = {"messages": [("user", "How warm is it in Bern and in Oslo, in Fahrenheit?")]}


def print_tokens(messages):
    for message in messages:
        if message.type == "ai":
            print("tokens", message.usage_metadata["input_tokens"], message.usage_metadata["output_tokens"])


for name, model in models.items():
    agent = create_agent(model, tools=[temperature, fahrenheit])
    with tracer.start_as_current_span(name):
        print_tokens(agent.invoke(question)["messages"])

    with tracer.start_as_current_span(f"{name}, streamed"):
        state = None
        for kind, part in agent.stream(question, stream_mode=["messages", "values"]):
            if kind == "values":
                state = part
        print_tokens(state["messages"])
