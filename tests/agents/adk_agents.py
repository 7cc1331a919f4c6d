"""Google's Agent Development Kit over Gemini's generateContent."""

from google.adk.agents import LlmAgent, RunConfig
from google.adk.agents.run_config import StreamingMode
from google.adk.models import Gemini
from google.adk.runners import InMemoryRunner
from google.adk.tools.agent_tool import AgentTool
from google.genai import types
from pydantic import BaseModel

import scenario as s


class Weather(BaseModel):
    city: str
    degrees: float


def model(run):
    return Gemini(
        model="gemini-2.5-flash", base_url=s.GATEWAY, client_kwargs={"api_key": "key"},
        retry_options=types.HttpRetryOptions(attempts=3, initial_delay=0.2),
    )


def failing(city: str) -> dict:
    """Returns the pressure in a city."""
    try:
        return {"pressure": s.broken(city)}
    except ValueError as error:
        return {"error": str(error)}


failing.__name__ = "broken"
TOOLS = [s.temperature, s.humidity, failing, s.kill]


def agent(run, **options):
    headers = types.GenerateContentConfig(http_options=types.HttpOptions(headers=run.headers))
    options = {"name": "weather", "instruction": "Answer with your tools.", "tools": TOOLS, **options}
    return LlmAgent(model=model(run), generate_content_config=headers, **options)


async def go(run, root, streamed, stop=False, apart=None):
    """Runs an agent. The model calls of the agent named `apart` are a run of their own."""
    runner = InMemoryRunner(agent=root, app_name="app")
    session = await runner.session_service.create_session(app_name="app", user_id="user")
    question = types.Content(role="user", parts=[types.Part(text="How warm is it in Bern and Oslo?")])
    mode = RunConfig(streaming_mode=StreamingMode.SSE if streamed else StreamingMode.NONE)
    models, others = 0, 0
    events = runner.run_async(user_id="user", session_id=session.id, new_message=question, run_config=mode)
    async for event in events:
        if event.usage_metadata and not event.partial:
            others += event.author == apart
            models += event.author != apart
        if stop and event.partial and event.content.parts[0].text:
            await events.aclose()
            run.ran("cancelled", models + 1)
            return
    if apart:
        # The handover reaches the model as a text of the user.
        run.ran("unknown", others)
    run.ran("completed", models)


def scenarios():
    for streamed in (False, True):
        def plain(run, streamed=streamed):
            return go(run, agent(run), streamed)

        def handoff(run, streamed=streamed):
            expert = agent(run, description="Knows the weather.")
            return go(run, agent(run, name="triage", instruction="Hand over.", tools=[], sub_agents=[expert]), streamed, apart="triage")

        def agent_tool(run, streamed=streamed):
            models = []

            def asked(callback_context, llm_response):
                if not llm_response.partial:
                    models.append(llm_response)
                    if not llm_response.get_function_calls():
                        run.ran("completed", len(models))
            expert = AgentTool(agent(run, description="Knows the weather.", after_model_callback=asked))
            return go(run, agent(run, name="boss", instruction="Delegate.", tools=[expert]), streamed)

        def structured(run, streamed=streamed):
            return go(run, agent(run, output_schema=Weather), streamed)

        def cancelled(run):
            return go(run, agent(run), True, stop=True)

        def trimmed(run, streamed=streamed):
            def last(callback_context, llm_request):
                llm_request.contents = llm_request.contents[:1] + llm_request.contents[1:][-2:]
            return go(run, agent(run, before_model_callback=last), streamed)

        end = ".streamed" if streamed else ""
        yield f"gemini.plain{end}", s.PLAIN, plain
        yield f"gemini.parallel{end}", s.PARALLEL, plain
        yield f"gemini.failing{end}", s.FAILING, plain
        yield f"gemini.retries{end}", s.RETRIES, plain
        yield f"gemini.handoff{end}", [s.calls(("transfer_to_agent", {"agent_name": "weather"}))] + s.PLAIN, handoff
        yield f"gemini.agent_tool{end}", [s.calls(("weather", {"request": "Bern?"}))] + s.PLAIN + [s.text()], agent_tool
        yield f"gemini.structured{end}", s.PLAIN[:-1] + [s.calls(("set_model_response", {"city": "Bern", "degrees": 20}))], structured
        yield f"gemini.ids{end}", [{**step, "ids": True} for step in s.PARALLEL], plain
        yield f"gemini.trimmed{end}", s.TRIMMED, trimmed
        if streamed:
            yield f"gemini.cancelled{end}", s.CANCELLED, cancelled
    yield "gemini.killed", s.KILLED, lambda run: go(run, agent(run), False)


s.main("google_adk", scenarios())
