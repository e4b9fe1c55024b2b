//! What is seen while a run goes on: a progress bar and, on a terminal, the newest decisions, drawn in place.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::journal::{Phase, Submission};
use super::tables::{Surface, decisions};
use crate::error::{Error, Result};

/// As many decisions as fit a small terminal beside the bar.
const NEWEST: usize = 10;

/// The moving part of the output.
pub(super) struct Board {
    bars: MultiProgress,
    /// The table, as the message of a bar of its own; `None` when standard output is no terminal.
    table: Option<ProgressBar>,
    progress: ProgressBar,
    surface: Surface,
}

impl Board {
    /// Often enough for the eye, seldom enough not to disturb what is measured.
    pub(super) const REDRAW_INTERVAL: Duration = Duration::from_millis(100);

    /// A board for `total` applications. With `live` it draws on standard output, which is a terminal then; otherwise
    /// the bar alone is drawn, on standard error if that is a terminal.
    ///
    /// # Errors
    /// [`Error::Internal`] when the bar's template is wrong.
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

    /// Names the phase that begins.
    pub(super) fn begin(&self, phase: Phase) {
        self.progress.set_message(phase.title());
        self.progress.tick();
    }

    /// Shows how far the run is.
    pub(super) fn show(&self, sent: &[Submission]) {
        let decided = sent.iter().filter(|sent| sent.decided.is_some()).count();
        self.progress.set_position(u64::try_from(decided).unwrap_or(u64::MAX));
        if let Some(table) = &self.table {
            let newest = sent.iter().skip(sent.len().saturating_sub(NEWEST));
            table.set_message(decisions(self.surface, newest).to_string());
        }
    }

    /// Takes everything away again, so that the final tables stand alone.
    pub(super) fn clear(&self) {
        self.progress.finish_and_clear();
        if let Some(table) = &self.table {
            table.finish_and_clear();
        }
        // A terminal that is gone needs no clearing.
        let _ = self.bars.clear();
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
    fn the_bar_counts_decisions_and_the_table_shows_the_newest() {
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
    fn without_a_terminal_there_is_no_table() {
        let surface = Surface { coloured: false, width: None };
        let board = Board::new(6, false, surface).unwrap();
        board.show(&six_decided());
        assert!(board.table.is_none());
        assert_eq!(board.progress.position(), 6);
    }
}
