//! An OpenTelemetry collector for tests. It receives OTLP over HTTP with Protobuf and keeps the spans.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use prost::Message as _;

use super::eventually;

/// A received span.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ReceivedSpan {
    /// `service.instance.id` of the sender.
    pub(crate) instance: String,
    pub(crate) trace_id: String,
    pub(crate) id: String,
    /// Empty for the root of a trace.
    pub(crate) parent_id: String,
    pub(crate) name: String,
    pub(crate) attributes: HashMap<String, String>,
    pub(crate) is_error: bool,
    /// The identifiers of the spans that this span links to.
    pub(crate) links: Vec<String>,
}

impl ReceivedSpan {
    pub(crate) fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

#[derive(Default)]
struct Inbox {
    spans: Vec<ReceivedSpan>,
    /// All bytes of all requests.
    raw: Vec<u8>,
    /// The headers of the last request.
    headers: HashMap<String, String>,
    is_stalled: bool,
}

/// A running collector.
pub(crate) struct Collector {
    inbox: Arc<Mutex<Inbox>>,
    port: u16,
    server: ServerHandle,
}

impl Collector {
    pub(crate) fn start() -> Self {
        Self::start_on(0, Arc::default())
    }

    fn start_on(port: u16, inbox: Arc<Mutex<Inbox>>) -> Self {
        let data = web::Data::new(Arc::clone(&inbox));
        let server = HttpServer::new(move || {
            App::new()
                .app_data(data.clone())
                .app_data(web::PayloadConfig::new(16 << 20))
                .route("/v1/traces", web::post().to(receive))
        })
        .workers(1)
        .disable_signals()
        .bind(("127.0.0.1", port))
        .unwrap();
        let port = server.addrs().first().unwrap().port();
        let server = server.run();
        let handle = server.handle();
        actix_rt::spawn(server);
        Self { inbox, port, server: handle }
    }

    /// Stops listening and breaks open connections.
    pub(crate) async fn kill(&self) {
        self.server.stop(false).await;
    }

    /// Listens again on the same port.
    pub(crate) fn restart(&mut self) {
        let again = Self::start_on(self.port, Arc::clone(&self.inbox));
        self.server = again.server;
    }

    /// If `is_stalled`, requests are accepted but get no response.
    pub(crate) fn stall(&self, is_stalled: bool) {
        self.inbox.lock().unwrap().is_stalled = is_stalled;
    }

    /// The settings of an instance that exports to this collector.
    pub(crate) fn settings(&self) -> [(&'static str, String); 3] {
        [
            ("OTEL_TRACES_EXPORTER", "otlp".to_owned()),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://127.0.0.1:{}", self.port)),
            ("AVAL__TELEMETRY__EXPORT_INTERVAL_MS", "50".to_owned()),
        ]
    }

    /// All spans received so far.
    pub(crate) fn spans(&self) -> Vec<ReceivedSpan> {
        self.inbox.lock().unwrap().spans.clone()
    }

    /// Waits until the trace has a span with each of these names, and returns its spans.
    pub(crate) async fn trace(&self, trace_id: &str, names: &[&str]) -> Vec<ReceivedSpan> {
        let is_complete = |spans: &[ReceivedSpan]| {
            names.iter().all(|name| spans.iter().any(|span| span.name.as_str() == *name))
        };
        eventually(&format!("{names:?} in the trace {trace_id}"), async || {
            let spans: Vec<_> = self.spans().into_iter().filter(|span| span.trace_id == trace_id).collect();
            is_complete(&spans).then_some(spans)
        })
        .await
    }

    /// Whether any request contained this text.
    pub(crate) fn has_received(&self, text: &str) -> bool {
        let inbox = self.inbox.lock().unwrap();
        inbox.raw.windows(text.len()).any(|window| window == text.as_bytes())
    }

    /// A header of the last request.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        self.inbox.lock().unwrap().headers.get(name).cloned()
    }
}

async fn receive(request: HttpRequest, body: Bytes, inbox: web::Data<Arc<Mutex<Inbox>>>) -> HttpResponse {
    if inbox.lock().unwrap().is_stalled {
        tokio::time::sleep(Duration::from_secs(3600)).await;
    }
    let Ok(export) = ExportTraceServiceRequest::decode(body.clone()) else {
        return HttpResponse::BadRequest().finish();
    };
    let mut inbox = inbox.lock().unwrap();
    inbox.raw.extend_from_slice(&body);
    let headers = request.headers().iter();
    inbox.headers = headers
        .map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect();
    for resource in export.resource_spans {
        let of_resource =
            resource.resource.map(|resource| attributes(resource.attributes)).unwrap_or_default();
        let instance = of_resource.get("service.instance.id").cloned().unwrap_or_default();
        for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            inbox.spans.push(ReceivedSpan {
                instance: instance.clone(),
                trace_id: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent_id: hex(&span.parent_span_id),
                name: span.name,
                attributes: attributes(span.attributes),
                is_error: span.status.is_some_and(|status| status.code == 2),
                links: span.links.iter().map(|link| hex(&link.span_id)).collect(),
            });
        }
    }
    HttpResponse::Ok().content_type("application/x-protobuf").finish()
}

fn attributes(pairs: Vec<KeyValue>) -> HashMap<String, String> {
    let text = |value: Option<AnyValue>| match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(value)) => value.to_string(),
        other => format!("{other:?}"),
    };
    pairs.into_iter().map(|pair| (pair.key, text(pair.value))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
