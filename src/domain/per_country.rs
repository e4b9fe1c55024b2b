//! A value for each country.

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::application::Country;

/// One value for each country. In configuration, it is a table whose keys are the country codes in lower case. A country
/// that the table omits has the default value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PerCountry<T>(Vec<T>);

impl<T> PerCountry<T> {
    /// Calls `make` for each country.
    pub fn new(make: impl FnMut(Country) -> T) -> Self {
        Self(Country::ALL.into_iter().map(make).collect())
    }

    /// Like [`Self::new`], but stops at the first error.
    ///
    /// # Errors
    /// The first error of `make`.
    pub fn try_new<E>(make: impl FnMut(Country) -> Result<T, E>) -> Result<Self, E> {
        Country::ALL.into_iter().map(make).collect::<Result<_, E>>().map(Self)
    }

    /// The value of `country`.
    #[expect(
        clippy::as_conversions,
        clippy::indexing_slicing,
        reason = "every constructor makes the values in the order of the variants"
    )]
    pub fn get(&self, country: Country) -> &T {
        &self.0[country as usize]
    }

    /// Replaces the value of `country`.
    #[expect(
        clippy::as_conversions,
        clippy::indexing_slicing,
        reason = "every constructor makes the values in the order of the variants"
    )]
    pub fn set(&mut self, country: Country, value: T) {
        self.0[country as usize] = value;
    }
}

impl<T: Default> Default for PerCountry<T> {
    fn default() -> Self {
        Self::new(|_| T::default())
    }
}

/// The country with this configuration key.
///
/// # Errors
/// An error that lists the known keys.
pub fn country_of_key<E: serde::de::Error>(key: &str) -> Result<Country, E> {
    let found = Country::ALL.into_iter().find(|country| country.lower_code() == key);
    found.ok_or_else(|| E::unknown_field(key, &Country::LOWER_CODES))
}

impl<'de, T: Default + Deserialize<'de>> Deserialize<'de> for PerCountry<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Table(std::marker::PhantomData))
    }
}

struct Table<T>(std::marker::PhantomData<T>);

impl<'de, T: Default + Deserialize<'de>> Visitor<'de> for Table<T> {
    type Value = PerCountry<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table whose keys are country codes in lower case")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut values = PerCountry::default();
        while let Some(key) = map.next_key::<String>()? {
            values.set(country_of_key(&key)?, map.next_value()?);
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_country_has_its_own_value() {
        let codes = PerCountry::new(Country::code);
        assert!(Country::ALL.into_iter().all(|country| *codes.get(country) == country.code()));
    }

    #[test]
    fn a_table_may_omit_countries_but_must_not_contain_other_keys() {
        let read = |json| serde_json::from_str::<PerCountry<u8>>(json).map_err(|error| error.to_string());
        let table = read(r#"{"br": 7}"#).unwrap();
        assert_eq!((table.get(Country::Br), table.get(Country::Es)), (&7, &0));
        assert!(read(r#"{"fr": 7}"#).unwrap_err().contains("unknown field `fr`, expected one of `es`"));
        assert!(read(r#"{"ES": 7}"#).is_err(), "keys are in lower case");
    }
}
