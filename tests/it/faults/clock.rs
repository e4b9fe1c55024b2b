//! Instances whose clocks are wrong, each in its own way. They live in this process, because the clock is injected.

use std::rc::Rc;

use chrono::TimeDelta;

use super::report::Run;
use super::workload::Workload;
use super::{PAUSE, SOME, rounds, seed, settle};
use crate::support::app::TestApp;
use crate::support::eventually;

/// How far a clock is off: less than a new application's identifier may be, and more; both ways.
const ERRORS: [TimeDelta; 4] =
    [TimeDelta::minutes(5), TimeDelta::minutes(-5), TimeDelta::minutes(40), TimeDelta::minutes(-40)];

#[actix_rt::test]
async fn nothing_is_lost_when_the_clocks_of_instances_are_wrong() {
    for round in 0..rounds() {
        let seed = seed(round);
        let first = TestApp::start(&[]).await;
        let second = TestApp::start_on(Rc::clone(&first.database), &[]).await;
        let urls = [first.url(""), second.url("")];
        let workload = Workload::start(&urls, &first.token, seed, PAUSE);
        let going_on = async |what: &str| {
            let before = workload.accepted();
            eventually(what, async || (workload.accepted() >= before + SOME).then_some(())).await;
        };
        going_on("clients to be under way").await;
        for (error, app) in ERRORS.into_iter().zip([&first, &second].into_iter().cycle()) {
            app.engine().resources.clock.set_off_by(error);
            going_on(&format!("work to go on with a clock that is off by {error}")).await;
            app.anonymous().get("/health/ready").await.expect(503);
            app.engine().resources.clock.set_off_by(TimeDelta::zero());
        }
        let (history, violations) = settle(first.database.url(), workload).await;
        let run = Run {
            name: "clocks off by 5 and 40 minutes, both ways",
            seed,
            history: &history,
            violations: &violations,
        };
        run.append();
        assert!(violations.is_empty(), "{run}");
        second.stop().await;
        first.stop().await;
    }
}
