//! Traces: W3C trace context, spans and their export (docs/traces.md).
//!
//! Work that a client or another process caused enters a trace with [`Tracer::enter`]: an HTTP request, an attempt at a
//! job, the delivery of an event. Everything that this work awaits runs in the same OpenTelemetry [`Context`], so
//! [`in_span`] and [`traceparent()`] need no parameter for it, and every log line gets the identifiers of the trace. The
//! context ends at the boundary of an actor or a spawned task: messages contain a [`Carried`] or, for grouped writes, a
//! [`WriteSpan`].
//!
//! Without an exporter (`telemetry.traces = "off"`) there are no spans. The trace context of the client, or a new one,
//! is still carried everywhere.
//!
//! Failure modes: the collector is slow, is unreachable or rejects spans. Then spans are dropped and counted. Requests and
//! jobs never wait for the collector ([`export`]).

mod export;
mod traceparent;
mod write_group;

use std::borrow::Cow;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

pub use opentelemetry::trace::SpanKind;
use opentelemetry::trace::{
    FutureExt as _, Span as _, SpanContext, SpanId, Status, TraceContextExt as _, TraceId, Tracer as _,
};
pub use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use slog::Logger;
use uuid::Uuid;

pub use self::export::ExportResult;
pub use self::write_group::{WriteSpan, in_write_group};
use crate::clock::Clock;
use crate::config::TelemetrySettings;
use crate::error::{Error, Result};
use crate::telemetry::metrics::Metrics;

/// Starts spans and trace contexts. Cheap to clone.
#[derive(Clone)]
pub struct Tracer {
    clock: Clock,
    exporting: Option<Arc<Exporting>>,
}

struct Exporting {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// Stored in the context of recorded spans, so that [`in_span`] finds the tracer.
#[derive(Clone)]
struct Recorder(Arc<Exporting>);

impl Tracer {
    /// A tracer with the configured exporter. The HTTP client of the exporter runs on the current arbiter, which must
    /// outlive [`Tracer::shut_down`].
    ///
    /// # Errors
    /// [`Error::Configuration`] if the exporter cannot be built.
    pub fn new(
        settings: &TelemetrySettings,
        instance: &str,
        clock: &Clock,
        metrics: &Arc<Metrics>,
        logger: &Logger,
    ) -> Result<Self> {
        let provider = export::provider(settings, instance, clock, metrics, logger)?;
        let exporting = provider.map(|provider| {
            use opentelemetry::trace::TracerProvider as _;
            Arc::new(Exporting { tracer: provider.tracer("aval"), provider })
        });
        Ok(Self { clock: clock.clone(), exporting })
    }

    /// A tracer without an exporter.
    pub fn off(clock: &Clock) -> Self {
        Self { clock: clock.clone(), exporting: None }
    }

    /// Whether spans are exported.
    pub fn is_exporting(&self) -> bool {
        self.exporting.is_some()
    }

    /// Enters the trace of `caller`, a `traceparent`, or a new trace if that is absent or invalid. If spans are exported, it
    /// starts a span with the name and attributes that `describe` returns. The span is recorded only if the trace is sampled.
    pub fn enter(
        &self,
        caller: Option<&str>,
        kind: SpanKind,
        describe: impl FnOnce() -> (Cow<'static, str>, Vec<KeyValue>),
    ) -> Entered {
        let caller = caller.and_then(traceparent::parse);
        let context = match &self.exporting {
            None => Context::new().with_remote_span_context(caller.unwrap_or_else(|| self.new_trace())),
            Some(exporting) => {
                let parent = match caller {
                    Some(caller) => Context::new().with_remote_span_context(caller),
                    None => Context::new(),
                };
                let (name, attributes) = describe();
                exporting.start(&parent, name, kind, attributes).with_value(Recorder(Arc::clone(exporting)))
            }
        };
        Entered { context }
    }

    fn new_trace(&self) -> SpanContext {
        traceparent::unsampled(self.clock.random_bytes(), self.clock.random_bytes())
    }

    /// Exports the remaining spans and stops the exporter, within `limit`.
    ///
    /// # Errors
    /// If spans were lost.
    pub async fn shut_down(&self, limit: Duration) -> Result<()> {
        let Some(exporting) = self.exporting.clone() else { return Ok(()) };
        // It blocks until the exporter's thread has finished, and that needs this arbiter.
        let stop = move || exporting.provider.shutdown_with_timeout(limit);
        tokio::task::spawn_blocking(stop)
            .await
            .map_err(Error::internal)?
            .map_err(|error| Error::unavailable("the trace exporter", error))
    }
}

impl Exporting {
    fn start(
        &self,
        parent: &Context,
        name: impl Into<Cow<'static, str>>,
        kind: SpanKind,
        attributes: Vec<KeyValue>,
    ) -> Context {
        let builder = self.tracer.span_builder(name).with_kind(kind).with_attributes(attributes);
        parent.with_span(self.tracer.build_with_context(builder, parent))
    }
}

/// A trace that this process has entered. Its span ends when this value and all work that runs in the trace are dropped.
pub struct Entered {
    context: Context,
}

impl Entered {
    /// Runs `work` in the trace.
    pub fn run<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        work.with_context(self.context.clone())
    }

    /// The `traceparent` of the span, for work that this work causes.
    pub fn traceparent(&self) -> String {
        traceparent::format(self.context.span().span_context())
    }

    /// Adds attributes to the span, if there is one.
    pub fn set(&self, attributes: impl FnOnce() -> Vec<KeyValue>) {
        set_in(&self.context, attributes);
    }

    /// Marks the span as failed. `what` is public: it must not contain personal data.
    pub fn fail(&self, what: &'static str) {
        self.context.span().set_status(Status::error(what));
    }
}

/// The trace of a message to an actor, whose work does not run in the sender's context.
#[derive(Debug, Clone)]
pub struct Carried(Context);

impl Carried {
    /// The current trace, or none.
    pub fn capture() -> Self {
        Self(Context::current())
    }

    /// Runs `work` in the trace.
    pub fn run<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        work.with_context(self.0.clone())
    }
}

/// Runs `work` in a child of the current span. If there is none, or it is not recorded, runs `work` without a span.
pub async fn in_span<F: Future>(
    name: impl Into<Cow<'static, str>>,
    kind: SpanKind,
    attributes: impl FnOnce() -> Vec<KeyValue>,
    work: F,
) -> F::Output {
    match child(name, kind, attributes) {
        Some(context) => work.with_context(context).await,
        None => work.await,
    }
}

/// Records a child of the current span that ends now and took `took`, if the current span is recorded. `describe` returns
/// its name and attributes. `failure` marks it as failed and must not contain personal data.
pub fn record(
    kind: SpanKind,
    took: Duration,
    failure: Option<&'static str>,
    describe: impl FnOnce() -> (String, Vec<KeyValue>),
) {
    Context::map_current(|current| {
        let Some(Recorder(exporting)) = current.get::<Recorder>() else { return };
        if !current.span().is_recording() {
            return;
        }
        let end = opentelemetry::time::now();
        let (name, attributes) = describe();
        let builder = exporting
            .tracer
            .span_builder(name)
            .with_kind(kind)
            .with_start_time(end.checked_sub(took).unwrap_or(end))
            .with_attributes(attributes);
        let mut span = exporting.tracer.build_with_context(builder, current);
        if let Some(failure) = failure {
            span.set_status(Status::error(failure));
        }
        span.end_with_timestamp(end);
    });
}

/// A context with a new child of the current span, if that is recorded.
fn child(
    name: impl Into<Cow<'static, str>>,
    kind: SpanKind,
    attributes: impl FnOnce() -> Vec<KeyValue>,
) -> Option<Context> {
    Context::map_current(|current| {
        let Recorder(exporting) = current.get::<Recorder>()?;
        current.span().is_recording().then(|| exporting.start(current, name, kind, attributes()))
    })
}

/// Adds attributes to the current span, if it is recorded.
pub fn set(attributes: impl FnOnce() -> Vec<KeyValue>) {
    Context::map_current(|current| set_in(current, attributes));
}

fn set_in(context: &Context, attributes: impl FnOnce() -> Vec<KeyValue>) {
    let span = context.span();
    if span.is_recording() {
        span.set_attributes(attributes());
    }
}

/// Runs `work` for an account. Every log line that `work` writes contains the account's identifier. Names are not logged,
/// because they may identify a person.
pub fn for_account<F: Future>(id: Uuid, work: F) -> impl Future<Output = F::Output> {
    work.with_context(Context::map_current(|current| current.with_value(Account(id))))
}

#[derive(Debug, Clone, Copy)]
struct Account(Uuid);

/// The identifiers of the current trace, span and account.
pub(super) struct Identifiers {
    pub(super) trace: Option<(TraceId, SpanId)>,
    pub(super) account: Option<Uuid>,
}

impl Identifiers {
    pub(super) fn current() -> Self {
        Context::map_current(|current| {
            let span = current.span();
            let span = span.span_context();
            Self {
                trace: span.is_valid().then(|| (span.trace_id(), span.span_id())),
                account: current.get::<Account>().map(|account| account.0),
            }
        })
    }
}

/// Marks the current span as failed. `what` must not contain personal data.
pub fn fail(what: impl Into<Cow<'static, str>>) {
    Context::map_current(|current| current.span().set_status(Status::error(what)));
}

/// The `traceparent` of the current span, for messages, rows and requests to other systems.
pub fn traceparent() -> Option<String> {
    Context::map_current(|current| {
        let span = current.span();
        span.span_context().is_valid().then(|| traceparent::format(span.span_context()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn tracer() -> Tracer {
        Tracer::off(&Clock::manual(DateTime::UNIX_EPOCH))
    }

    fn enter(caller: Option<&str>) -> Entered {
        tracer().enter(caller, SpanKind::Internal, || ("test".into(), Vec::new()))
    }

    #[actix_rt::test]
    async fn without_an_exporter_the_trace_of_the_caller_is_passed_on_unchanged() {
        let entered = enter(Some(PARENT));
        assert_eq!(entered.traceparent(), PARENT);
        let inside = entered.run(in_span("inner", SpanKind::Internal, Vec::new, async { traceparent() }));
        assert_eq!(inside.await.as_deref(), Some(PARENT));
    }

    #[actix_rt::test]
    async fn an_absent_or_invalid_trace_context_is_replaced_by_a_new_unsampled_one() {
        let first = enter(None).traceparent();
        let second = enter(Some("00-0-0-01")).traceparent();
        assert_ne!(first, second);
        for made in [first, second] {
            assert!(made.starts_with("00-") && made.ends_with("-00") && made.len() == 55, "{made}");
            assert_eq!(enter(Some(&made)).traceparent(), made);
        }
    }

    #[actix_rt::test]
    async fn outside_a_trace_there_is_no_trace_context() {
        assert_eq!(traceparent(), None);
        assert_eq!(in_span("alone", SpanKind::Internal, Vec::new, async { traceparent() }).await, None);
    }
}
