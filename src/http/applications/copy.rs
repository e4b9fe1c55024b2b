//! The cached form of an application.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::view::{ApplicationView, score_text};
use crate::cache::Subject;
use crate::domain::application::Application;
use crate::domain::ids::ApplicationId;
use crate::domain::status::Status;
use crate::error::{Error, Result};
use crate::http::HttpState;
use crate::lending::Caller;

/// An application, serialized once for all callers who may see it.
#[derive(Serialize, Deserialize)]
pub(super) struct ApplicationCopy {
    pub(super) version: i64,
    pub(super) created_by: String,
    pub(super) status: Status,
    pub(super) risk_score: Option<String>,
    pub(super) updated_at: DateTime<Utc>,
    /// An [`ApplicationView`].
    pub(super) view: Box<RawValue>,
}

impl ApplicationCopy {
    /// Reads an application that the caller may see from the cache or, on a miss, from the database.
    pub(super) async fn get(state: &HttpState, caller: &Caller, id: ApplicationId) -> Result<Self> {
        let load = async {
            let application = state.lending.get(caller, id).await?;
            let copy = serde_json::to_vec(&Self::of(application)?).map_err(Error::internal)?;
            Ok(Bytes::from(copy))
        };
        let copy = state.cache.get(Subject::Application(id), &caller.may_see, "", load).await?;
        serde_json::from_slice(&copy).map_err(Error::internal)
    }

    fn of(application: Application) -> Result<Self> {
        Ok(Self {
            version: application.version,
            created_by: application.created_by.clone(),
            status: application.status,
            risk_score: application.risk_score.map(score_text),
            updated_at: application.updated_at,
            view: to_raw_value(&ApplicationView::from(application)).map_err(Error::internal)?,
        })
    }
}
