"""OpenAI's SDK: `openai_client.py ADDRESS`. A session of Responses and one of Realtime. Prints the tokens of each response."""

import sys

from openai import OpenAI

address = sys.argv[1]
client = OpenAI(api_key="none", base_url=f"http://{address}/v1", websocket_base_url=f"ws://{address}/v1")


def tokens(usage):
    print("tokens", usage.input_tokens, usage.output_tokens, flush=True)


with client.responses.connect() as socket:
    for text in ["Is it windy?", "long: Is it cold?"]:
        socket.response.create(model="gpt-5.5", input=text)
        for event in socket:
            if event.type == "response.completed":
                tokens(event.response.usage)
                break

with client.realtime.connect(model="gpt-realtime") as socket:
    transcription = {"model": "gpt-4o-transcribe"}
    socket.session.update(session={"type": "realtime", "audio": {"input": {"transcription": transcription}}})
    for text in ["Is it windy?", "Use the tool.", "I cancel this.", ""]:
        if text:
            content = [{"type": "input_text", "text": text}]
            socket.conversation.item.create(item={"type": "message", "role": "user", "content": content})
        else:
            socket.input_audio_buffer.append(audio="AAAA" * 1600)
            socket.input_audio_buffer.commit()
        socket.response.create()
        for event in socket:
            if event.type == "conversation.item.input_audio_transcription.completed":
                tokens(event.usage)
            if event.type == "response.output_audio.delta" and "cancel" in text:
                socket.response.cancel(response_id=event.response_id)
                text = ""
            if event.type == "response.done":
                tokens(event.response.usage)
                break
