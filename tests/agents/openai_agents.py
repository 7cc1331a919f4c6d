"""OpenAI Agents SDK over chat completions, Responses, and Responses with previous_response_id."""

from agents import (
    Agent, ModelSettings, OpenAIChatCompletionsModel, OpenAIResponsesModel, RunConfig, Runner, function_tool,
    set_tracing_disabled,
)
from agents.run import CallModelData, ModelInputData
from openai import AsyncOpenAI
from pydantic import BaseModel

import scenario as s

set_tracing_disabled(True)


class Weather(BaseModel):
    city: str
    degrees: float


def model(run, api):
    client = AsyncOpenAI(base_url=s.GATEWAY + "/v1", api_key="key", default_headers=run.headers)
    return OpenAIChatCompletionsModel("gpt-4o", client) if api == "chat" else OpenAIResponsesModel("gpt-4o", client)


TOOLS = [function_tool(tool) for tool in (s.temperature, s.humidity, s.broken, s.kill)]


async def go(run, agent, api, streamed, question="How warm is it in Bern and Oslo?", **options):
    options["auto_previous_response_id"] = api == "previous"
    if not streamed:
        result = await Runner.run(agent, question, **options)
    else:
        result = Runner.run_streamed(agent, question, **options)
        async for _ in result.stream_events():
            pass
    run.ran("completed", len(result.raw_responses))
    return result


def scenarios():
    for api in ("chat", "responses", "previous"):
        for streamed in (False, True):
            def agent(run, api=api, **options):
                return Agent("weather", instructions="Answer with your tools.", model=model(run, api), tools=TOOLS, **options)

            def plain(run, agent=agent, api=api, streamed=streamed):
                return go(run, agent(run), api, streamed)

            def handoff(run, agent=agent, api=api, streamed=streamed):
                expert = agent(run)
                first = Agent("triage", instructions="Hand over.", model=model(run, api), handoffs=[expert])
                return go(run, first, api, streamed)

            async def agent_tool(run, agent=agent, api=api, streamed=streamed):
                async def extract(result):
                    run.ran("completed", len(result.raw_responses))
                    return result.final_output
                expert = agent(run).as_tool("ask_expert", "Asks an expert.", custom_output_extractor=extract)
                first = Agent("boss", instructions="Delegate.", model=model(run, api), tools=[expert])
                await go(run, first, api, streamed)

            def structured(run, agent=agent, api=api, streamed=streamed):
                return go(run, agent(run, output_type=Weather), api, streamed)

            def trimmed(run, agent=agent, api=api, streamed=streamed):
                def last(data: CallModelData) -> ModelInputData:
                    given = data.model_data
                    return ModelInputData(input=given.input[:1] + given.input[1:][-2:], instructions=given.instructions)
                return go(run, agent(run), api, streamed, run_config=RunConfig(call_model_input_filter=last))

            async def cancelled(run, agent=agent, api=api):
                result = Runner.run_streamed(agent(run), "How warm?", auto_previous_response_id=api == "previous")
                async for event in result.stream_events():
                    if event.type == "raw_response_event" and "delta" in event.data.type and "text" in event.data.type:
                        result.cancel()
                run.ran("cancelled", len(result.raw_responses) + 1)

            end = ".streamed" if streamed else ""
            yield f"{api}.plain{end}", s.PLAIN, plain
            yield f"{api}.parallel{end}", s.PARALLEL, plain
            yield f"{api}.failing{end}", s.FAILING, plain
            yield f"{api}.retries{end}", s.RETRIES, plain
            yield f"{api}.handoff{end}", [s.calls(("transfer_to_weather", {}))] + s.PLAIN, handoff
            yield f"{api}.agent_tool{end}", [s.calls(("ask_expert", {"input": "Bern?"}))] + s.PLAIN + [s.text()], agent_tool
            yield f"{api}.structured{end}", s.PLAIN[:-1] + [s.text('{"city": "Bern", "degrees": 20}')], structured
            if api != "previous":
                yield f"{api}.trimmed{end}", s.TRIMMED, trimmed
            if streamed:
                yield f"{api}.cancelled{end}", s.CANCELLED, cancelled
    yield "chat.killed", s.KILLED, lambda run: go(run, agent(run, "chat"), "chat", False)


s.main("openai_agents", scenarios())
