"""instructor: structured answers by a forced tool, by JSON mode, and with a second try after an invalid answer."""

import instructor
from openai import AsyncOpenAI
from pydantic import BaseModel

import scenario as s


class Weather(BaseModel):
    city: str
    degrees: float


def client(run, mode):
    return instructor.from_openai(
        AsyncOpenAI(base_url=s.GATEWAY + "/v1", api_key="key", default_headers=run.headers), mode=mode
    )


def scenarios():
    question = [{"role": "user", "content": "How warm is it in Bern?"}]
    answer = s.calls(("Weather", {"city": "Bern", "degrees": 20}))
    wrong = s.calls(("Weather", {"city": "Bern", "degrees": "warm"}))
    options = {"model": "gpt-4o", "messages": question, "max_retries": 2}

    async def tool(run, answers=1):
        run.traits["structured"] = answers
        await client(run, instructor.Mode.TOOLS).create(response_model=Weather, **options)

    async def json(run):
        run.traits["structured"] = 1
        await client(run, instructor.Mode.JSON).create(response_model=Weather, **options)

    async def partial(run):
        run.traits["structured"] = 1
        parts = client(run, instructor.Mode.TOOLS).create_partial(response_model=Weather, **options)
        async for _ in parts:
            pass

    yield "tools.structured", [answer], tool
    yield "tools.structured.streamed", [answer], partial
    yield "tools.second_try", [wrong, answer], lambda run: tool(run, answers=2)
    yield "tools.retries", [s.fail(429), answer], tool
    yield "json.structured", [s.text('{"city": "Bern", "degrees": 20}')], json


s.main("instructor", scenarios())
