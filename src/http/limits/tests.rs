use std::collections::HashMap;
use std::net::IpAddr;

use actix_web::http::header::HeaderMap;
use chrono::DateTime;

use super::fields::{RATE_LIMIT, RATE_LIMIT_POLICY};
use super::*;
use crate::config::Settings;

const MINUTE: Duration = Duration::from_secs(60);

pub(super) fn settings(more: &[(&str, &str)]) -> LimitSettings {
    let mut variables = HashMap::from([("AVAL__LIMITS__ENABLED".to_owned(), "true".to_owned())]);
    variables.extend(more.iter().map(|(key, value)| (key.to_string(), value.to_string())));
    Settings::from_variables(&variables).unwrap().limits
}

fn limiter(more: &[(&str, &str)]) -> (MemoryRateLimiter, Clock) {
    let clock = Clock::manual(DateTime::UNIX_EPOCH);
    (MemoryRateLimiter::new(&settings(more), &clock), clock)
}

fn address(text: &str) -> Requester<'static> {
    Requester::Address(ClientAddress::new(text.parse::<IpAddr>().unwrap()))
}

const ANA: Requester<'static> = Requester::Account { name: "ana", role: Role::User };

/// Number of requests out of `tries` that are allowed.
fn accepted(limiter: &MemoryRateLimiter, class: LimitClass, requester: Requester<'_>, tries: u32) -> usize {
    (0..tries).filter(|_| limiter.check(class, requester).unwrap().retry_after.is_none()).count()
}

#[test]
fn ten_applications_are_allowed_and_the_eleventh_gets_a_retry_time() {
    let (limiter, clock) = limiter(&[]);
    assert_eq!(accepted(&limiter, LimitClass::Create, ANA, 10), 10);
    let refused = limiter.check(LimitClass::Create, ANA).unwrap();
    assert_eq!((refused.remaining, refused.retry_after), (0, Some(Duration::from_secs(6))));
    clock.advance(Duration::from_secs(5));
    assert_eq!(limiter.check(LimitClass::Create, ANA).unwrap().retry_after, Some(Duration::from_secs(1)));
    clock.advance(Duration::from_secs(1));
    assert_eq!(limiter.check(LimitClass::Create, ANA).unwrap().retry_after, None);
    clock.advance(MINUTE);
    assert_eq!(accepted(&limiter, LimitClass::Create, ANA, 20), 10);
}

#[test]
fn accounts_addresses_roles_and_classes_are_counted_separately() {
    let (limiter, _) = limiter(&[("AVAL__LIMITS__CREATE__ANALYST__BURST", "12")]);
    let cases = [
        (ANA, 10),
        (Requester::Account { name: "ben", role: Role::User }, 10),
        (Requester::Account { name: "ana", role: Role::Analyst }, 12),
        (Requester::Subject("ana"), 10),
        (address("192.0.2.1"), 10),
        (address("192.0.2.2"), 10),
        (address("2001:db8::1"), 10),
        (address("2001:db8:0:1::1"), 10),
    ];
    for (requester, fit) in cases {
        assert_eq!(accepted(&limiter, LimitClass::Create, requester, 30), fit, "{requester:?}");
    }
    assert_eq!(accepted(&limiter, LimitClass::Login, ANA, 30), 5);
    assert_eq!(accepted(&limiter, LimitClass::Webhook, ANA, 200), 100);
    assert_eq!(accepted(&limiter, LimitClass::Create, address("2001:db8::2"), 1), 0, "the same network");
}

#[test]
fn probes_are_not_counted_and_nothing_is_counted_when_limits_are_off() {
    let (limiter, clock) = limiter(&[]);
    assert_eq!(limiter.check(LimitClass::Exempt, ANA), None);
    let off = RateLimiter::new(&LimitSettings { enabled: false, ..settings(&[]) }, &clock);
    assert!(!off.is_on());
    let check = futures_util::FutureExt::now_or_never(off.check(LimitClass::Login, ANA)).unwrap();
    assert_eq!(check, None);
}

#[test]
fn a_failed_authentication_costs_its_address_more_than_the_request() {
    let (limiter, clock) = limiter(&[("AVAL__LIMITS__STANDARD__ADDRESS__PER_MINUTE", "60")]);
    let guesser = address("192.0.2.1");
    let guesses = std::iter::repeat_with(|| {
        let fits = limiter.check(LimitClass::Standard, guesser).unwrap().retry_after.is_none();
        limiter.charge_failed_authentication(guesser);
        fits
    });
    assert_eq!(guesses.take(400).filter(|fits| *fits).count(), 28, "a burst of 300 at 11 each");
    assert_eq!(accepted(&limiter, LimitClass::Standard, address("192.0.2.2"), 300), 300);
    clock.advance(Duration::from_secs(1));
    assert_eq!(accepted(&limiter, LimitClass::Standard, guesser, 5), 1, "the debt never exceeds the burst");
}

#[test]
fn clients_are_removed_when_their_quota_is_fully_restored() {
    let (limiter, clock) = limiter(&[]);
    for last in 0..200_u8 {
        limiter.check(LimitClass::Create, address(&format!("192.0.2.{last}")));
    }
    assert_eq!(limiter.client_count(), 200);
    accepted(&limiter, LimitClass::Create, ANA, 10);
    clock.advance(MINUTE - Duration::from_secs(1));
    limiter.check(LimitClass::Create, ANA);
    clock.advance(Duration::from_secs(1));
    limiter.check(LimitClass::Create, ANA);
    assert_eq!(limiter.client_count(), 1, "the quota of the others is restored");
    assert_eq!(limiter.check(LimitClass::Create, ANA).unwrap().remaining, 8 - 1);
}

#[test]
fn many_new_clients_neither_exhaust_memory_nor_use_the_quota_of_earlier_clients() {
    let (limiter, _) = limiter(&[("AVAL__LIMITS__MAX_CLIENTS", "1000")]);
    let early = address("192.0.2.1");
    assert_eq!(accepted(&limiter, LimitClass::Create, early, 4), 4);
    let new_clients = (0..50_000_u32).map(|n| Requester::Address(ClientAddress::new(IpAddr::V4(n.into()))));
    let fits = new_clients.filter(|client| accepted(&limiter, LimitClass::Create, *client, 1) == 1).count();
    assert_eq!(limiter.client_count(), 1000);
    assert_eq!(fits, 999 + 64 * 10, "new clients share 64 entries");
    assert_eq!(accepted(&limiter, LimitClass::Create, early, 10), 6);
}

#[test]
fn policies_and_remaining_quotas_are_sent_as_structured_fields() {
    let (limiter, clock) = limiter(&[("AVAL__LIMITS__CREATE__USER__BURST", "4")]);
    let mut checks = LimitChecks::default();
    let mut headers = HeaderMap::new();
    checks.write(&mut headers);
    assert!(headers.is_empty());
    limiter.check(LimitClass::Create, ANA);
    clock.advance(Duration::from_millis(500));
    checks.add(limiter.check(LimitClass::Create, address("192.0.2.1")).unwrap());
    checks.add(limiter.check(LimitClass::Create, ANA).unwrap());
    checks.write(&mut headers);
    let field = |name| headers.get(name).unwrap().to_str().unwrap().to_owned();
    assert_eq!(field(RATE_LIMIT_POLICY), r#""create-address";q=10;w=60, "create-account";q=4;w=24"#);
    assert_eq!(field(RATE_LIMIT), r#""create-address";r=9;t=6, "create-account";r=2;t=12"#);
}
