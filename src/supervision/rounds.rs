//! One round of work at a time, however many hints ask for it.

/// Whether a round runs, and whether another was asked for meanwhile.
#[derive(Debug, Default)]
pub struct Rounds {
    running: bool,
    again: bool,
}

impl Rounds {
    /// Whether a round may begin now; if not, the one that runs will be followed by another.
    pub fn begin(&mut self) -> bool {
        self.again |= self.running;
        !std::mem::replace(&mut self.running, true)
    }

    /// Whether no round runs.
    pub fn is_idle(&self) -> bool {
        !self.running
    }

    /// Ends the round; whether another was asked for since it began.
    pub fn end(&mut self) -> bool {
        self.running = false;
        std::mem::take(&mut self.again)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_during_a_round_lead_to_one_more_and_no_further() {
        let mut rounds = Rounds::default();
        assert!(rounds.begin());
        assert!(!rounds.begin() && !rounds.begin());
        assert!(!rounds.is_idle() && rounds.end() && rounds.is_idle());
        assert!(rounds.begin());
        assert!(!rounds.end());
    }
}
