use std::cell::RefCell;
use std::num::NonZeroU32;

use chrono::DateTime;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::super::memory::MemoryRateLimiter;
use super::super::tests::settings;
use super::*;
use crate::clock::Clock;
use crate::config::Rate;

#[path = "../../../../tests/it/support/redis.rs"]
#[expect(dead_code, reason = "the integration tests use the rest")]
mod server;

use self::server::RedisServer;

/// The script, with `now` passed by the test as an argument.
fn at_given_time(body: &str, place: usize) -> Script {
    Script::new(&format!("local now = tonumber(ARGV[{place}])\n{body}"))
}

/// Like [`at_given_time`], but keys never expire, because Redis expires them by its own clock.
fn without_expiry(body: &str, place: usize) -> Script {
    let body = format!("local function act()\n{body}\nend\nlocal result = act()");
    at_given_time(&format!("{body}\nredis.call('PERSIST', KEYS[1])\nreturn result"), place)
}

const ANA: Requester<'static> = Requester::Account { name: "ana", role: Role::User };

#[derive(Debug, Clone, Copy)]
enum Step {
    Wait(u64),
    /// With this cost.
    Check(u32),
    Charge,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (0..9000_u64).prop_map(Step::Wait),
        6 => (0..4_u32).prop_map(Step::Check),
        1 => Just(Step::Charge),
    ];
    prop::collection::vec(step, 1..80)
}

#[test]
fn the_script_agrees_with_governor_on_any_schedule() {
    let server = RedisServer::start();
    let connection = RefCell::new(server.connection());
    let (check, charge) = (without_expiry(CHECK, 4), without_expiry(CHARGE, 4));
    // Intervals of whole microseconds, so that nothing is rounded.
    let rates = prop::sample::select(vec![1_u32, 5, 10, 60, 100, 600, 1200]);
    let mut runner = TestRunner::new(Config::with_cases(150));
    let case = (rates, 1..15_u32, steps());
    let outcome = runner.run(&case, |(per_minute, burst, steps)| {
        let rate =
            Rate { per_minute: NonZeroU32::new(per_minute).unwrap(), burst: NonZeroU32::new(burst).unwrap() };
        let mut limits = settings(&[]);
        limits.standard.user = rate;
        let clock = Clock::manual(DateTime::UNIX_EPOCH);
        let memory = MemoryRateLimiter::new(&limits, &clock);
        let limit =
            Limit { class: LimitClass::Standard, requester_kind: RequesterKind::Account(Role::User), rate };
        let connection = &mut *connection.borrow_mut();
        let _: () = ::redis::cmd("FLUSHALL").query(connection).unwrap();
        for step in steps {
            // The Redis clock has another starting point.
            let now = 1_700_000_000_000_000 + u64::try_from(clock.monotonic().as_micros()).unwrap();
            match step {
                Step::Wait(ms) => clock.advance(Duration::from_millis(ms)),
                Step::Check(cost) => {
                    let cost = cost.min(burst);
                    let mut script = invocation(&check, "client", limit);
                    let result = script.arg(cost).arg(now).invoke(connection).unwrap();
                    let expected = memory.check_many(LimitClass::Standard, ANA, cost);
                    prop_assert_eq!(parse_result(limit, cost, result), expected);
                }
                Step::Charge => {
                    let cost = interval_us(limit) * u64::from(limits.failed_authentication_cost);
                    let mut script = invocation(&charge, "client", limit);
                    let _: () = script.arg(cost).arg(now).invoke(connection).unwrap();
                    memory.charge_failed_authentication(ANA);
                }
            }
        }
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn an_invalid_counter_counts_as_empty_and_an_impossible_result_is_refused() {
    let server = RedisServer::start();
    let mut connection = server.connection();
    let (check, charge) = (at_given_time(CHECK, 4), at_given_time(CHARGE, 4));
    let rate = settings(&[]).create.user;
    let limit = Limit { class: LimitClass::Create, requester_kind: RequesterKind::Account(Role::User), rate };
    let now = 3_600_000_000_u64;
    let invalid: [&[&str]; 8] = [
        &["SET", "client", "abc"],
        &["SET", "client", "nan"],
        &["SET", "client", "-nan"],
        &["SET", "client", "-inf"],
        &["SET", "client", ""],
        &["RPUSH", "client", "1"],
        &["HSET", "client", "a", "1"],
        &["XADD", "client", "1-1", "e", "x"],
    ];
    for command in invalid {
        let _: ::redis::Value = ::redis::cmd("DEL").arg("client").query(&mut connection).unwrap();
        let _: ::redis::Value = ::redis::cmd(command[0]).arg(&command[1..]).query(&mut connection).unwrap();
        let mut script = invocation(&check, "client", limit);
        let result: (u32, i64) = script.arg(1).arg(now).invoke(&mut connection).unwrap();
        assert_eq!(result, (9, -1), "{command:?}");
        let _: ::redis::Value = ::redis::cmd("DEL").arg("client").query(&mut connection).unwrap();
        let _: ::redis::Value = ::redis::cmd(command[0]).arg(&command[1..]).query(&mut connection).unwrap();
        let mut script = invocation(&charge, "client", limit);
        let _: i64 = script.arg(6_000_000).arg(now).invoke(&mut connection).unwrap();
    }
    let _: ::redis::Value = ::redis::cmd("SET").arg("client").arg("inf").query(&mut connection).unwrap();
    let mut script = invocation(&check, "client", limit);
    let result: (u32, i64) = script.arg(1).arg(now).invoke(&mut connection).unwrap();
    assert_eq!(result, (0, 6_000_000), "no more than a whole burst");

    for result in [(10, -1), (u32::MAX, -1), (0, -2), (0, i64::MIN), (0, i64::MAX), (1, 5), (0, 60_000_001)] {
        assert_eq!(parse_result(limit, 1, result), None, "{result:?}");
    }
    for result in [(9, -1), (0, -1), (0, 0), (0, 6_000_000), (0, 60_000_000)] {
        assert!(parse_result(limit, 1, result).is_some(), "{result:?}");
    }
}

#[test]
fn expired_counters_are_deleted_and_setting_the_clock_back_blocks_no_client() {
    let server = RedisServer::start();
    let mut connection = server.connection();
    let script = at_given_time(CHECK, 4);
    let rate = settings(&[]).create.user;
    let limit = Limit { class: LimitClass::Create, requester_kind: RequesterKind::Account(Role::User), rate };
    let mut check = |now: u64| -> (u32, i64) {
        invocation(&script, "client", limit).arg(1).arg(now).invoke(&mut connection).unwrap()
    };
    let hour = 3_600_000_000;
    assert_eq!(check(10 * hour), (9, -1));
    let (_, wait) = check(hour);
    assert_eq!(wait, 6_000_000, "as after a whole burst");
    let mut ttl = ::redis::cmd("PTTL");
    let left: i64 = ttl.arg("client").query(&mut connection).unwrap();
    assert!((1..=6000).contains(&left), "{left}");
}
