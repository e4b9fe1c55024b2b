//! What the simulated rails do with a destination.
//!
//! Two characters of the destination choose the scenario: the last two of an IBAN, a Colombian account, a PIX phone number
//! or a random PIX key; the last two before the `@` of an e-mail address; and the last two before the check digits of a
//! CLABE, CPF or CNPJ. Any other pair is a payment that is settled immediately.

use crate::domain::named::named;

named! {
    /// The behaviour of a simulated rail.
    Scenario {
        /// Accepted and settled immediately.
        Settled = "settled",
        /// The look-up refuses the account with `AC01`.
        NoSuchAccount = "no_such_account",
        /// The look-up names another holder.
        OtherHolder = "other_holder",
        /// The submission is rejected with `AC04` (account closed).
        Closed = "closed",
        /// The submission is rejected with `AM04` (insufficient funds).
        InsufficientFunds = "insufficient_funds",
        /// The submission is rejected with `AM05` (duplicate).
        Duplicate = "duplicate",
        /// The payment is settled, but the submission is never answered.
        AcceptedThenTimeout = "accepted_then_timeout",
        /// The submission is lost: no answer, and no payment. Only the first submission of a key is.
        Lost = "lost",
        /// Accepted, and settled after some inquiries.
        Late = "late",
        /// Not answered, and inquiries are answered with "not decided".
        Undecided = "undecided",
        /// Accepted, and returned after some inquiries.
        Returned = "returned",
        /// Every submission is answered with 503.
        Down = "down",
    }
}

impl Scenario {
    /// The characters of the destination that choose the scenario.
    pub const fn digits(self) -> Option<&'static str> {
        match self {
            Self::Settled => None,
            Self::Undecided => Some("89"),
            Self::NoSuchAccount => Some("90"),
            Self::OtherHolder => Some("91"),
            Self::Closed => Some("92"),
            Self::InsufficientFunds => Some("93"),
            Self::Duplicate => Some("94"),
            Self::AcceptedThenTimeout => Some("95"),
            Self::Lost => Some("96"),
            Self::Late => Some("97"),
            Self::Returned => Some("98"),
            Self::Down => Some("99"),
        }
    }

    /// The scenario of a destination.
    pub fn of(destination: &str) -> Self {
        let chosen = choice(destination);
        Self::ALL.iter().copied().find(|known| known.digits() == chosen).unwrap_or(Self::Settled)
    }
}

/// The two characters that choose.
fn choice(destination: &str) -> Option<&str> {
    let text = destination.split('@').next()?;
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let check_digits = match text.len() {
        18 if is_digits(text) => 1,
        11 if is_digits(text) => 2,
        14 if !text.starts_with('+') && !text.contains('-') => 2,
        _ => 0,
    };
    let end = text.len().checked_sub(check_digits)?;
    text.get(end.checked_sub(2)?..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_characters_of_the_destination_choose_the_scenario() {
        for (destination, scenario) in [
            ("ES9121000418450200051332", Scenario::Settled),
            ("ES1400490001512345678992", Scenario::Closed),
            ("032180000118359719", Scenario::Settled),
            ("032180000118359955", Scenario::AcceptedThenTimeout),
            ("1007-A-12345678990", Scenario::NoSuchAccount),
            ("+5511912345697", Scenario::Late),
            ("ana91@example.com", Scenario::OtherHolder),
            ("123e4567-e12b-12d1-a456-426655440098", Scenario::Returned),
            ("52998229925", Scenario::Down),
            ("11222333009381", Scenario::InsufficientFunds),
            ("", Scenario::Settled),
        ] {
            assert_eq!(Scenario::of(destination), scenario, "{destination}");
        }
    }
}
