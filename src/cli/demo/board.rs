//! Progress display of a run: a progress bar and, on a terminal, a table of the latest decisions.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::journal::{Phase, Submission};
use super::tables::{Surface, decisions};
use crate::error::{Error, Result};

/// Most lines of the table: together with the bar it fits a terminal of 24 lines.
const MAX_LINES: usize = 21;
/// Lines of the table that are not decisions: frame and header.
const FRAME_LINES: usize = 4;

/// The progress display.
pub(super) struct Board {
    bars: MultiProgress,
    /// The table, shown as the message of another bar; `None` if standard output is not a terminal.
    table: Option<ProgressBar>,
    progress: ProgressBar,
    surface: Surface,
}

impl Board {
    /// Short enough to look live, long enough not to affect the measurements.
    pub(super) const REDRAW_INTERVAL: Duration = Duration::from_millis(100);

    /// A display for `total` applications. If `live`, it uses standard output, which must be a terminal. Otherwise only
    /// the bar is drawn, on standard error if that is a terminal.
    pub(super) fn new(total: usize, live: bool, surface: Surface) -> Result<Self> {
        let target = if live { ProgressDrawTarget::stdout() } else { ProgressDrawTarget::stderr() };
        let bars = MultiProgress::with_draw_target(target);
        let table = if live {
            let bar = bars.add(ProgressBar::new_spinner());
            bar.set_style(style("{msg}")?);
            Some(bar)
        } else {
            None
        };
        let total = u64::try_from(total).map_err(Error::internal)?;
        let progress = bars.add(ProgressBar::new(total));
        progress.set_style(style("{msg:8} [{bar:40}] {pos}/{len} decided, {elapsed}")?);
        Ok(Self { bars, table, progress, surface })
    }

    /// Shows the name of the phase.
    pub(super) fn begin(&self, phase: Phase) {
        self.progress.set_message(phase.title());
        self.progress.tick();
    }

    /// Updates the bar and the table.
    pub(super) fn show(&self, sent: &[Submission]) {
        let decided = sent.iter().filter(|sent| sent.decided.is_some()).count();
        self.progress.set_position(u64::try_from(decided).unwrap_or(u64::MAX));
        if let Some(table) = &self.table {
            table.set_message(newest(self.surface, sent));
        }
    }

    /// Removes the display before the final tables are printed.
    pub(super) fn clear(&self) {
        self.progress.finish_and_clear();
        if let Some(table) = &self.table {
            table.finish_and_clear();
        }
        // Failing to clear a closed terminal is harmless.
        let _ = self.bars.clear();
    }
}

/// The table of the latest decisions that fit. On a narrow terminal a decision takes several lines.
fn newest(surface: Surface, sent: &[Submission]) -> String {
    let mut rows = MAX_LINES - FRAME_LINES;
    loop {
        let table = decisions(surface, sent.iter().skip(sent.len().saturating_sub(rows)));
        let lines = table.lines().count();
        if lines <= MAX_LINES || rows <= 1 {
            return table.to_string();
        }
        let lines_each = lines.div_ceil(rows);
        rows -= (lines - MAX_LINES).div_ceil(lines_each).min(rows - 1);
    }
}

fn style(template: &str) -> Result<ProgressStyle> {
    ProgressStyle::with_template(template).map_err(Error::internal)
}

#[cfg(test)]
mod tests {
    use super::super::journal::tests::six_decided;
    use super::*;

    #[test]
    fn the_bar_counts_decisions_and_the_table_shows_the_latest() {
        let surface = Surface { coloured: false, width: None };
        let board = Board::new(6, true, surface).unwrap();
        let mut submissions = six_decided();
        submissions[2].decided = None;
        board.begin(Phase::Measured);
        board.show(&submissions);
        assert_eq!((board.progress.position(), board.progress.length()), (5, Some(6)));
        assert_eq!(board.progress.message(), "measured");
        let table = board.table.as_ref().unwrap().message();
        assert!(table.contains(submissions[5].case.full_name), "{table}");
        board.clear();
        assert!(board.progress.is_finished());
    }

    #[test]
    fn the_table_fits_a_small_terminal() {
        let many: Vec<_> = std::iter::repeat_with(six_decided).take(5).flatten().collect();
        for width in [None, Some(80), Some(120)] {
            let table = newest(Surface { coloured: false, width }, &many);
            assert!(table.lines().count() <= MAX_LINES, "{table}");
            assert!(table.contains("Eduardo"), "{table}");
        }
    }

    #[test]
    fn without_a_terminal_there_is_no_table() {
        let surface = Surface { coloured: false, width: None };
        let board = Board::new(6, false, surface).unwrap();
        board.show(&six_decided());
        assert!(board.table.is_none());
        assert_eq!(board.progress.position(), 6);
    }
}
