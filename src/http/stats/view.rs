//! Response types for statistics. Every country, status, day and month is present, with zeros if there are no
//! applications. Amounts in different currencies are never added up.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike as _, Days, Months, NaiveDate, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::application::Country;
use crate::domain::decision::RiskBand;
use crate::domain::status::Status;
use crate::lending::figures::{DAYS, Figures, MONTHS, PeriodCount, StatusCount};

/// Application counts and approval rate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Decided {
    /// All applications.
    #[schema(example = 120)]
    pub total: i64,
    /// Applications by status.
    #[schema(example = json!({"PENDING": 4, "VALIDATING": 0, "APPROVED": 80, "REJECTED": 20, "UNDER_REVIEW": 10, "CANCELLED": 6, "COMPLETED": 0}))]
    pub by_status: BTreeMap<String, i64>,
    /// Approved and completed applications.
    #[schema(example = 80)]
    pub approved: i64,
    /// Approved, completed and rejected applications.
    #[schema(example = 100)]
    pub decided: i64,
    /// The share of approved among decided applications, from 0 to 1 with four decimal places; `null` if none has been
    /// decided.
    #[schema(example = "0.8000")]
    pub approval_rate: Option<String>,
}

/// Decided applications by risk band.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Risks {
    /// Risk score below 30.
    #[schema(example = 60)]
    pub low: i64,
    /// Risk score from 30 to below 50.
    #[schema(example = 20)]
    pub medium: i64,
    /// Risk score from 50 to below 70.
    #[schema(example = 12)]
    pub high: i64,
    /// Risk score of 70 and above.
    #[schema(example = 6)]
    pub critical: i64,
    /// Decided without a risk score.
    #[schema(example = 2)]
    pub unknown: i64,
    /// The average of the known risk scores, with two decimal places; `null` if there are none.
    #[schema(example = "33.41")]
    pub average: Option<String>,
}

/// The totals of one country.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CountryTotals {
    /// The country.
    #[schema(value_type = crate::http::schemas::CountryCode)]
    pub country: Country,
    /// ISO 4217 code of the currency of all amounts.
    #[schema(value_type = crate::http::schemas::CurrencyCode, example = "EUR")]
    pub currency: String,
    /// Application counts and approval rate.
    #[serde(flatten)]
    pub decided: Decided,
    /// Decided applications by risk band.
    pub risk: Risks,
    /// The sum of the requested amounts.
    #[schema(example = "1800000.00")]
    pub requested_amount: String,
    /// The sum of the requested amounts of approved and completed applications.
    #[schema(example = "1200000.00")]
    pub approved_amount: String,
}

/// Amounts in one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CurrencyAmounts {
    /// ISO 4217 currency code.
    #[schema(value_type = crate::http::schemas::CurrencyCode, example = "EUR")]
    pub currency: String,
    /// Total amount requested in applications created in the period.
    #[schema(example = "45000.00")]
    pub requested: String,
    /// Total amount requested in applications approved in the period.
    #[schema(example = "30000.00")]
    pub approved: String,
}

/// The activity of a day or a month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Period {
    /// The day (`2026-01-31`) or month (`2026-01`), in UTC.
    #[schema(example = "2026-01-31")]
    pub period: String,
    /// Applications created in the period.
    #[schema(example = 3)]
    pub created: i64,
    /// Applications approved in the period, regardless of when they were created.
    #[schema(example = 2)]
    pub approved: i64,
    /// Applications rejected in the period.
    #[schema(example = 1)]
    pub rejected: i64,
    /// Applications sent to manual review in the period.
    #[schema(example = 0)]
    pub under_review: i64,
    /// Applications cancelled in the period.
    #[schema(example = 0)]
    pub cancelled: i64,
    /// The amounts by currency.
    pub amounts: Vec<CurrencyAmounts>,
}

/// Statistics for all countries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatisticsView {
    /// The time at which the figures were current.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub as_of: DateTime<Utc>,
    /// Application counts and approval rate.
    #[serde(flatten)]
    pub decided: Decided,
    /// The totals by country.
    pub countries: Vec<CountryTotals>,
    /// The last 30 days including today, oldest first.
    pub days: Vec<Period>,
    /// The last 12 months including the current one, oldest first.
    pub months: Vec<Period>,
}

/// Statistics for one country.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CountryStatisticsView {
    /// The time at which the figures were current.
    #[serde(serialize_with = "crate::domain::timestamp::serialize")]
    pub as_of: DateTime<Utc>,
    /// The totals of the country.
    #[serde(flatten)]
    pub totals: CountryTotals,
    /// The last 30 days including today, oldest first.
    pub days: Vec<Period>,
    /// The last 12 months including the current one, oldest first.
    pub months: Vec<Period>,
}

impl StatisticsView {
    pub(super) fn of(figures: &Figures) -> Self {
        Self {
            as_of: figures.as_of,
            decided: Decided::of(&figures.counts.iter().collect::<Vec<_>>()),
            countries: Country::ALL.into_iter().map(|country| CountryTotals::of(country, figures)).collect(),
            days: days(figures, &Country::ALL),
            months: months(figures, &Country::ALL),
        }
    }
}

impl CountryStatisticsView {
    pub(super) fn of(country: Country, figures: &Figures) -> Self {
        Self {
            as_of: figures.as_of,
            totals: CountryTotals::of(country, figures),
            days: days(figures, &[country]),
            months: months(figures, &[country]),
        }
    }
}

const fn is_approved(status: Status) -> bool {
    matches!(status, Status::Approved | Status::Completed)
}

const fn is_decided(status: Status) -> bool {
    is_approved(status) || matches!(status, Status::Rejected)
}

impl Decided {
    fn of(counts: &[&StatusCount]) -> Self {
        let sum = |belongs: &dyn Fn(Status) -> bool| -> i64 {
            counts.iter().filter(|count| belongs(count.status)).map(|count| count.applications).sum()
        };
        let (approved, decided) = (sum(&is_approved), sum(&is_decided));
        let rate = Decimal::from(approved).checked_div(Decimal::from(decided));
        Self {
            total: sum(&|_| true),
            by_status: Status::ALL
                .into_iter()
                .map(|status| (status.as_str().to_owned(), sum(&|of| of == status)))
                .collect(),
            approved,
            decided,
            approval_rate: rate.map(|rate| format!("{:.4}", rate.round_dp(4))),
        }
    }
}

impl Risks {
    fn of(counts: &[&StatusCount]) -> Self {
        let [mut low, mut medium, mut high, mut critical] = [0; RiskBand::ALL.len()];
        for [in_low, in_medium, in_high, in_critical] in counts.iter().map(|count| count.risk_bands) {
            low += in_low;
            medium += in_medium;
            high += in_high;
            critical += in_critical;
        }
        let known = low + medium + high + critical;
        let decided: i64 =
            counts.iter().filter(|count| is_decided(count.status)).map(|count| count.applications).sum();
        let sum: Decimal = counts.iter().map(|count| count.risk_sum).sum();
        let average = sum.checked_div(Decimal::from(known));
        let average = average.map(|average| format!("{:.2}", average.round_dp(2)));
        Self { low, medium, high, critical, unknown: decided - known, average }
    }
}

impl CountryTotals {
    fn of(country: Country, figures: &Figures) -> Self {
        let counts: Vec<_> = figures.counts.iter().filter(|count| count.country == country).collect();
        let approved = counts.iter().filter(|count| is_approved(count.status));
        Self {
            country,
            currency: country.currency().to_owned(),
            decided: Decided::of(&counts),
            risk: Risks::of(&counts),
            requested_amount: amount(counts.iter().map(|count| count.requested_amount)),
            approved_amount: amount(approved.map(|count| count.requested_amount)),
        }
    }
}

pub(super) fn amount(amounts: impl Iterator<Item = Decimal>) -> String {
    format!("{:.2}", amounts.sum::<Decimal>())
}

fn days(figures: &Figures, countries: &[Country]) -> Vec<Period> {
    let today = figures.as_of.date_naive();
    let all = (0..DAYS).rev().filter_map(|ago| today.checked_sub_days(Days::new(ago)));
    all.map(|day| Period::of(day, day.to_string(), &figures.days, countries)).collect()
}

fn months(figures: &Figures, countries: &[Country]) -> Vec<Period> {
    let today = figures.as_of.date_naive();
    let this_month = today.with_day(1).unwrap_or(today);
    let all = (0..MONTHS).rev().filter_map(|ago| this_month.checked_sub_months(Months::new(ago)));
    all.map(|month| {
        let name = format!("{:04}-{:02}", month.year(), month.month());
        Period::of(month, name, &figures.months, countries)
    })
    .collect()
}

impl Period {
    fn of(begin: NaiveDate, name: String, counts: &[PeriodCount], countries: &[Country]) -> Self {
        let counts: Vec<&PeriodCount> = counts.iter().filter(|count| count.period == begin).collect();
        let sum = |number: fn(&PeriodCount) -> i64| counts.iter().map(|count| number(count)).sum();
        let mut currencies: Vec<&'static str> = Vec::new();
        for country in countries {
            if !currencies.contains(&country.currency()) {
                currencies.push(country.currency());
            }
        }
        let amounts = currencies.into_iter().map(|currency| {
            let of_currency = || counts.iter().filter(|count| count.country.currency() == currency);
            CurrencyAmounts {
                currency: currency.to_owned(),
                requested: amount(of_currency().map(|count| count.requested_amount)),
                approved: amount(of_currency().map(|count| count.approved_amount)),
            }
        });
        Self {
            period: name,
            created: sum(|count| count.created),
            approved: sum(|count| count.approved),
            rejected: sum(|count| count.rejected),
            under_review: sum(|count| count.under_review),
            cancelled: sum(|count| count.cancelled),
            amounts: amounts.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(country: Country, status: Status, applications: i64, requested: i64) -> StatusCount {
        StatusCount {
            country,
            status,
            applications,
            requested_amount: Decimal::from(requested),
            risk_bands: [0; 4],
            risk_sum: Decimal::ZERO,
        }
    }

    fn figures() -> Figures {
        let rejected = StatusCount {
            risk_bands: [0, 1, 0, 1],
            risk_sum: Decimal::new(12_345, 2),
            ..count(Country::Es, Status::Rejected, 3, 30)
        };
        let day = |day: u32, country, created: i64| PeriodCount {
            period: NaiveDate::from_ymd_opt(2026, 3, day).unwrap(),
            country,
            created,
            requested_amount: Decimal::from(created * 10),
            approved: 1,
            rejected: 0,
            under_review: 0,
            cancelled: 0,
            approved_amount: Decimal::from(5),
        };
        Figures {
            as_of: "2026-03-31T12:00:00Z".parse().unwrap(),
            counts: vec![
                count(Country::Es, Status::Pending, 1, 10),
                count(Country::Es, Status::Approved, 5, 50),
                count(Country::Es, Status::Completed, 1, 10),
                rejected,
                count(Country::Mx, Status::Pending, 2, 1000),
            ],
            days: vec![day(30, Country::Es, 1), day(30, Country::It, 2), day(30, Country::Mx, 4)],
            months: vec![day(1, Country::Es, 7)],
        }
    }

    #[test]
    fn decided_applications_are_approved_completed_or_rejected() {
        let view = CountryStatisticsView::of(Country::Es, &figures());
        let decided = &view.totals.decided;
        assert_eq!((decided.total, decided.decided, decided.approved), (10, 9, 6));
        assert_eq!(decided.approval_rate.as_deref(), Some("0.6667"));
        assert_eq!(decided.by_status.len(), Status::ALL.len());
        assert_eq!(decided.by_status["REJECTED"], 3);
        assert_eq!((&*view.totals.requested_amount, &*view.totals.approved_amount), ("100.00", "60.00"));
        let risk = &view.totals.risk;
        assert_eq!((risk.low, risk.medium, risk.high, risk.critical, risk.unknown), (0, 1, 0, 1, 7));
        assert_eq!(risk.average.as_deref(), Some("61.72"), "half to even");
    }

    #[test]
    fn statistics_without_applications_contain_zeros() {
        let empty = Figures { counts: vec![], days: vec![], months: vec![], ..figures() };
        let view = StatisticsView::of(&empty);
        assert_eq!((view.decided.total, &view.decided.approval_rate), (0, &None));
        assert_eq!(view.countries.len(), Country::ALL.len());
        assert!(view.countries.iter().all(|country| country.risk.average.is_none()));
        assert!(view.days.iter().all(|day| day.created == 0));
    }

    #[test]
    fn amounts_are_only_summed_within_a_currency() {
        let view = StatisticsView::of(&figures());
        assert_eq!((view.days.len(), view.months.len()), (30, 12));
        assert_eq!((&*view.days[0].period, &*view.days[29].period), ("2026-03-02", "2026-03-31"));
        assert_eq!((&*view.months[0].period, &*view.months[11].period), ("2025-04", "2026-03"));
        let yesterday = &view.days[28];
        assert_eq!((yesterday.created, yesterday.approved), (7, 3));
        let amounts: Vec<(&str, &str, &str)> =
            yesterday.amounts.iter().map(|a| (&*a.currency, &*a.requested, &*a.approved)).collect();
        let (used, unused) = amounts.split_at(2);
        assert_eq!(used, [("EUR", "30.00", "10.00"), ("MXN", "40.00", "5.00")]);
        assert!(unused.contains(&("COP", "0.00", "0.00")), "{unused:?}");
        assert!(unused.iter().all(|(_, requested, approved)| (*requested, *approved) == ("0.00", "0.00")));
        assert_eq!(view.months[11].created, 7);
    }
}
