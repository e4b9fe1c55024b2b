//! Payment rails and what they answer.

use crate::domain::application::Country;
use crate::domain::named::named;
use crate::domain::personal_data::FullName;

named! {
    /// A payment system.
    Rail {
        /// SEPA credit transfers: Spain, Portugal, Italy.
        Sepa = "sepa",
        /// SPEI of Banco de México.
        Spei = "spei",
        /// PIX of Banco Central do Brasil.
        Pix = "pix",
        /// The ACH batches of Colombia.
        CoAch = "co_ach",
    }
}

impl Rail {
    /// The rail that pays out in a country.
    pub const fn of(country: Country) -> Self {
        match country {
            Country::Es | Country::Pt | Country::It => Self::Sepa,
            Country::Mx => Self::Spei,
            Country::Br => Self::Pix,
            Country::Co => Self::CoAch,
        }
    }

    /// The kind of destination that the rail pays to.
    pub const fn destination(self) -> DestinationKind {
        match self {
            Self::Sepa => DestinationKind::Iban,
            Self::Spei => DestinationKind::Clabe,
            Self::Pix => DestinationKind::Pix,
            Self::CoAch => DestinationKind::CoAccount,
        }
    }
}

named! {
    /// The kind of a destination.
    DestinationKind {
        Iban = "iban",
        Clabe = "clabe",
        Pix = "pix",
        CoAccount = "co_account",
    }
}

named! {
    /// What a rail says about a payment.
    PaymentStatus {
        /// The rail will make the payment.
        Accepted = "accepted",
        /// The payment was made.
        Settled = "settled",
        /// The payment was not and will not be made.
        Rejected = "rejected",
        /// The payment was made and came back.
        Returned = "returned",
        /// The rail cannot tell yet.
        Unknown = "unknown",
        /// The rail has no payment with this key.
        NotFound = "not_found",
    }
}

impl PaymentStatus {
    /// What a rail may report by itself. The others are only answers to inquiries.
    pub const REPORTED: [Self; 4] = [Self::Accepted, Self::Settled, Self::Rejected, Self::Returned];
}

/// The answer of a rail about a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentAnswer {
    pub status: PaymentStatus,
    /// The rail's reason code, such as `AC04` (ISO 20022).
    pub reason: Option<String>,
    /// The rail's own reference.
    pub reference: Option<String>,
}

/// The answer of a rail about a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationAnswer {
    /// The rail's reason code if the destination cannot be paid to.
    pub refused: Option<String>,
    /// The name of the account's holder, if the rail tells it.
    pub holder: Option<FullName>,
}
