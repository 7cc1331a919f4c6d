"""Spans of this process, sent to OTEL_EXPORTER_OTLP_ENDPOINT, and the traceparent header on every HTTP call to a model."""

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor, HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("my-agent")

HTTPXClientInstrumentor().instrument()   # openai before 3
HTTPX2ClientInstrumentor().instrument()  # openai from 3 on, anthropic from 2 on, google-genai from 3 on
