//! Instances with wrong clocks. They run in this process, because the clock is injected.

use std::rc::Rc;

use chrono::TimeDelta;

use super::report::Run;
use super::workload::Workload;
use super::{PAUSE, PROGRESS, rounds, seed, settle};
use crate::support::app::TestApp;
use crate::support::eventually;

/// Clock errors in both directions. 5 minutes are within the tolerance for the time in a new application's identifier; 40
/// minutes are not.
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
        let wait_for_progress = async |what: &str| {
            let before = workload.accepted();
            eventually(what, async || (workload.accepted() >= before + PROGRESS).then_some(())).await;
        };
        wait_for_progress("clients to be running").await;
        for (error, app) in ERRORS.into_iter().zip([&first, &second].into_iter().cycle()) {
            app.engine().resources.clock.set_error(error);
            wait_for_progress(&format!("work to continue with a clock error of {error}")).await;
            app.anonymous().get("/health/ready").await.expect(503);
            app.engine().resources.clock.set_error(TimeDelta::zero());
        }
        let (history, violations) = settle(first.database.url(), workload).await;
        let run = Run {
            name: "clock errors of 5 and 40 minutes in both directions",
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
