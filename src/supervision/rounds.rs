//! Combines hints into rounds of work. Only one round runs at a time.

/// Whether a round is running, and whether another one has been requested since it began.
#[derive(Debug, Default)]
pub struct Rounds {
    running: bool,
    again: bool,
}

impl Rounds {
    /// Whether a round may begin now. If not, the running one will be followed by another.
    pub fn begin(&mut self) -> bool {
        self.again |= self.running;
        !std::mem::replace(&mut self.running, true)
    }

    /// Whether no round is running.
    pub fn is_idle(&self) -> bool {
        !self.running
    }

    /// Ends the round. Returns whether another was requested since it began.
    pub fn end(&mut self) -> bool {
        self.running = false;
        std::mem::take(&mut self.again)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_during_a_round_cause_exactly_one_more() {
        let mut rounds = Rounds::default();
        assert!(rounds.begin());
        assert!(!rounds.begin() && !rounds.begin());
        assert!(!rounds.is_idle() && rounds.end() && rounds.is_idle());
        assert!(rounds.begin());
        assert!(!rounds.end());
    }
}
