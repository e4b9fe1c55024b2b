//! Measures the duration of a document check and of a decision for each country: `cargo bench --bench rules`.
//!
//! Every application needs both. Each must take only microseconds, which is short compared with a database round trip.

#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

use std::hint::black_box;

use aval::countries::Countries;
use aval::domain::application::Country;
use aval::http::countries::case::parse_case;
use chrono::{DateTime, Utc};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

const CASE: &[u8] = br#"{
    "requested_amount": "15000.00",
    "monthly_income": "3500.00",
    "term_months": 48,
    "banking_data": {
        "provider_name": "bureau",
        "account_status": "active",
        "credit_score": 720,
        "total_debt": "8000.00",
        "monthly_obligations": "300.00",
        "has_defaults": false,
        "average_monthly_income": "3400.00",
        "verified": true
    }
}"#;

fn documents(criterion: &mut Criterion) {
    let countries = Countries::built_in().unwrap();
    let as_of: DateTime<Utc> = "2026-05-20T12:00:00Z".parse().unwrap();
    let mut group = criterion.benchmark_group("document_check");
    for country in Country::ALL {
        let rules = countries.rules(country);
        let sample = rules.describe().document.sample;
        group.bench_with_input(BenchmarkId::from_parameter(country), sample, |bencher, sample| {
            bencher.iter(|| rules.check_document(black_box(sample), as_of));
        });
    }
    group.finish();
}

fn decisions(criterion: &mut Criterion) {
    let countries = Countries::built_in().unwrap();
    let case = parse_case(CASE).unwrap();
    let mut group = criterion.benchmark_group("evaluate");
    for country in Country::ALL {
        let rules = countries.rules(country);
        group.bench_with_input(BenchmarkId::from_parameter(country), &case, |bencher, case| {
            bencher.iter(|| rules.evaluate(black_box(case)));
        });
    }
    group.finish();
}

fn cases(criterion: &mut Criterion) {
    criterion.bench_function("parse_case", |bencher| bencher.iter(|| parse_case(black_box(CASE))));
}

criterion_group!(rules, documents, decisions, cases);
criterion_main!(rules);
