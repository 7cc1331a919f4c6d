"""Creates batches and a response in the background with the SDKs of four vendors, polls them, and downloads the results several
times, whole and in ranges. Each download has a client of its own, so that connections go to all of the gateway's workers."""

import sys
from contextlib import suppress

from anthropic import Anthropic
from google import genai
from google.genai import types
from mistralai.client import Mistral
from mistralai.client.errors import SDKError
from openai import OpenAI

gateway, times = sys.argv[1], int(sys.argv[2])
line = b'{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "gpt-4o", "messages": []}}\n'
part = {"Range": "bytes=100-8999"}
open_clients = []  # a client that is not kept closes its connection


def openai():
    return OpenAI(base_url=f"{gateway}/openai/v1", api_key="sk-late", max_retries=0)


def anthropic():
    return Anthropic(base_url=f"{gateway}/anthropic", api_key="sk-late", max_retries=0)


def gemini():
    open_clients.append(genai.Client(api_key="late", http_options=types.HttpOptions(base_url=f"{gateway}/gemini")))
    return open_clients[-1]


def mistral():
    open_clients.append(Mistral(api_key="late", server_url=f"{gateway}/mistral"))
    return open_clients[-1]


def poll(get, is_done):
    """The first answer is that of an unfinished job."""
    seen = [get(), get()]
    assert [is_done(one) for one in seen] == [False, True], seen
    return seen[1]


client = openai()
file = client.files.create(file=("in.jsonl", line), purpose="batch")
batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
batch = poll(lambda: openai().batches.retrieve(batch.id), lambda batch: batch.status == "completed")
answer = client.responses.create(model="gpt-4o", input="Write the log.", background=True)
assert answer.status == "queued"
poll(lambda: openai().responses.retrieve(answer.id), lambda answer: answer.status == "completed")
for _ in range(times):
    openai().files.content(batch.output_file_id, extra_headers=part).read()
    lines = openai().files.content(batch.output_file_id).text.splitlines()
    openai().files.content(batch.input_file_id).read()
    assert openai().responses.retrieve(answer.id).usage.input_tokens == 18
print("openai", len(lines))

client = anthropic()
request = {"custom_id": "1", "params": {"model": "claude-haiku-4-5", "max_tokens": 8, "messages": [{"role": "user", "content": "?"}]}}
batch = client.messages.batches.create(requests=[request])
poll(lambda: anthropic().messages.batches.retrieve(batch.id), lambda batch: batch.processing_status == "ended")
for _ in range(times):
    results = list(anthropic().messages.batches.results(batch.id))
print("anthropic", len(results))

client = gemini()
job = client.batches.create(model="gemini-2.5-flash", src=[{"contents": [{"parts": [{"text": "?"}], "role": "user"}]}])
job = poll(lambda: gemini().batches.get(name=job.name), lambda job: job.state.name == "JOB_STATE_SUCCEEDED")
for _ in range(times):
    job = gemini().batches.get(name=job.name)
    content = gemini().files.download(file="files/late-out")
print("gemini", len(job.dest.inlined_responses), len(content.splitlines()))

client = mistral()
file = client.files.upload(file={"file_name": "in.jsonl", "content": line}, purpose="batch")
job = client.batch.jobs.create(input_files=[file.id], model="mistral-small-latest", endpoint="/v1/chat/completions")
job = poll(lambda: mistral().batch.jobs.get(job_id=job.id), lambda job: job.status == "SUCCESS")
for _ in range(times):
    with suppress(SDKError):  # this SDK takes a part of a file for an error, after it has read it
        mistral().files.download(file_id=job.output_file, http_headers=part)
    content = mistral().files.download(file_id=job.output_file).read()
print("mistral", len(content.splitlines()))
