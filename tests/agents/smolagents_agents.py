"""smolagents: ToolCallingAgent and CodeAgent over chat completions."""

from smolagents import CodeAgent, OpenAIServerModel, ToolCallingAgent, tool
from smolagents.memory import ActionStep
from smolagents.models import ChatMessageStreamDelta

import scenario as s


def model(run):
    options = {"default_headers": run.headers}
    return OpenAIServerModel("gpt-4o", api_base=s.GATEWAY + "/v1", api_key="key", client_kwargs=options)


TOOLS = [tool(one) for one in (s.temperature, s.humidity, s.broken, s.kill)]


def go(agent, stop=False):
    """Runs an agent and returns the number of its steps. `stop` closes the stream of the first text."""
    steps = 0
    events = agent.run("How warm is it in Bern and Oslo?", stream=True)
    for part in events:
        steps += isinstance(part, ActionStep)
        if stop and steps and isinstance(part, ChatMessageStreamDelta) and part.content:
            try:
                events.close()
            except RuntimeError:  # smolagents yields once more
                pass
            break
    return steps


def count(run, steps, status="completed"):
    """Results come back as texts of the user, so the gateway sees every step as a run."""
    for _ in range(steps - 1):
        run.ran("unknown", 1)
    run.ran(status, 1)


def code(text):
    return s.text(f"Thought: I write code.\n<code>\n{text}\n</code>")


def scenarios():
    final = s.calls(("final_answer", {"answer": "20 degrees"}))
    for streamed in (False, True):
        def tools(run, streamed=streamed):
            count(run, go(ToolCallingAgent(TOOLS, model(run), stream_outputs=streamed, verbosity_level=0)))

        def coder(run, streamed=streamed):
            # Code is a text to the gateway, so there are no runs.
            go(CodeAgent(TOOLS, model(run), stream_outputs=streamed, verbosity_level=0))
            run.tools.clear()

        def managed(run, streamed=streamed):
            expert = ToolCallingAgent(
                TOOLS, model(run), name="expert", description="Knows the weather.", stream_outputs=streamed,
                verbosity_level=0,
            )
            boss = ToolCallingAgent([], model(run), managed_agents=[expert], stream_outputs=streamed, verbosity_level=0)
            count(run, go(boss))
            count(run, 3)

        def cancelled(run):
            steps = go(ToolCallingAgent(TOOLS, model(run), stream_outputs=True, verbosity_level=0), stop=True)
            count(run, steps + 1, "cancelled")

        end = ".streamed" if streamed else ""
        yield f"tools.plain{end}", s.PLAIN[:-1] + [final], tools
        yield f"tools.parallel{end}", s.PARALLEL[:-1] + [final], tools
        yield f"tools.failing{end}", s.FAILING[:-1] + [final], tools
        yield f"tools.retries{end}", s.RETRIES[:-1] + [final], tools
        yield f"tools.agent_tool{end}", [s.calls(("expert", {"task": "Bern?"}))] + s.PLAIN[:-1] + [final, final], managed
        yield f"code.plain{end}", [
            code('print(temperature("Bern"))'), code('print(humidity("Bern"))'), code('final_answer("20 degrees")'),
        ], coder
        yield f"code.failing{end}", [code('print(broken("Bern"))'), code('final_answer("20 degrees")')], coder
        if streamed:
            yield f"tools.cancelled{end}", s.CANCELLED, cancelled
    yield "tools.killed", s.KILLED, tools


s.main("smolagents", scenarios(), text_results=True)
