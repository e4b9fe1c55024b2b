//! Members shared by operators' requests.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::value::RawValue;

use crate::domain::members::{Refusal, string};
use crate::http::applications::change;

/// Reads the mandatory reason of an operator action. Fails if it is empty, too long or contains control characters.
pub fn required_reason(raw: &RawValue) -> Result<String, Refusal> {
    let reason = change::reason(raw)?;
    let stated = reason.trim();
    if stated.is_empty() {
        Err(("bad_reason", "must not be empty".to_owned()))
    } else {
        Ok(stated.to_owned())
    }
}

/// Reads a future time, at most `longest` after `now`.
pub(super) fn expiry(
    raw: &RawValue,
    now: DateTime<Utc>,
    longest: TimeDelta,
) -> Result<DateTime<Utc>, Refusal> {
    let moment = DateTime::parse_from_rfc3339(&string(raw)?).ok().map(|moment| moment.to_utc());
    let moment = moment.ok_or_else(|| ("bad_time", "must be an RFC 3339 time".to_owned()))?;
    let hours = longest.num_hours();
    if moment <= now || moment > now + longest {
        return Err(("out_of_range", format!("must be in the future, within {hours} hours")));
    }
    Ok(moment)
}
