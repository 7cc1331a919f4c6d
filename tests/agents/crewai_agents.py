"""CrewAI with its own client of chat completions."""

from crewai import Agent, Crew, LLM, Task
from crewai.tools import tool
from pydantic import BaseModel

import scenario as s


class Weather(BaseModel):
    city: str
    degrees: float


def model(run, streamed):
    return LLM(
        model="openai/gpt-4o", base_url=s.GATEWAY + "/v1", api_key="key", default_headers=run.headers, stream=streamed
    )


TOOLS = [tool(one) for one in (s.temperature, s.humidity, s.broken, s.kill)]


def agent(run, streamed, **options):
    options = {"role": "Weather expert", "goal": "Answer.", "backstory": "You know the weather.", "tools": TOOLS, **options}
    return Agent(llm=model(run, streamed), verbose=False, cache=False, **options)


async def go(run, agents, asked=0, **options):
    """Runs a crew. `asked` is the number of model calls of an agent that another one asks, which is a run of its own."""
    task = Task(description="How warm is it in Bern and Oslo?", expected_output="A sentence.", agent=agents[0], **options)
    crew = Crew(agents=agents, tasks=[task], cache=False)
    output = await crew.akickoff()
    if asked:
        run.ran("completed", asked)
    run.ran("completed", output.token_usage.successful_requests - asked)


def scenarios():
    for streamed in (False, True):
        def plain(run, streamed=streamed):
            return go(run, [agent(run, streamed)])

        def structured(run, streamed=streamed):
            return go(run, [agent(run, streamed)], output_pydantic=Weather)

        def ask(run, streamed=streamed):
            boss = agent(run, streamed, role="Boss", tools=[], allow_delegation=True)
            return go(run, [boss, agent(run, streamed)], asked=3)

        end = ".streamed" if streamed else ""
        yield f"chat.plain{end}", s.PLAIN, plain
        yield f"chat.parallel{end}", s.PARALLEL, plain
        yield f"chat.failing{end}", s.FAILING, plain
        yield f"chat.retries{end}", s.RETRIES, plain
        question = {"question": "Bern?", "context": "None.", "coworker": "Weather expert"}
        yield f"chat.agent_tool{end}", [s.calls(("ask_question_to_coworker", question))] + s.PLAIN + [s.text()], ask
        yield f"chat.structured{end}", s.PLAIN[:-1] + [s.text('{"city": "Bern", "degrees": 20}')], structured
    yield "chat.killed", s.KILLED, lambda run: plain(run, False)


s.main("crewai", scenarios())
