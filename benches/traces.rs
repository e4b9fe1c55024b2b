//! Measures what tracing costs a `POST /api/v1/applications` while `telemetry.traces` is `off`: `cargo bench --bench
//! traces`.
//!
//! `traced` makes every call to the tracer that the handling of one request makes, in the same order; `untraced` awaits
//! the same futures without them. The difference, divided by the CPU time of a request, is the cost of disabled traces.
//! docs/traces.md has the result.

use std::hint::black_box;
use std::time::Duration;

use aval::clock::Clock;
use aval::telemetry::trace::{self, SpanKind, Tracer, WriteSpan, in_write_group};
use criterion::{Criterion, criterion_group, criterion_main};
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

/// Two points at which the task yields: the request body and the reply of the group's transaction.
async fn work() {
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
}

/// Handles a request, as the middleware, the handler, the recorder and the database session do it.
async fn traced(tracer: &Tracer, account: Uuid) -> Option<String> {
    let entered = tracer.enter(None, SpanKind::Server, || ("POST /api/v1/applications".into(), Vec::new()));
    let answer = entered.run(trace::for_account(account, async {
        let row = trace::traceparent();
        let waiting = WriteSpan::start();
        let group = waiting.for_group();
        in_write_group(&[&group], 1, async {
            work().await;
            for statement in ["begin", "insert"] {
                let describe = || (statement.to_owned(), Vec::new());
                trace::record(SpanKind::Client, Duration::from_micros(300), None, describe);
            }
        })
        .await;
        waiting.end();
        row
    }));
    let row = answer.await;
    entered.set(Vec::new);
    black_box(entered.traceparent());
    row
}

async fn untraced() {
    work().await;
}

fn runtime() -> Runtime {
    Builder::new_current_thread().build().unwrap_or_else(|error| panic!("the runtime did not start: {error}"))
}

fn disabled_traces(criterion: &mut Criterion) {
    let runtime = runtime();
    let tracer = Tracer::off(&Clock::system());
    let account = Uuid::from_u128(1);
    let mut group = criterion.benchmark_group("disabled traces of a POST");
    group.bench_function("untraced", |bencher| bencher.iter(|| runtime.block_on(untraced())));
    group.bench_function("traced", |bencher| {
        bencher.iter(|| black_box(runtime.block_on(traced(&tracer, account))));
    });
    group.finish();
}

criterion_group!(benches, disabled_traces);
criterion_main!(benches);
