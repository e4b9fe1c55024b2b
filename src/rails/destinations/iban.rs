//! IBAN (ISO 13616): the length and structure of the country, and the check digits (ISO 7064, mod 97-10).

use iban::{Iban, IbanLike as _, ParseIbanError};

use super::{BadDestination, compact};

/// The countries and territories of the SEPA schemes with IBANs of their own (European Payments Council, EPC409-09).
const SEPA: [&str; 41] = [
    "AD", "AL", "AT", "BE", "BG", "CH", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GB", "GI", "GR",
    "HR", "HU", "IE", "IS", "IT", "LI", "LT", "LU", "LV", "MC", "MD", "ME", "MK", "MT", "NL", "NO", "PL",
    "PT", "RO", "RS", "SE", "SI", "SK", "SM",
];

/// The Vatican joined with its own code.
const VATICAN: &str = "VA";

pub(super) fn parse(text: &str) -> Result<String, BadDestination> {
    let compact = compact(text).ok_or(BadDestination::BadFormat)?;
    if !(15..=34).contains(&compact.len()) {
        return Err(BadDestination::BadLength);
    }
    let iban: Iban = compact.parse().map_err(why)?;
    let country = iban.country_code();
    if SEPA.contains(&country) || country == VATICAN {
        Ok(iban.electronic_str().to_owned())
    } else {
        Err(BadDestination::UnreachableCountry)
    }
}

fn why(error: ParseIbanError) -> BadDestination {
    match error {
        ParseIbanError::InvalidBaseIban { source: iban::ParseBaseIbanError::InvalidChecksum } => {
            BadDestination::BadCheckDigit
        }
        _ => BadDestination::BadFormat,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ibans_of_sepa_countries_are_accepted_and_others_are_refused_with_a_reason() {
        for (text, result) in [
            ("ES91 2100 0418 4502 0005 1332", Ok("ES9121000418450200051332")),
            ("pt50000201231234567890154", Ok("PT50000201231234567890154")),
            ("IT60 X054 2811 1010 0000 0123 456", Ok("IT60X0542811101000000123456")),
            ("DE89370400440532013000", Ok("DE89370400440532013000")),
            ("ES9121000418450200051333", Err(BadDestination::BadCheckDigit)),
            ("ES912100041845020005133", Err(BadDestination::BadCheckDigit)),
            ("DE5137040044053201300", Err(BadDestination::BadFormat)),
            ("ES91", Err(BadDestination::BadLength)),
            ("SA0380000000608010167519", Err(BadDestination::UnreachableCountry)),
            ("ES91_2100041845020005133", Err(BadDestination::BadFormat)),
        ] {
            assert_eq!(parse(text), result.map(str::to_owned), "{text}");
        }
    }
}
