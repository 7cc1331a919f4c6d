import asyncio

from telemetry import tracer

from llama_index.core.agent.workflow import AgentOutput, FunctionAgent, ReActAgent
from llama_index.llms.openai import OpenAI
from opentelemetry.instrumentation.llamaindex import LlamaIndexInstrumentor

LlamaIndexInstrumentor().instrument()  # spans for workflows, their steps and models


def temperature(city: str) -> float:
    """The temperature in a city, in degrees Celsius."""
    return 20.0


def fahrenheit(celsius: float) -> float:
    """Degrees Celsius as degrees Fahrenheit."""
    return celsius * 9 / 5 + 32


llm = OpenAI(
    model="gpt-4o",
    additional_kwargs={"stream_options": {"include_usage": True}},  # else OpenAI sends no token counts in a stream
)


agents = {
    "function agent": FunctionAgent(llm=llm, tools=[temperature, fahrenheit], streaming=False),
    "function agent, streamed": FunctionAgent(llm=llm, tools=[temperature, fahrenheit]),
    "ReAct agent": ReActAgent(llm=llm, tools=[temperature, fahrenheit]),
}


async def main():
    for name, agent in agents.items():
        with tracer.start_as_current_span(name):
            run = agent.run("How warm is it in Bern and in Oslo, in Fahrenheit?")
            async for event in run.stream_events():
                if isinstance(event, AgentOutput):
                    print("tokens", event.raw["usage"]["prompt_tokens"], event.raw["usage"]["completion_tokens"])


asyncio.run(main())
