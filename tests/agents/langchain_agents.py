"""LangChain's create_agent and LangGraph over chat completions, Responses and Messages."""

from langchain.agents import create_agent
from langchain.agents.middleware import wrap_model_call, wrap_tool_call
from langchain.agents.structured_output import ToolStrategy
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import ToolMessage
from langchain_openai import ChatOpenAI
from langgraph.prebuilt import ToolNode
from langgraph.graph import MessagesState, StateGraph
from pydantic import BaseModel

import scenario as s

QUESTION = {"messages": [("user", "How warm is it in Bern and Oslo?")]}


class Weather(BaseModel):
    """The weather in a city."""

    city: str
    degrees: float


def model(run, api):
    if api == "messages":
        return ChatAnthropic(
            model="claude-sonnet-4-20250514", base_url=s.GATEWAY, api_key="key", default_headers=run.headers
        )
    options = {"base_url": s.GATEWAY + "/v1", "api_key": "key", "default_headers": run.headers}
    if api == "chat":
        return ChatOpenAI(model="gpt-4o", **options)
    return ChatOpenAI(
        model="gpt-4o", use_responses_api=True, use_previous_response_id=api == "previous", **options
    )


@wrap_tool_call
async def tell_the_model(request, handler):
    """Gives the model the error, as LangChain's documentation shows."""
    try:
        return await handler(request)
    except ValueError as error:
        return ToolMessage(f"Error: {error}", tool_call_id=request.tool_call["id"], status="error")


@wrap_model_call
async def keep_last(request, handler):
    """Sends the question and the last step only."""
    return await handler(request.override(messages=request.messages[:1] + request.messages[1:][-2:]))


TOOLS = [s.temperature, s.humidity, s.broken, s.kill]


async def go(run, agent, streamed):
    if not streamed:
        state = await agent.ainvoke(QUESTION)
    else:
        state = None
        async for kind, part in agent.astream(QUESTION, stream_mode=["messages", "values"]):
            if kind == "values":
                state = part
    run.ran("completed", sum(1 for message in state["messages"] if message.type == "ai"))
    return state


def graph(run, api):
    """The graph of LangGraph's first tutorial: a model, its tools and an edge back."""
    bound = model(run, api).bind_tools(TOOLS)

    async def chat(state: MessagesState):
        return {"messages": [await bound.ainvoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("chat", chat)
    builder.add_node("tools", ToolNode(TOOLS, handle_tool_errors=True))
    builder.set_entry_point("chat")
    builder.add_conditional_edges("chat", lambda state: "tools" if state["messages"][-1].tool_calls else "__end__")
    builder.add_edge("tools", "chat")
    return builder.compile()


def scenarios():
    for api in ("chat", "responses", "previous", "messages"):
        for streamed in (False, True):
            def agent(run, api=api, **options):
                options.setdefault("middleware", [tell_the_model])
                return create_agent(model(run, api), TOOLS, system_prompt="Answer with your tools.", **options)

            def plain(run, agent=agent, streamed=streamed):
                return go(run, agent(run), streamed)

            def langgraph(run, api=api, streamed=streamed):
                return go(run, graph(run, api), streamed)

            def structured(run, agent=agent, streamed=streamed):
                return go(run, agent(run, response_format=ToolStrategy(Weather)), streamed)

            def native(run, agent=agent, streamed=streamed):
                return go(run, agent(run, response_format=Weather), streamed)

            def trimmed(run, agent=agent, streamed=streamed):
                return go(run, agent(run, middleware=[keep_last]), streamed)

            async def cancelled(run, agent=agent):
                parts = agent(run).astream(QUESTION, stream_mode="messages")
                async for part, _ in parts:
                    if "AIMessage" in type(part).__name__ and part.text:
                        await parts.aclose()
                run.ran("cancelled", 2)

            end = ".streamed" if streamed else ""
            tool_answer = s.calls(("Weather", {"city": "Bern", "degrees": 20}))
            yield f"{api}.plain{end}", s.PLAIN, plain
            yield f"{api}.parallel{end}", s.PARALLEL, plain
            yield f"{api}.failing{end}", s.FAILING, plain
            yield f"{api}.retries{end}", s.RETRIES, plain
            yield f"{api}.graph{end}", s.PARALLEL, langgraph
            yield f"{api}.graph_failing{end}", s.FAILING, langgraph
            yield f"{api}.structured{end}", s.PLAIN[:-1] + [tool_answer], structured
            if api != "messages":
                yield f"{api}.structured_native{end}", s.PLAIN[:-1] + [s.text('{"city": "Bern", "degrees": 20}')], native
            if api != "previous":
                yield f"{api}.trimmed{end}", s.TRIMMED, trimmed
            if streamed:
                yield f"{api}.cancelled{end}", s.CANCELLED, cancelled
    yield "chat.killed", s.KILLED, lambda run: go(run, agent(run, "chat"), False)


s.main("langchain", scenarios())
