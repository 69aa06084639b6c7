"""Traces of requests by OpenTelemetry, whose packages are installed by those who want them."""

from wsgiref.types import WSGIApplication

from predict.settings import SettingsError

_PACKAGES = (
    "opentelemetry-sdk opentelemetry-exporter-otlp-proto-http opentelemetry-instrumentation-wsgi"
)


def traced(application: WSGIApplication) -> WSGIApplication:
    """Return an application whose every request is a span, part of the trace that its `traceparent` names.

    Spans go, by OTLP over HTTP, to where the variables of OpenTelemetry say, such as `OTEL_EXPORTER_OTLP_ENDPOINT`.

    Raises:
        SettingsError: The packages are not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise SettingsError(
            f"OPEN_TELEMETRY: {error}. Install the packages with `pip install {_PACKAGES}`, or leave the key out."
        ) from None
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    middleware: WSGIApplication = OpenTelemetryMiddleware(application, tracer_provider=provider)
    return middleware
