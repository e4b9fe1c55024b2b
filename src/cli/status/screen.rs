//! The text of `aval status`, as a pure function of what was read.

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::Value;

use super::Overview;
use super::instance::InstanceStatus;
use crate::app::status::{LaneFigures, SharedStatus};
use crate::domain::timestamp;

/// The whole screen.
pub(super) fn text(overview: &Overview) -> String {
    let mut parts = vec![format!("Aval at {}", timestamp::text(overview.at)), instances(&overview.instances)];
    match (&overview.database, &overview.database_error) {
        (Some(shared), _) => parts.extend(sections(shared)),
        (None, error) => {
            parts.push(format!("DATABASE\n{}", error.as_deref().unwrap_or("unavailable")));
        }
    }
    parts.join("\n\n")
}

fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).force_no_tty().set_header(header);
    table
}

fn instances(instances: &[InstanceStatus]) -> String {
    let mut table = table(["INSTANCE", "STATUS", "JOBS", "POOL", "ACTORS", "BREAKERS"]);
    for instance in instances {
        table.add_row(match (&instance.health, &instance.error) {
            (Some(health), _) => of_health(health),
            (None, error) => {
                let error = error.clone().unwrap_or_default();
                [instance.url.clone(), error, String::new(), String::new(), String::new(), String::new()]
            }
        });
    }
    table.trim_fmt()
}

fn of_health(health: &Value) -> [String; 6] {
    let text = |pointer: &str| match health.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => "-".to_owned(),
        Some(other) => other.to_string(),
    };
    let pool = format!(
        "{} in use, {} idle",
        text("/database/connections_active"),
        text("/database/connections_idle")
    );
    let actors = list(health, "/actors");
    let down: Vec<&str> = actors
        .iter()
        .filter(|actor| actor.get("alive") != Some(&Value::Bool(true)))
        .filter_map(|actor| actor.get("actor")?.as_str())
        .collect();
    let restarts: u64 = actors.iter().filter_map(|actor| actor.get("restarts").and_then(Value::as_u64)).sum();
    let actors = match down.as_slice() {
        [] => format!("{} alive, {restarts} restarts", actors.len()),
        down => format!("down: {}", down.join(", ")),
    };
    let breakers = list(health, "/breakers");
    let not_closed: Vec<String> = breakers
        .iter()
        .filter_map(|breaker| Some((breaker.get("country")?.as_str()?, breaker.get("state")?.as_str()?)))
        .filter(|(_, state)| *state != "closed")
        .map(|(country, state)| format!("{country} {state}"))
        .collect();
    let breakers = match (breakers.len(), not_closed.as_slice()) {
        (0, _) => "-".to_owned(),
        (all, []) => format!("{all} closed"),
        (_, some) => some.join(", "),
    };
    [text("/instance"), text("/status"), text("/running_jobs"), pool, actors, breakers]
}

fn list<'h>(health: &'h Value, pointer: &str) -> &'h [Value] {
    health.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn sections(shared: &SharedStatus) -> Vec<String> {
    let leaders = shared.leaders.iter().map(|leader| match (leader.pid, leader.since) {
        (Some(pid), since) => {
            let address = leader.address.as_deref().unwrap_or("this machine");
            let since = since.map(timestamp::text).unwrap_or_default();
            format!("{}: session {pid} from {address} since {since}", leader.role)
        }
        (None, _) => format!("{}: none", leader.role),
    });
    let letters = shared.dead_letters.iter().map(|letters| format!("{} {}", letters.jobs, letters.status));
    let sessions = shared.sessions.iter().map(|found| {
        let name = if found.application.is_empty() { "other" } else { found.application.as_str() };
        format!("{name} {}: {}", found.state, found.count)
    });
    let overrides = shared
        .overrides
        .iter()
        .map(|set| format!("{} {} for {}", set.country, set.mode, duration(set.left_ms)));
    let errors = shared.last_errors.iter().map(|error| {
        format!(
            "{}  {}  {}: {}",
            timestamp::text(error.at),
            error.task,
            error.error_type,
            error.error_message
        )
    });
    let mut parts = vec![
        queue(&shared.queue),
        section("DEAD LETTERS", [letters.collect::<Vec<_>>().join(", ")]),
        section("LEADERS", leaders),
        section(
            "EVENTS",
            [format!("lag {}, last offset {}", duration(shared.outbox_lag_ms), shared.last_offset)],
        ),
        section("DATABASE SESSIONS", [sessions.collect::<Vec<_>>().join(", ")]),
    ];
    if !shared.overrides.is_empty() {
        parts.push(section("OVERRIDES", overrides));
    }
    if shared.pending_migrations > 0 {
        parts.push(section(
            "MIGRATIONS",
            [format!("{} pending: run aval migrate", shared.pending_migrations)],
        ));
    }
    parts.push(section("LAST ERRORS", errors));
    parts
}

fn section(title: &str, lines: impl IntoIterator<Item = String>) -> String {
    let lines: Vec<String> = lines.into_iter().filter(|line| !line.is_empty()).collect();
    format!("{title}\n{}", if lines.is_empty() { "none".to_owned() } else { lines.join("\n") })
}

/// One line per lane, with its jobs by status.
fn queue(figures: &[LaneFigures]) -> String {
    if figures.is_empty() {
        return section("QUEUE", []);
    }
    let mut table = table(["QUEUE", "PENDING", "PROCESSING", "EXTERNAL", "OLDEST", ""]);
    let mut lanes: Vec<&str> = figures.iter().map(|figure| figure.lane.as_str()).collect();
    lanes.dedup();
    for lane in lanes {
        let of_lane = || figures.iter().filter(|figure| figure.lane == lane);
        let count = |status: &str| {
            let jobs: i64 =
                of_lane().filter(|figure| figure.status == status).map(|figure| figure.jobs).sum();
            jobs.to_string()
        };
        let oldest = of_lane().filter_map(|figure| figure.oldest_age_ms).max().unwrap_or(0);
        let paused = if of_lane().any(|figure| figure.paused) { "paused" } else { "" };
        table.add_row([
            lane.to_owned(),
            count("pending"),
            count("processing"),
            count("waiting_external"),
            duration(u64::try_from(oldest).unwrap_or(0)),
            paused.to_owned(),
        ]);
    }
    table.trim_fmt()
}

/// A duration in the largest unit of which it contains at least two.
fn duration(ms: u64) -> String {
    match ms {
        0..2_000 => format!("{ms} ms"),
        2_000..120_000 => format!("{} s", ms / 1000),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        _ => format!("{} h", ms / 3_600_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(lane: &str, status: &str, jobs: i64, paused: bool) -> LaneFigures {
        LaneFigures { lane: lane.into(), status: status.into(), jobs, oldest_age_ms: Some(90_000), paused }
    }

    #[test]
    fn the_queue_has_one_line_per_lane() {
        let figures = [
            figure("ES", "pending", 12, true),
            figure("ES", "processing", 3, true),
            figure("MX", "pending", 1, false),
        ];
        let text = queue(&figures);
        let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[1], ["ES", "12", "3", "0", "90", "s", "paused"]);
        assert_eq!(words[2], ["MX", "1", "0", "0", "90", "s"]);
        assert_eq!(queue(&[]), "QUEUE\nnone");
    }

    #[test]
    fn problems_of_an_instance_are_named() {
        let health = serde_json::json!({
            "instance": "host-1", "status": "degraded", "running_jobs": 2,
            "database": {"connections_active": 3, "connections_idle": 4},
            "actors": [{"actor": "scheduler", "alive": false, "restarts": 1}],
            "breakers": [{"country": "ES", "state": "open"}, {"country": "MX", "state": "closed"}],
        });
        assert_eq!(
            of_health(&health),
            ["host-1", "degraded", "2", "3 in use, 4 idle", "down: scheduler", "ES open"]
        );
        assert_eq!(of_health(&Value::Null)[5], "-");
    }

    #[test]
    fn durations_have_one_unit() {
        let texts = [0, 1_999, 2_000, 119_999, 120_000, 7_200_000].map(duration);
        assert_eq!(texts, ["0 ms", "1999 ms", "2 s", "119 s", "2 min", "2 h"]);
    }
}
