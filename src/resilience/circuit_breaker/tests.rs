//! One test per rule and its boundary, and a reference model that random histories are compared with.

use proptest::prelude::*;

use super::*;

const SHORTEST: u8 = 0;
const LONGEST: u8 = 99;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// The defaults of `config/default.toml`, without jitter.
fn settings() -> BreakerSettings {
    BreakerSettings {
        consecutive_failures: 5,
        window_ms: 60_000,
        min_calls: 10,
        failure_rate_percent: 50,
        slow_call_ms: 3_000,
        slow_rate_percent: 80,
        open_ms: 60_000,
        open_max_ms: 300_000,
        open_jitter_percent: 0,
        probe_timeout_ms: 30_000,
    }
}

/// A breaker with a manual clock.
struct Bench {
    breaker: CircuitBreaker,
    now: Duration,
    roll: u8,
}

impl Bench {
    fn new(settings: BreakerSettings) -> Self {
        Self { breaker: CircuitBreaker::new(settings), now: ms(7), roll: SHORTEST }
    }

    fn admit(&mut self) -> Option<Permit> {
        match self.breaker.admit(self.now, self.roll) {
            Admission::Admitted(permit) => Some(permit),
            Admission::Refused { .. } => None,
        }
    }

    fn retry_in(&mut self) -> Duration {
        match self.breaker.admit(self.now, self.roll) {
            Admission::Admitted(_) => panic!("admitted"),
            Admission::Refused { retry_in } => retry_in,
        }
    }

    fn record(&mut self, permit: Permit, result: CallResult) {
        self.breaker.record(permit, self.now, result, self.roll);
    }

    fn call(&mut self, result: CallResult, takes: Duration) {
        let permit = self.admit().expect("admitted");
        self.now += takes;
        self.record(permit, result);
    }

    fn fail(&mut self, times: u32) {
        for _ in 0..times {
            self.call(CallResult::Failure, ms(1));
        }
    }

    fn succeed(&mut self, times: u32) {
        for _ in 0..times {
            self.call(CallResult::Success, ms(1));
        }
    }

    fn state(&mut self) -> State {
        self.breaker.state(self.now, self.roll)
    }

    fn causes(&mut self) -> Vec<(State, Cause)> {
        self.breaker.take_transitions().into_iter().map(|t| (t.to, t.cause)).collect()
    }
}

#[test]
fn five_consecutive_failures_open_it_and_a_success_resets_the_count() {
    let mut bench = Bench::new(settings());
    bench.fail(4);
    bench.succeed(1);
    bench.fail(4);
    assert_eq!(bench.state(), State::Closed);
    bench.fail(1);
    assert_eq!(bench.causes(), [(State::Open, Cause::ConsecutiveFailures)]);
    assert!(bench.admit().is_none());
}

#[test]
fn forced_open_it_refuses_every_call_until_the_override_ends() {
    let mut bench = Bench::new(settings());
    let under_way = bench.admit().expect("closed");
    bench.breaker.set_mode(CircuitMode::ForcedOpen, bench.now, bench.roll);
    bench.record(under_way, CallResult::Success);
    for _ in 0..3 {
        bench.now += ms(3_600_000);
        assert!(bench.admit().is_none());
        assert_eq!(bench.state(), State::Open);
    }
    let snapshot = bench.breaker.snapshot(bench.now, 0);
    assert_eq!((snapshot.mode, snapshot.not_closed_for), (CircuitMode::ForcedOpen, ms(3 * 3_600_000)));
    assert!(!snapshot.is_ready_for_probe());
    assert_eq!(bench.causes(), [(State::Open, Cause::Forced)]);
}

#[test]
fn forced_closed_it_counts_without_opening_and_afterwards_counts_from_zero() {
    let mut bench = Bench::new(settings());
    bench.breaker.set_mode(CircuitMode::ForcedClosed, bench.now, bench.roll);
    bench.fail(20);
    let snapshot = bench.breaker.snapshot(bench.now, 0);
    assert_eq!((snapshot.state, snapshot.consecutive_failures, snapshot.failures), (State::Closed, 20, 20));
    bench.breaker.set_mode(CircuitMode::Auto, bench.now, bench.roll);
    let snapshot = bench.breaker.snapshot(bench.now, 0);
    assert_eq!((snapshot.consecutive_failures, snapshot.calls), (0, 0));
    bench.fail(4);
    assert_eq!(bench.state(), State::Closed);
    bench.fail(1);
    assert_eq!(
        bench.causes(),
        [(State::Open, Cause::ConsecutiveFailures)],
        "without a change of state there must be no transition"
    );
}

#[test]
fn after_an_override_of_an_open_breaker_it_starts_closed_with_the_shortest_open_time() {
    let mut bench = Bench::new(settings());
    bench.fail(5);
    bench.now += ms(60_000);
    let probe = bench.admit().expect("a probe");
    bench.breaker.set_mode(CircuitMode::ForcedOpen, bench.now, bench.roll);
    bench.breaker.set_mode(CircuitMode::Auto, bench.now, bench.roll);
    bench.record(probe, CallResult::Failure);
    assert_eq!(bench.state(), State::Closed, "calls admitted before the override must not count");
    bench.fail(5);
    assert_eq!(bench.retry_in(), ms(60_000));
    let to: Vec<_> = bench.causes().into_iter().map(|(to, _)| to).collect();
    assert_eq!(to, [State::Open, State::HalfOpen, State::Open, State::Closed, State::Open]);
}

#[test]
fn the_time_since_it_was_closed_includes_probes() {
    let mut bench = Bench::new(settings());
    bench.fail(5);
    let opened = bench.now;
    bench.now += ms(60_000);
    bench.call(CallResult::Failure, ms(10));
    bench.now += ms(120_000);
    let snapshot = bench.breaker.snapshot(bench.now, 0);
    assert_eq!((snapshot.state, snapshot.not_closed_for), (State::HalfOpen, bench.now - opened));
    bench.succeed(1);
    assert_eq!(bench.breaker.snapshot(bench.now, 0).not_closed_for, ms(0));
}

#[test]
fn five_failures_in_ten_calls_open_it_but_five_in_nine_do_not() {
    let mut bench = Bench::new(settings());
    for _ in 0..4 {
        bench.fail(1);
        bench.succeed(1);
    }
    bench.fail(1);
    assert_eq!(bench.state(), State::Closed, "5 of 9 failed, but 9 calls must be too few");
    bench.succeed(1);
    assert_eq!(
        bench.causes(),
        [(State::Open, Cause::FailureRate)],
        "5 of 10 failed, although the tenth succeeded"
    );
}

#[test]
fn failures_of_just_under_half_of_the_calls_leave_it_closed() {
    let mut bench = Bench::new(settings());
    bench.succeed(11);
    for _ in 0..5 {
        bench.fail(2);
        bench.succeed(1);
    }
    let snapshot = bench.breaker.snapshot(bench.now, 0);
    assert_eq!((snapshot.calls, snapshot.failures), (26, 10));
    bench.fail(4);
    assert_eq!(bench.state(), State::Closed, "14 of 30");
    bench.succeed(1);
    bench.fail(1);
    assert_eq!(bench.state(), State::Closed, "15 of 32");
    bench.fail(2);
    assert_eq!(bench.causes(), [(State::Open, Cause::FailureRate)], "17 of 34");
}

#[test]
fn successful_slow_calls_open_it_and_exactly_the_limit_is_not_slow() {
    let mut bench = Bench::new(settings());
    for _ in 0..10 {
        bench.call(CallResult::Success, ms(3_000));
    }
    let snapshot = bench.breaker.snapshot(bench.now, 0);
    assert_eq!((snapshot.state, snapshot.calls, snapshot.slow), (State::Closed, 10, 0));

    let mut bench = Bench::new(settings());
    bench.succeed(2);
    for _ in 0..7 {
        bench.call(CallResult::Success, ms(3_001));
    }
    assert_eq!(bench.state(), State::Closed);
    bench.call(CallResult::Success, ms(3_001));
    assert_eq!(bench.causes(), [(State::Open, Cause::SlowRate)], "8 of 10");
}

#[test]
fn calls_outside_the_window_do_not_count() {
    let mut bench = Bench::new(settings());
    for _ in 0..4 {
        bench.fail(1);
        bench.succeed(1);
    }
    bench.now += ms(60_000);
    bench.fail(1);
    bench.succeed(1);
    assert_eq!(bench.state(), State::Closed);
    assert_eq!(bench.breaker.snapshot(bench.now, 0).calls, 2);
}

#[test]
fn it_stays_open_for_the_open_time_and_then_issues_one_permit() {
    let mut bench = Bench::new(settings());
    bench.fail(5);
    assert_eq!(bench.retry_in(), ms(60_000));
    bench.now += ms(59_999);
    assert_eq!(bench.retry_in(), ms(1));
    bench.now += ms(1);
    assert!(bench.breaker.snapshot(bench.now, 0).is_ready_for_probe());
    let probe = bench.admit().expect("the probe");
    assert!(!bench.breaker.snapshot(bench.now, 0).is_ready_for_probe());
    assert_eq!(bench.retry_in(), ms(30_000));
    bench.record(probe, CallResult::Success);
    assert_eq!(
        bench.causes(),
        [
            (State::Open, Cause::ConsecutiveFailures),
            (State::HalfOpen, Cause::OpenTimeOver),
            (State::Closed, Cause::ProbeSucceeded),
        ]
    );
    assert!(bench.admit().is_some() && bench.admit().is_some());
}

#[test]
fn the_open_time_doubles_up_to_its_maximum_and_is_reset_by_a_success() {
    let mut bench = Bench::new(settings());
    bench.fail(5);
    for expected in [60_000, 120_000, 240_000, 300_000, 300_000] {
        assert_eq!(bench.retry_in(), ms(expected));
        bench.now += ms(expected);
        bench.fail(1);
    }
    bench.now += ms(300_000);
    bench.succeed(1);
    assert_eq!(bench.state(), State::Closed);
    bench.fail(5);
    assert_eq!(bench.retry_in(), ms(60_000));
    assert_eq!(bench.breaker.snapshot(bench.now, 0).opened_count, 7);
}

#[test]
fn the_roll_varies_the_open_time_within_the_jitter() {
    let jittery = BreakerSettings { open_jitter_percent: 10, ..settings() };
    assert_eq!(open_time(&jittery, 1, SHORTEST), ms(54_000));
    assert_eq!(open_time(&jittery, 1, LONGEST), ms(66_000));
    assert_eq!(open_time(&jittery, 1, u8::MAX), ms(66_000));
    assert_eq!(open_time(&jittery, u32::MAX, LONGEST), ms(330_000));
    let rolled: Vec<_> = (0..100).map(|roll| open_time(&jittery, 1, roll)).collect();
    assert!(rolled.is_sorted_by(|a, b| a < b), "every roll must give a different time");
}

#[test]
fn an_unanswered_probe_fails_at_its_expiry_even_without_calls() {
    let mut bench = Bench::new(settings());
    bench.fail(5);
    bench.now += ms(60_000);
    let probe = bench.admit().expect("the probe");
    bench.now += ms(29_999);
    assert_eq!(bench.state(), State::HalfOpen);
    bench.now += ms(2);
    assert_eq!(bench.state(), State::Open);
    assert_eq!(bench.retry_in(), ms(119_999), "counted from the expiry, doubled");
    bench.record(probe, CallResult::Success);
    assert_eq!(bench.state(), State::Open, "the late result belongs to an earlier generation");

    bench.now += ms(119_999);
    drop(bench.admit().expect("the second probe"));
    bench.breaker.take_transitions();
    bench.now += ms(30_000 + 240_000);
    assert!(
        bench.admit().is_some(),
        "the probe must expire and the breaker become half-open again without calls"
    );
    assert_eq!(bench.causes(), [(State::Open, Cause::ProbeExpired), (State::HalfOpen, Cause::OpenTimeOver)]);
}

#[test]
fn a_released_permit_frees_the_probe_without_a_result() {
    let mut bench = Bench::new(settings());
    bench.fail(5);
    bench.now += ms(60_000);
    let probe = bench.admit().expect("the probe");
    assert!(bench.admit().is_none());
    bench.breaker.release(probe, bench.now, 0);
    assert_eq!(bench.state(), State::HalfOpen);
    assert!(bench.admit().is_some());

    let mut bench = Bench::new(settings());
    let permit = bench.admit().expect("closed");
    bench.breaker.release(permit, bench.now, 0);
    assert_eq!(bench.breaker.snapshot(bench.now, 0).calls, 0);
}

#[test]
fn an_old_permit_does_not_affect_a_later_probe() {
    let mut bench = Bench::new(settings());
    let (first, second) = (bench.admit().unwrap(), bench.admit().unwrap());
    bench.fail(5);
    bench.now += ms(60_000);
    let probe = bench.admit().expect("the probe");
    bench.breaker.release(first, bench.now, 0);
    assert!(bench.admit().is_none(), "the permit of the probe must still be in use");
    bench.record(second, CallResult::Failure);
    assert_eq!(bench.state(), State::HalfOpen);
    bench.record(probe, CallResult::Success);
    assert_eq!(bench.state(), State::Closed);
}

#[test]
fn results_from_before_an_opening_do_not_count_after_the_recovery() {
    let mut bench = Bench::new(settings());
    let old: Vec<_> = (0..20).map(|_| bench.admit().unwrap()).collect();
    bench.fail(5);
    bench.now += ms(60_000);
    bench.succeed(1);
    for permit in old {
        bench.record(permit, CallResult::Failure);
    }
    let snapshot = bench.breaker.snapshot(bench.now, 0);
    assert_eq!((snapshot.state, snapshot.calls, snapshot.consecutive_failures), (State::Closed, 0, 0));
}

#[derive(Debug, Clone)]
enum Step {
    Advance(u64),
    Admit,
    Record { which: usize, result: CallResult },
    Release { which: usize },
    Forget { which: usize },
}

fn steps() -> impl Strategy<Value = Vec<(Step, u8)>> {
    let step = prop_oneof![
        4 => (0_u64..60).prop_map(Step::Advance),
        1 => (60_u64..900).prop_map(Step::Advance),
        8 => Just(Step::Admit),
        5 => any::<usize>().prop_map(|which| Step::Record { which, result: CallResult::Failure }),
        4 => any::<usize>().prop_map(|which| Step::Record { which, result: CallResult::Success }),
        1 => any::<usize>().prop_map(|which| Step::Release { which }),
        1 => any::<usize>().prop_map(|which| Step::Forget { which }),
    ];
    prop::collection::vec((step, 0_u8..100), 0..300)
}

/// Small numbers, so random histories reach all states.
fn model_settings() -> BreakerSettings {
    BreakerSettings {
        consecutive_failures: 4,
        window_ms: 600,
        min_calls: 6,
        failure_rate_percent: 50,
        slow_call_ms: 40,
        slow_rate_percent: 80,
        open_ms: 100,
        open_max_ms: 350,
        open_jitter_percent: 10,
        probe_timeout_ms: 150,
    }
}

/// A second implementation of the specification, written for clarity: it keeps all results since the last change of state
/// and counts them each time. From the breaker it takes only the randomly chosen open times, after checking their range.
struct Model {
    now: u64,
    state: State,
    /// Incremented by every change of state.
    era: u32,
    results: Vec<(u64, bool, bool)>,
    open_until: u64,
    probe: Option<u64>,
    openings: u32,
    opened_count: u64,
}

impl Model {
    fn new() -> Self {
        Self {
            now: 0,
            state: State::Closed,
            era: 0,
            results: Vec::new(),
            open_until: 0,
            probe: None,
            openings: 0,
            opened_count: 0,
        }
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.era += 1;
        self.results.clear();
        self.probe = None;
    }

    fn open(&mut self, at: u64, drawn: &mut impl Iterator<Item = Duration>) {
        self.openings += 1;
        self.opened_count += 1;
        self.enter(State::Open);
        let base = (1..self.openings).fold(100_u64, |base, _| (base * 2).min(350));
        let open_for = u64::try_from(drawn.next().expect("the breaker must open too").as_millis()).unwrap();
        assert!((base * 9 / 10..=base * 11 / 10).contains(&open_for), "{open_for} ms for {base} ms");
        self.open_until = at + open_for;
    }

    fn pass_time(&mut self, drawn: &mut impl Iterator<Item = Duration>) {
        if let Some(expiry) = self.probe.map(|since| since + 150).filter(|expiry| self.now >= *expiry) {
            self.open(expiry, drawn);
        }
        if self.state == State::Open && self.now >= self.open_until {
            self.enter(State::HalfOpen);
        }
    }

    fn admits(&mut self) -> bool {
        match self.state {
            State::Closed => true,
            State::Open => false,
            State::HalfOpen if self.probe.is_some() => false,
            State::HalfOpen => {
                self.probe = Some(self.now);
                true
            }
        }
    }

    /// The results within the window, which consists of the last 60 slots of 10 ms.
    fn window(&self) -> Vec<(bool, bool)> {
        let in_window = |at: u64| at / 10 + 60 > self.now / 10;
        self.results
            .iter()
            .filter(|(at, ..)| in_window(*at))
            .map(|(_, failed, slow)| (*failed, *slow))
            .collect()
    }

    fn failures_in_a_row(&self) -> usize {
        self.results.iter().rev().take_while(|(_, failed, _)| *failed).count()
    }

    fn record(&mut self, era: u32, since: u64, failed: bool, drawn: &mut impl Iterator<Item = Duration>) {
        if era != self.era {
            return;
        }
        match (self.state, failed) {
            (State::Open, _) => panic!("an open breaker issues no permits"),
            (State::HalfOpen, true) => self.open(self.now, drawn),
            (State::HalfOpen, false) => {
                self.openings = 0;
                self.enter(State::Closed);
            }
            (State::Closed, _) => {
                self.results.push((self.now, failed, self.now - since > 40));
                let window = self.window();
                let share = |count: usize| count * 100 / window.len();
                let failures = window.iter().filter(|(failed, _)| *failed).count();
                let slow = window.iter().filter(|(_, slow)| *slow).count();
                let rates = window.len() >= 6 && (share(failures) >= 50 || share(slow) >= 80);
                if self.failures_in_a_row() >= 4 || rates {
                    self.open(self.now, drawn);
                }
            }
        }
    }
}

fn compare(history: &[(Step, u8)]) {
    let mut breaker = CircuitBreaker::new(model_settings());
    let mut model = Model::new();
    let mut out: Vec<(Permit, u32, u64)> = Vec::new();
    for (step, roll) in history {
        if let Step::Advance(by) = step {
            model.now += by;
        }
        let now = ms(model.now);
        // The breaker performs the step first, because the model uses the open times that the breaker chose.
        let taken = match step {
            Step::Record { which, .. } | Step::Release { which } | Step::Forget { which }
                if !out.is_empty() =>
            {
                Some(out.swap_remove(which % out.len()))
            }
            _ => None,
        };
        let mut admitted = None;
        let mut recorded = None;
        match (step, taken) {
            (Step::Admit, _) => admitted = Some(breaker.admit(now, *roll)),
            (Step::Record { result, .. }, Some((permit, era, since))) => {
                breaker.record(permit, now, *result, *roll);
                recorded = Some((era, since, *result == CallResult::Failure));
            }
            (Step::Release { .. }, Some((permit, era, _))) => {
                breaker.release(permit, now, *roll);
                if era == model.era && model.probe.is_some_and(|since| model.now < since + 150) {
                    model.probe = None;
                }
            }
            _ => {}
        }
        let snapshot = breaker.snapshot(now, *roll);
        let transitions = breaker.take_transitions();
        assert!(transitions.windows(2).all(|pair| pair[0].to == pair[1].from && pair[0].at <= pair[1].at));
        let mut drawn = transitions.iter().filter_map(|transition| transition.open_for);

        model.pass_time(&mut drawn);
        match admitted {
            Some(Admission::Admitted(permit)) => {
                assert!(model.admits(), "admitted where the model refuses");
                out.push((permit, model.era, model.now));
            }
            Some(Admission::Refused { retry_in }) => {
                assert!(!model.admits(), "refused where the model admits");
                assert!(!retry_in.is_zero());
            }
            None => {}
        }
        if let Some((era, since, failed)) = recorded {
            model.record(era, since, failed, &mut drawn);
        }
        assert_eq!(drawn.next(), None, "the breaker opened where the model did not");
        assert_eq!(snapshot.state, model.state);
        assert_eq!(snapshot.opened_count, model.opened_count);
        if model.state == State::Closed {
            let window = model.window();
            let count = |n: u32| usize::try_from(n).unwrap();
            assert_eq!(count(snapshot.calls), window.len());
            assert_eq!(count(snapshot.failures), window.iter().filter(|(failed, _)| *failed).count());
            assert_eq!(count(snapshot.slow), window.iter().filter(|(_, slow)| *slow).count());
            assert_eq!(count(snapshot.consecutive_failures), model.failures_in_a_row());
        }
        if model.state == State::HalfOpen {
            assert_eq!(snapshot.is_ready_for_probe(), model.probe.is_none());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_history_matches_the_model(history in steps()) {
        compare(&history);
    }

    #[test]
    fn more_frequent_calls_change_nothing(history in steps(), looks in 1_u64..8) {
        let run = |looks: u64| {
            let mut breaker = CircuitBreaker::new(BreakerSettings { open_jitter_percent: 0, ..model_settings() });
            let (mut now, mut out, mut seen) = (0, Vec::new(), Vec::new());
            for (step, _) in &history {
                match step {
                    Step::Advance(by) => {
                        for look in 1..=looks {
                            breaker.state(ms(now + by * look / looks), 0);
                        }
                        now += by;
                    }
                    Step::Admit => match breaker.admit(ms(now), 0) {
                        Admission::Admitted(permit) => out.push(permit),
                        Admission::Refused { retry_in } => seen.push(retry_in),
                    },
                    Step::Record { .. } | Step::Release { .. } | Step::Forget { .. } if out.is_empty() => {}
                    Step::Record { which, result } => {
                        let permit = out.swap_remove(which % out.len());
                        breaker.record(permit, ms(now), *result, 0);
                    }
                    Step::Release { which } => {
                        let permit = out.swap_remove(which % out.len());
                        breaker.release(permit, ms(now), 0);
                    }
                    Step::Forget { which } => drop(out.swap_remove(which % out.len())),
                }
            }
            (seen, breaker.take_transitions())
        };
        prop_assert_eq!(run(1), run(looks));
    }
}
