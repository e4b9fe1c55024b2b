//! Topics that a session can subscribe to.

use crate::domain::application::Country;
use crate::domain::ids::ApplicationId;

/// A subset of the sequence of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// All applications: the channel `applications`.
    All,
    /// The applications of one country.
    Country(Country),
    /// One application.
    Application(ApplicationId),
    /// Assignments of applications under review, for analysts and admins: the channel `reviews`.
    Reviews,
    /// Accounts, API keys and circuit breakers, for admins: the channel `operations`.
    Operations,
}

impl Topic {
    /// The channel of [`Topic::All`].
    pub const ALL_CHANNEL: &'static str = "applications";
    /// The channel of [`Topic::Reviews`].
    pub const REVIEWS_CHANNEL: &'static str = "reviews";
    /// The channel of [`Topic::Operations`].
    pub const OPERATIONS_CHANNEL: &'static str = "operations";

    /// Whether an event can belong to both topics. The country of an application is unknown here, so the topic of an
    /// application may overlap with that of any country.
    pub(super) fn may_overlap(self, other: Self) -> bool {
        match (self, other) {
            (Self::Country(one), Self::Country(two)) => one == two,
            (Self::Application(one), Self::Application(two)) => one == two,
            (Self::Operations, other) | (other, Self::Operations) => other == Self::Operations,
            (Self::Reviews, other) | (other, Self::Reviews) => other == Self::Reviews,
            (Self::All | Self::Country(_) | Self::Application(_), _) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn two_countries_two_applications_reviews_and_operations_never_overlap() {
        let [one, two] = [1, 2].map(|n| Topic::Application(ApplicationId::new(Uuid::from_u128(n))));
        let [es, pt] = [Country::Es, Country::Pt].map(Topic::Country);
        for (left, right, overlap) in [
            (es, pt, false),
            (one, two, false),
            (es, es, true),
            (one, one, true),
            (one, es, true),
            (Topic::All, es, true),
            (one, Topic::All, true),
            (Topic::Operations, Topic::Operations, true),
            (Topic::Operations, Topic::All, false),
            (Topic::Operations, es, false),
            (one, Topic::Operations, false),
            (Topic::Reviews, Topic::Reviews, true),
            (Topic::Reviews, Topic::All, false),
            (Topic::Reviews, es, false),
            (one, Topic::Reviews, false),
            (Topic::Reviews, Topic::Operations, false),
        ] {
            assert_eq!(left.may_overlap(right), overlap, "{left:?} {right:?}");
            assert_eq!(right.may_overlap(left), overlap, "{right:?} {left:?}");
        }
    }
}
