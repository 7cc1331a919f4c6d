"""AutoGen's AgentChat over chat completions."""

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import Handoff, TaskResult
from autogen_agentchat.conditions import TextMentionTermination
from autogen_agentchat.messages import ModelClientStreamingChunkEvent
from autogen_agentchat.teams import Swarm
from autogen_agentchat.tools import AgentTool
from autogen_core import CancellationToken
from autogen_core.model_context import BufferedChatCompletionContext
from autogen_core.tools import FunctionTool
from autogen_ext.models.openai import OpenAIChatCompletionClient
from pydantic import BaseModel

import scenario as s

QUESTION = "How warm is it in Bern and Oslo?"


class Weather(BaseModel):
    city: str
    degrees: float


def model(run, **options):
    return OpenAIChatCompletionClient(
        model="gpt-4o", base_url=s.GATEWAY + "/v1", api_key="key", default_headers=run.headers, **options
    )


TOOLS = [s.temperature, s.humidity, s.broken, s.kill]


def agent(run, streamed, **options):
    options = {"name": "weather", "tools": TOOLS, "system_message": "Answer with your tools.", **options}
    options.setdefault("max_tool_iterations", 10)
    return AssistantAgent(model_client=model(run), model_client_stream=streamed, reflect_on_tool_use=False, **options)


async def go(run, team, apart=None):
    """Runs a team. The model calls of the agent named `apart` are a run of their own."""
    models = {}
    async for message in team.run_stream(task=QUESTION):
        if not isinstance(message, TaskResult) and message.models_usage:
            who = message.source == apart
            models[who] = models.get(who, 0) + 1
    return models


def scenarios():
    for streamed in (False, True):
        async def plain(run, streamed=streamed, **options):
            run.ran("completed", (await go(run, agent(run, streamed, **options)))[False])

        def structured(run, streamed=streamed):
            # AutoGen's answers in JSON need strict tools.
            tools = [FunctionTool(tool, tool.__doc__, strict=True) for tool in TOOLS]
            return plain(run, streamed, tools=tools, output_content_type=Weather)

        def trimmed(run, streamed=streamed):
            return plain(run, streamed, model_context=BufferedChatCompletionContext(buffer_size=3))

        async def handoff(run, streamed=streamed):
            expert = agent(run, streamed, description="Knows the weather.")
            triage = agent(
                run, streamed, name="triage", tools=[], handoffs=[Handoff(target="weather")], system_message="Hand over."
            )
            swarm = Swarm([triage, expert], termination_condition=TextMentionTermination("Oslo has"))
            models = await go(run, swarm, apart="triage")
            # The handover reaches the model as a text of the user.
            run.ran("unknown", models[True])
            run.ran("completed", models[False])

        async def agent_tool(run, streamed=streamed):
            expert = AgentTool(agent(run, streamed, description="Knows the weather."))
            models = await go(run, agent(run, streamed, name="boss", tools=[expert], system_message="Delegate."), apart="boss")
            run.ran("completed", models[False])
            run.ran("completed", models[True])

        async def cancelled(run):
            stop = CancellationToken()
            try:
                async for message in agent(run, True).run_stream(task=QUESTION, cancellation_token=stop):
                    if isinstance(message, ModelClientStreamingChunkEvent):
                        stop.cancel()
            except BaseException as error:
                if type(error).__name__ != "CancelledError":
                    raise
            run.ran("cancelled", 2)

        end = ".streamed" if streamed else ""
        yield f"chat.plain{end}", s.PLAIN, plain
        yield f"chat.parallel{end}", s.PARALLEL, plain
        yield f"chat.failing{end}", s.FAILING, plain
        yield f"chat.retries{end}", s.RETRIES, plain
        yield f"chat.handoff{end}", [s.calls(("transfer_to_weather", {}))] + s.PLAIN, handoff
        yield f"chat.agent_tool{end}", [s.calls(("weather", {"task": "Bern?"}))] + s.PLAIN + [s.text()], agent_tool
        yield f"chat.structured{end}", s.PLAIN[:-1] + [s.text('{"city": "Bern", "degrees": 20}')], structured
        yield f"chat.trimmed{end}", s.TRIMMED, trimmed
        if streamed:
            yield f"chat.cancelled{end}", s.CANCELLED, cancelled
    yield "chat.killed", s.KILLED, plain


s.main("autogen", scenarios(), text_failures=True)
