//! The settings of a user account for the console.

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use super::{Accounts, Principal};
use crate::error::Result;
use crate::storage::account_settings::{self, StoredSettings};

/// A language of the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    En,
    Es,
    Pt,
    It,
}

impl Language {
    pub const ALL: [Self; 4] = [Self::En, Self::Es, Self::Pt, Self::It];

    /// The name in JSON and SQL: ISO 639-1.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Es => "es",
            Self::Pt => "pt",
            Self::It => "it",
        }
    }

    /// The language with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.as_str() == name)
    }
}

/// The colours of the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Theme {
    Light,
    Dark,
    /// As the browser prefers.
    #[default]
    Auto,
}

impl Theme {
    pub const ALL: [Self; 3] = [Self::Light, Self::Dark, Self::Auto];

    /// The name in JSON and SQL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
            Self::Auto => "auto",
        }
    }

    /// The theme with this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|theme| theme.as_str() == name)
    }
}

/// The settings of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OwnSettings {
    /// `None` means the language of the browser.
    pub language: Option<Language>,
    /// `None` means the time zone of the browser.
    pub time_zone: Option<Tz>,
    pub theme: Theme,
}

impl From<StoredSettings> for OwnSettings {
    /// A value that a newer version stored counts as not set.
    fn from(stored: StoredSettings) -> Self {
        Self {
            language: stored.language.as_deref().and_then(Language::parse),
            time_zone: stored.time_zone.and_then(|name| name.parse().ok()),
            theme: Theme::parse(&stored.theme).unwrap_or_default(),
        }
    }
}

impl Accounts {
    /// The caller's settings.
    ///
    /// # Errors
    /// [`Error::Forbidden`](crate::error::Error::Forbidden) for an API key.
    pub async fn own_settings(&self, principal: &Principal) -> Result<OwnSettings> {
        let user_id = principal.user_id()?;
        let stored = account_settings::find(&mut *self.inner.database.get().await?, user_id).await?;
        Ok(stored.map(OwnSettings::from).unwrap_or_default())
    }

    /// Replaces the caller's settings.
    ///
    /// # Errors
    /// [`Error::Forbidden`](crate::error::Error::Forbidden) for an API key.
    pub async fn set_own_settings(&self, principal: &Principal, settings: &OwnSettings) -> Result<()> {
        let user_id = principal.user_id()?;
        let stored = StoredSettings {
            language: settings.language.map(|language| language.as_str().to_owned()),
            time_zone: settings.time_zone.map(|zone| zone.name().to_owned()),
            theme: settings.theme.as_str().to_owned(),
        };
        account_settings::set(&mut *self.inner.database.get().await?, user_id, &stored).await
    }
}
