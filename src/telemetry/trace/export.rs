//! Export of spans: the provider of the OpenTelemetry SDK, its exporter and their metrics.
//!
//! The SDK's batch processor collects spans in a bounded queue and exports them on a thread of its own, without an
//! async runtime. The HTTP client belongs to an arbiter. Requests are therefore sent over a channel to an asynchronous task
//! on that arbiter, and the exporting thread blocks until the response arrives or the time limit is reached. The SDK itself
//! logs nothing here; [`Watched`] logs the first failure and the recovery.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, IdGenerator, Sampler, SdkTracerProvider, Span, SpanData,
    SpanExporter, SpanProcessor,
};
use slog::{Logger, info, o, warn};
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::config::{TelemetrySettings, TraceExporter, TraceSampler};
use crate::error::{Error, Result};
use crate::telemetry::labels::label_values;
use crate::telemetry::metrics::Metrics;

label_values! {
    /// The label `result` of `trace_spans_exported_total`.
    pub enum ExportResult {
        Exported = "exported",
        Failed = "failed",
    }
}

/// Responses of collectors are short; a longer one is an error.
const MAX_RESPONSE_BYTES: usize = 64 * 1024;

/// The provider for the configured exporter; `None` if traces are off.
pub(super) fn provider(
    settings: &TelemetrySettings,
    instance: &str,
    clock: &Clock,
    metrics: &Arc<Metrics>,
    logger: &Logger,
) -> Result<Option<SdkTracerProvider>> {
    let exporter = match settings.traces {
        TraceExporter::Off => return Ok(None),
        TraceExporter::Console => Exporter::Console(opentelemetry_stdout::SpanExporter::default()),
        TraceExporter::Otlp => Exporter::Otlp(Box::new(otlp(settings)?)),
    };
    let watched = Watched {
        exporter,
        failing: AtomicBool::new(false),
        metrics: Arc::clone(metrics),
        logger: logger.new(o!("logger" => "traces")),
    };
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(settings.max_queued_spans)
        .with_max_export_batch_size(settings.max_queued_spans.min(512))
        .with_scheduled_delay(Duration::from_millis(settings.export_interval_ms))
        .build();
    let processor = BatchSpanProcessor::builder(watched).with_batch_config(batches).build();
    let resource = Resource::builder()
        .with_service_name(settings.service_name.clone())
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", instance.to_owned()),
        ])
        .build();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(Counted { processor, metrics: Arc::clone(metrics) })
        .with_sampler(sampler(settings))
        .with_id_generator(Ids(clock.clone()))
        .with_resource(resource)
        .build();
    Ok(Some(provider))
}

fn sampler(settings: &TelemetrySettings) -> Sampler {
    let parent_based = |root| Sampler::ParentBased(Box::new(root));
    let ratio = Sampler::TraceIdRatioBased(settings.sampler_ratio);
    match settings.sampler {
        TraceSampler::AlwaysOn => Sampler::AlwaysOn,
        TraceSampler::AlwaysOff => Sampler::AlwaysOff,
        TraceSampler::Ratio => ratio,
        TraceSampler::ParentBasedAlwaysOn => parent_based(Sampler::AlwaysOn),
        TraceSampler::ParentBasedAlwaysOff => parent_based(Sampler::AlwaysOff),
        TraceSampler::ParentBasedRatio => parent_based(ratio),
    }
}

fn otlp(settings: &TelemetrySettings) -> Result<opentelemetry_otlp::SpanExporter> {
    let limit = Duration::from_millis(settings.export_timeout_ms);
    opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(ArbiterClient::start(limit))
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(settings.traces_endpoint())
        .with_headers(settings.headers()?.into_iter().collect())
        .with_timeout(limit)
        .build()
        .map_err(|error| Error::configuration(format_args!("the exporter of telemetry.traces: {error}")))
}

/// The identifiers of spans, from the injected source of randomness.
#[derive(Debug)]
struct Ids(Clock);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        TraceId::from_bytes(self.0.random_bytes())
    }

    fn new_span_id(&self) -> SpanId {
        SpanId::from_bytes(self.0.random_bytes())
    }
}

#[derive(Debug)]
enum Exporter {
    Otlp(Box<opentelemetry_otlp::SpanExporter>),
    Console(opentelemetry_stdout::SpanExporter),
}

impl Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        match self {
            Self::Otlp(exporter) => exporter.export(batch).await,
            Self::Console(exporter) => exporter.export(batch).await,
        }
    }
}

/// An exporter whose results are counted and whose outages are logged.
struct Watched {
    exporter: Exporter,
    failing: AtomicBool,
    metrics: Arc<Metrics>,
    logger: Logger,
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.exporter.fmt(f)
    }
}

impl SpanExporter for Watched {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let result = self.exporter.export(batch).await;
        let label = if result.is_ok() { ExportResult::Exported } else { ExportResult::Failed };
        self.metrics.trace_spans_exported_total.with_label_values(&[label.as_str()]).inc_by(spans);
        let was_failing = self.failing.swap(result.is_err(), Ordering::Relaxed);
        match &result {
            Err(error) if !was_failing => {
                warn!(self.logger, "trace export failed: spans are dropped"; "cause" => %error);
            }
            Ok(()) if was_failing => info!(self.logger, "trace export works again"),
            Ok(()) | Err(_) => {}
        }
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        match &self.exporter {
            Exporter::Otlp(exporter) => exporter.shutdown_with_timeout(timeout),
            Exporter::Console(exporter) => exporter.shutdown_with_timeout(timeout),
        }
    }

    fn set_resource(&mut self, resource: &Resource) {
        match &mut self.exporter {
            Exporter::Otlp(exporter) => exporter.set_resource(resource),
            Exporter::Console(exporter) => exporter.set_resource(resource),
        }
    }
}

/// A processor that counts finished spans. The spans that [`Watched`] does not count were dropped because the queue was
/// full.
#[derive(Debug)]
struct Counted<P> {
    processor: P,
    metrics: Arc<Metrics>,
}

impl<P: SpanProcessor> SpanProcessor for Counted<P> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.processor.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        self.metrics.trace_spans_finished_total.inc();
        self.processor.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.processor.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.processor.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.processor.set_resource(resource);
    }
}

type Exchange = (Request<Bytes>, oneshot::Sender<Result<Response<Bytes>, String>>);

/// The client that the exporting thread uses.
#[derive(Debug)]
struct ArbiterClient {
    requests: mpsc::Sender<Exchange>,
}

impl ArbiterClient {
    /// Starts an asynchronous task with the actual HTTP client on the current arbiter. The task ends when this client is
    /// dropped.
    fn start(limit: Duration) -> Self {
        let (requests, mut waiting) = mpsc::channel::<Exchange>(1);
        actix_rt::spawn(async move {
            // awc needs the process's crypto provider. An error means that one is already installed.
            let _ = rustls::crypto::ring::default_provider().install_default();
            let client = awc::Client::builder().disable_timeout().disable_redirects().finish();
            while let Some((request, reply)) = waiting.recv().await {
                let sent = tokio::time::timeout(limit, send(&client, request)).await;
                let response = sent.unwrap_or_else(|_elapsed| Err(format!("no response within {limit:?}")));
                // The receiver is gone only if the process is stopping.
                let _ = reply.send(response);
            }
        });
        Self { requests }
    }
}

#[async_trait]
impl HttpClient for ArbiterClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (reply, response) = oneshot::channel();
        self.requests.send((request, reply)).await.map_err(|_closed| "the arbiter has stopped")?;
        Ok(response.await.map_err(|_closed| "the arbiter has stopped")??)
    }
}

async fn send(client: &awc::Client, request: Request<Bytes>) -> Result<Response<Bytes>, String> {
    let (head, body) = request.into_parts();
    let mut sending = client.post(head.uri.to_string());
    for (name, value) in &head.headers {
        sending = sending.insert_header((name.as_str(), value.as_bytes()));
    }
    let mut response = sending.send_body(body).await.map_err(|error| error.to_string())?;
    let body = response.body().limit(MAX_RESPONSE_BYTES).await.map_err(|error| error.to_string())?;
    Response::builder().status(response.status().as_u16()).body(body).map_err(|error| error.to_string())
}
