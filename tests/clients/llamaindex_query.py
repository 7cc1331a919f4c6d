from telemetry import tracer

from llama_index.core import Document, Settings, VectorStoreIndex
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.llm import LLMChatEndEvent
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.openai import OpenAI
from opentelemetry.instrumentation.llamaindex import LlamaIndexInstrumentor

LlamaIndexInstrumentor().instrument()  # spans for queries, retrieval, synthesis and models

Settings.embed_model = OpenAIEmbedding(model="text-embedding-3-small")
Settings.llm = OpenAI(
    model="gpt-4o", max_tokens=16,
    additional_kwargs={"stream_options": {"include_usage": True}},  # else OpenAI sends no token counts in a stream
)



class PrintTokens(BaseEventHandler):
    def handle(self, event):
        if isinstance(event, LLMChatEndEvent):
            print("tokens", event.response.raw.usage.prompt_tokens, event.response.raw.usage.completion_tokens)


get_dispatcher().add_event_handler(PrintTokens())

with tracer.start_as_current_span("index"):
    index = VectorStoreIndex.from_documents([Document(text="Bern lies on the Aare."), Document(text="Oslo lies on a fjord.")])

with tracer.start_as_current_span("query"):
    print(index.as_query_engine().query("Where does Bern lie?"))

with tracer.start_as_current_span("query, streamed"):
    index.as_query_engine(streaming=True).query("Where does Bern lie?").print_response_stream()
