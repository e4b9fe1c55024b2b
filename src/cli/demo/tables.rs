//! The printed tables, as pure functions of the run and the output device.

use std::collections::BTreeMap;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, Color, ContentArrangement, Table};

use super::client::Answer;
use super::journal::{PhaseFigures, Report, Submission};
use super::latency::{Figures, GOAL_P50, ms};
use crate::domain::application::Country;
use crate::domain::decision::RiskBand;
use crate::domain::status::Status;

/// Properties of the output device.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surface {
    /// Whether to use colours.
    pub(super) coloured: bool,
    /// Width in columns; `None`: unlimited.
    pub(super) width: Option<u16>,
}

impl Surface {
    fn table<const N: usize>(self, header: [&str; N]) -> Table {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED).force_no_tty();
        table.set_content_arrangement(ContentArrangement::Dynamic);
        if let Some(width) = self.width {
            table.set_width(width);
        }
        if self.coloured {
            table.enforce_styling();
        }
        table.set_header(header);
        table
    }
}

/// The decisions, one per line.
pub(super) fn decisions<'a>(surface: Surface, sent: impl IntoIterator<Item = &'a Submission>) -> Table {
    let header = ["Country", "Applicant", "Document", "Amount", "Status", "Risk", "Reasons", "Latency ms"];
    let mut table = surface.table(header);
    table.add_rows(sent.into_iter().map(decision_row));
    table
}

fn decision_row(sent: &Submission) -> [Cell; 8] {
    let (risk, band) = sent.risk().unzip();
    let risk = match (risk, band) {
        (Some(score), Some(band)) => Cell::new(format!("{score} {}", band_name(band))).fg(band_colour(band)),
        _ => Cell::new("-"),
    };
    let latency = sent.accepted_to_pushed().map_or_else(|| "-".to_owned(), ms);
    let case = &sent.case;
    [
        Cell::new(case.country.name()),
        Cell::new(case.full_name),
        Cell::new(sent.masked_document()),
        right(format!("{} {}", grouped(case.requested_amount), case.country.currency())),
        status_cell(sent),
        risk,
        Cell::new(reasons(sent)),
        right(latency),
    ]
}

fn status_cell(sent: &Submission) -> Cell {
    match (&sent.answer, sent.decided) {
        (Answer::Refused(_), _) => Cell::new("refused").fg(Color::Red),
        (Answer::Accepted { .. }, None) => Cell::new("waiting"),
        (Answer::Accepted { .. }, Some(decided)) => {
            Cell::new(decided.status).fg(status_colour(decided.status))
        }
    }
}

fn reasons(sent: &Submission) -> String {
    match &sent.answer {
        Answer::Refused(why) => why.clone(),
        Answer::Accepted { .. } => sent.reasons.as_deref().unwrap_or_default().join(", "),
    }
}

/// Numbers of applications by country and status, without countries that had none.
pub(super) fn outcomes(surface: Surface, sent: &[Submission]) -> Table {
    let mut counts: BTreeMap<(Country, Status), usize> = BTreeMap::new();
    for sent in sent {
        if let Some(decided) = sent.decided {
            *counts.entry((sent.case.country, decided.status)).or_default() += 1;
        }
    }
    let statuses = [Status::Approved, Status::Rejected, Status::UnderReview];
    let mut table = surface.table(["Country", "APPROVED", "REJECTED", "UNDER_REVIEW", "Sent"]);
    let of = |country, status| counts.get(&(country, status)).copied().unwrap_or(0);
    for country in Country::ALL {
        let all = sent.iter().filter(|sent| sent.case.country == country).count();
        if all == 0 {
            continue;
        }
        let mut row = vec![Cell::new(country.name())];
        row.extend(statuses.map(|status| right(of(country, status))));
        row.push(right(all));
        table.add_row(row);
    }
    let mut total = vec![Cell::new("All")];
    total.extend(
        statuses.map(|status| right(Country::ALL.map(|country| of(country, status)).iter().sum::<usize>())),
    );
    total.push(right(sent.len()));
    table.add_row(total);
    table
}

/// The latencies of each phase.
pub(super) fn latencies(surface: Surface, phases: &[PhaseFigures]) -> Table {
    let mut table = surface.table(["Phase", "Decided", "Milliseconds", "p50", "p95", "p99", "max"]);
    for phase in phases {
        let decided = format!("{} of {}", phase.decided, phase.sent);
        table.add_row(latency_row(
            phase.phase.title(),
            &decided,
            "201 to pushed decision",
            phase.accepted_to_pushed,
        ));
        table.add_row(latency_row("", "", "POST to pushed decision", phase.sent_to_pushed));
    }
    table
}

fn latency_row(phase: &str, decided: &str, what: &str, figures: Option<Figures>) -> Vec<Cell> {
    let mut row = vec![Cell::new(phase), right(decided), Cell::new(what)];
    row.extend(match figures {
        Some(figures) => [figures.p50, figures.p95, figures.p99, figures.max].map(|figure| right(ms(figure))),
        None => [const { "-" }; 4].map(right),
    });
    row
}

/// The lines below the tables.
pub(super) fn closing_lines(report: &Report<'_>) -> String {
    let pushed = &report.websocket;
    let goal = match report.goal.met {
        Some(true) => "met",
        Some(false) => "missed",
        None => "not measured",
    };
    format!(
        "WebSocket: {} updates ({} due to this run), {} duplicates, {} out of order\n\
         Decided {} of {}: {} as expected for the simulator's test documents, {} without a bureau report\n\
         Goal, accepted to pushed p50 < {} ms on an idle machine: {goal}",
        pushed.updates,
        pushed.expected_updates,
        pushed.faults.duplicates,
        pushed.faults.out_of_order,
        report.decided,
        report.sent,
        report.as_expected,
        report.without_bureau,
        GOAL_P50.as_millis(),
    )
}

fn right(content: impl ToString) -> Cell {
    Cell::new(content).set_alignment(CellAlignment::Right)
}

/// Groups digits by thousands, such as `15,000,000`.
fn grouped(amount: u64) -> String {
    let digits = amount.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

const fn band_name(band: RiskBand) -> &'static str {
    match band {
        RiskBand::Low => "low",
        RiskBand::Medium => "medium",
        RiskBand::High => "high",
        RiskBand::Critical => "critical",
    }
}

const fn band_colour(band: RiskBand) -> Color {
    match band {
        RiskBand::Low => Color::Green,
        RiskBand::Medium => Color::Yellow,
        RiskBand::High | RiskBand::Critical => Color::Red,
    }
}

const fn status_colour(status: Status) -> Color {
    match status {
        Status::Approved | Status::Completed => Color::Green,
        Status::Rejected | Status::Cancelled => Color::Red,
        Status::Pending | Status::Validating | Status::UnderReview => Color::Yellow,
    }
}

#[cfg(test)]
mod tests {
    use super::super::history::Histories;
    use super::super::journal::tests::six_decided;
    use super::*;

    const PAPER: Surface = Surface { coloured: false, width: None };

    #[test]
    fn each_decision_is_one_line() {
        let mut submissions = six_decided();
        submissions[1].decided = None;
        submissions[1].reasons = None;
        submissions[5].decided = None;
        submissions[5].answer = Answer::Refused("503 overloaded".into());
        insta::assert_snapshot!(decisions(PAPER, &submissions).trim_fmt());
    }

    #[test]
    fn the_summary_counts_by_country_and_status_and_shows_latencies() {
        let submissions = six_decided();
        let report = Report::new(&submissions, &Histories::default());
        let text = format!(
            "{}\n\n{}\n\n{}",
            outcomes(PAPER, &submissions).trim_fmt(),
            latencies(PAPER, &report.phases).trim_fmt(),
            closing_lines(&report)
        );
        insta::assert_snapshot!(text);
    }

    #[test]
    fn the_table_fits_a_narrow_terminal() {
        let submissions = six_decided();
        let narrow = decisions(Surface { coloured: false, width: Some(80) }, &submissions).to_string();
        assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
    }

    #[test]
    fn escape_sequences_appear_only_with_colors() {
        let submissions = six_decided();
        let coloured = Surface { coloured: true, width: None };
        assert!(decisions(coloured, &submissions).to_string().contains('\u{1b}'));
        assert!(!decisions(PAPER, &submissions).to_string().contains('\u{1b}'));
    }

    #[test]
    fn amounts_are_grouped_by_thousands() {
        for (amount, shown) in [(0, "0"), (999, "999"), (1_000, "1,000"), (60_000_000, "60,000,000")] {
            assert_eq!(grouped(amount), shown);
        }
    }
}
