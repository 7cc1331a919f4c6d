from telemetry import tracer

from openai import OpenAI

client = OpenAI()
question = "Name three colours."

with tracer.start_as_current_span("chat"):
    answer = client.chat.completions.create(
        model="gpt-4o", max_tokens=16, messages=[{"role": "user", "content": question}]
    )
    print("tokens", answer.usage.prompt_tokens, answer.usage.completion_tokens)

with tracer.start_as_current_span("chat, streamed"):
    chunks = client.chat.completions.create(
        model="gpt-4o", max_tokens=16, messages=[{"role": "user", "content": question}],
        stream=True, stream_options={"include_usage": True},  # else OpenAI sends no token counts
    )
    for chunk in chunks:
        if chunk.usage:
            print("tokens", chunk.usage.prompt_tokens, chunk.usage.completion_tokens)

with tracer.start_as_current_span("response"):
    answer = client.responses.create(model="gpt-4o", max_output_tokens=16, input=question)
    print("tokens", answer.usage.input_tokens, answer.usage.output_tokens)

with tracer.start_as_current_span("response, streamed"):
    for event in client.responses.create(model="gpt-4o", max_output_tokens=16, input=question, stream=True):
        if event.type == "response.completed":
            print("tokens", event.response.usage.input_tokens, event.response.usage.output_tokens)
