from telemetry import tracer

from anthropic import Anthropic

client = Anthropic()
question = [{"role": "user", "content": "Name three colours."}]


def print_tokens(usage):  # Anthropic excludes cached tokens from the input count, Gaugeway includes them
    cached = (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
    print("tokens", usage.input_tokens + cached, usage.output_tokens)


with tracer.start_as_current_span("message"):
    answer = client.messages.create(model="claude-sonnet-4-20250514", max_tokens=16, messages=question)
    print_tokens(answer.usage)

with tracer.start_as_current_span("message, streamed"):
    with client.messages.stream(model="claude-sonnet-4-20250514", max_tokens=16, messages=question) as stream:
        for text in stream.text_stream:
            pass
        print_tokens(stream.get_final_message().usage)
