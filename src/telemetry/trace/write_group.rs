//! Spans of grouped writes, which belong to several traces.
//!
//! Every caller has a span for the time until its write is committed. The transaction of the group has one span, in the
//! trace of the first recorded caller, with links to the spans of the other callers.

use std::future::Future;

use opentelemetry::trace::{Link, SpanContext, SpanKind, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue};

use super::Recorder;

/// The span of a caller that waits for its grouped write. Empty if the caller is not recorded.
#[derive(Default)]
pub struct WriteSpan(Option<Context>);

impl WriteSpan {
    /// Starts the span of the caller.
    pub fn start() -> Self {
        Self(super::child("grouped_write", SpanKind::Internal, Vec::new))
    }

    /// A copy that goes into the group with the write.
    pub fn for_group(&self) -> Self {
        Self(self.0.clone())
    }

    /// Ends the span: the write is committed or failed.
    pub fn end(self) {
        if let Some(context) = self.0 {
            context.span().end();
        }
    }

    fn span(&self) -> Option<SpanContext> {
        self.0.as_ref().map(|context| context.span().span_context().clone())
    }
}

/// Runs `work`, the transaction of a group of `size` writes, in the span of the group.
pub async fn in_write_group<F: Future>(callers: &[&WriteSpan], size: usize, work: F) -> F::Output {
    use opentelemetry::trace::FutureExt as _;
    let Some(first) = callers.iter().find_map(|caller| caller.0.as_ref()) else { return work.await };
    let Some(Recorder(exporting)) = first.get::<Recorder>() else { return work.await };
    let own = first.span().span_context().clone();
    let others = callers.iter().filter_map(|caller| caller.span()).filter(|span| *span != own);
    let builder = exporting
        .tracer
        .span_builder("commit_group")
        .with_kind(SpanKind::Internal)
        .with_attributes([KeyValue::new("group.size", i64::try_from(size).unwrap_or(i64::MAX))])
        .with_links(others.map(Link::with_context).collect());
    let context = first.with_span(exporting.tracer.build_with_context(builder, first));
    work.with_context(context).await
}
