//! Buró de Crédito, Mexico: a single line of text modelled on its INTL format.
//!
//! A response is a fixed-width header followed by fields, each with a two-character tag, a two-digit length and a
//! value. A field whose tag consists of letters begins a segment. A field whose tag consists of digits belongs to the
//! current segment:
//!
//! ```text
//! INTL14 <control number, 25 wide> MX MXN                     header, 36 characters without the spaces
//! RS 02 01   00 04 0003   01 12 000003600000   02 12 …        summary: accounts, debt, monthly payments, …
//! SC 08 BC SCORE   00 03 007   01 04 0750                     score
//! ES 05 00135   00 02 **                                      end: length of the whole message, end mark
//! ```
//!
//! Amounts are in centavos with 12 digits. Instead of a score, there may be an exclusion code from `-001` to `-009` (the
//! file is too new, has no accounts, …); the score is then unknown. The length in `ES` is the length of the whole message,
//! so truncation is always detected. Unknown segments and tags are skipped, but a known field must not occur twice. The
//! format is ASCII, so requests contain names without accents.

mod simulated;

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::report_body::{add_extras, common_score, malformed, text, whole, yes_no};
use super::{Bureau, BureauAdapter, BureauRequest, MalformedReport, Subject};
use crate::domain::application::Country;
use crate::domain::banking::{AccountStatus, BankingData, CreditScore};
use crate::domain::money::Money;

pub(super) static BUREAU: Bureau = Bureau {
    adapter: &BuroDeCredito,
    simulated: &simulated::SIMULATED,
    #[cfg(test)]
    samples: tests::SAMPLES,
};

/// The adapter for Mexico.
struct BuroDeCredito;

const VERSION: &str = "INTL14";
const CONTROL_NUMBER_WIDTH: usize = 25;
const COUNTRY_AND_CURRENCY: &str = "MXMXN";
/// The maximum length of a value, which has two digits.
const MAX_VALUE_LEN: usize = 99;
/// The segments that are parsed: summary and score.
const KNOWN_SEGMENTS: [&str; 2] = ["RS", "SC"];

impl BureauAdapter for BuroDeCredito {
    fn name(&self) -> &'static str {
        "Buró de Crédito"
    }

    fn label(&self) -> &'static str {
        "buro_de_credito"
    }

    fn country(&self) -> Country {
        Country::Mx
    }

    fn request(&self, subject: &Subject) -> BureauRequest {
        let mut message = format!("{VERSION}{:<CONTROL_NUMBER_WIDTH$}001MX", "AVAL");
        push_field(&mut message, "PN", &ascii_name(subject.full_name.reveal()));
        push_field(&mut message, "08", subject.identity_document.reveal());
        push_end(&mut message);
        BureauRequest {
            path: "/intl/consulta",
            content_type: "text/plain; charset=us-ascii",
            accept: "text/plain",
            body: message.into_bytes(),
        }
    }

    fn parse(&self, body: &[u8]) -> Result<BankingData, MalformedReport> {
        let message = text(body)?;
        if !message.is_ascii() {
            return Err(malformed("not ASCII"));
        }
        let (control_number, fields) = header(message).ok_or_else(|| malformed("not an INTL header"))?;
        let fields = read_fields(fields, message.len())?;
        let field = |segment, tag| fields.get(&(segment, tag)).copied();
        let mut data = BankingData::empty(self.name());
        data.total_debt = centavos("RS-01", field("RS", "01"))?;
        data.monthly_obligations = centavos("RS-02", field("RS", "02"))?;
        data.account_status = field("RS", "03").map(account_status);
        data.has_defaults = yes_no("RS-04", field("RS", "04"), ("S", "N"))?;
        data.credit_score = field("SC", "01").map(score).transpose()?.flatten();
        add_extras(&mut data, control_number, whole("RS-00", field("RS", "00"))?)?;
        Ok(data)
    }
}

/// Appends a field. The value must be ASCII. It is truncated to the maximum length.
fn push_field(message: &mut String, tag: &str, value: &str) {
    let value = value.get(..MAX_VALUE_LEN).unwrap_or(value);
    message.push_str(&format!("{tag}{:02}{value}", value.len()));
}

/// Appends the end segment with the length of the whole message, including itself.
fn push_end(message: &mut String) {
    let length = message.len() + "ES05000000002**".len();
    push_field(message, "ES", &format!("{length:05}"));
    push_field(message, "00", "**");
}

/// The name in ASCII capitals without accents. Characters without an ASCII form are omitted.
fn ascii_name(name: &str) -> String {
    name.chars()
        .flat_map(char::to_uppercase)
        .filter_map(|letter| match letter {
            'Á' | 'À' | 'Â' | 'Ã' | 'Ä' => Some('A'),
            'É' | 'È' | 'Ê' | 'Ë' => Some('E'),
            'Í' | 'Ì' | 'Î' | 'Ï' => Some('I'),
            'Ó' | 'Ò' | 'Ô' | 'Õ' | 'Ö' => Some('O'),
            'Ú' | 'Ù' | 'Û' | 'Ü' => Some('U'),
            'Ñ' => Some('N'),
            'Ç' => Some('C'),
            _ => letter.is_ascii().then_some(letter),
        })
        .collect()
}

/// The control number without padding, and the text after the header.
fn header(message: &str) -> Option<(&str, &str)> {
    let (control_number, rest) = message.strip_prefix(VERSION)?.split_at_checked(CONTROL_NUMBER_WIDTH)?;
    Some((control_number.trim_end(), rest.strip_prefix(COUNTRY_AND_CURRENCY)?))
}

/// Reads the known fields by segment and tag, up to the end mark.
fn read_fields(mut rest: &str, message_len: usize) -> Result<BTreeMap<(&str, &str), &str>, MalformedReport> {
    let mut fields = BTreeMap::new();
    let mut segment = "";
    loop {
        let at = message_len - rest.len();
        let (tag, value, after) = split_field(rest).ok_or_else(|| malformed(format!("no field at {at}")))?;
        rest = after;
        if tag == "ES" {
            let declared: Option<usize> = whole("ES", Some(value))?;
            let whole_message = declared == Some(message_len) && rest == "0002**";
            return if whole_message {
                Ok(fields)
            } else {
                Err(malformed("the end does not match the message"))
            };
        }
        let opens_segment = tag.bytes().all(|byte| byte.is_ascii_uppercase());
        if opens_segment {
            segment = tag;
        }
        let key = (segment, if opens_segment { "" } else { tag });
        if KNOWN_SEGMENTS.contains(&segment) && fields.insert(key, value).is_some() {
            return Err(malformed(format!("{}-{} occurs twice, at {at}", key.0, key.1)));
        }
    }
}

/// The first field of `text` as tag and value, and the rest of the text.
fn split_field(text: &str) -> Option<(&str, &str, &str)> {
    let (tag, rest) = text.split_at_checked(2)?;
    let (length, rest) = rest.split_at_checked(2)?;
    let of_one_kind = tag.bytes().all(|b| b.is_ascii_uppercase()) || tag.bytes().all(|b| b.is_ascii_digit());
    let digits = length.bytes().all(|byte| byte.is_ascii_digit());
    let length = (of_one_kind && digits).then(|| length.parse().ok()).flatten()?;
    let (value, rest) = rest.split_at_checked(length)?;
    Some((tag, value, rest))
}

fn score(value: &str) -> Result<Option<CreditScore>, MalformedReport> {
    if let Some(exclusion) = value.strip_prefix('-') {
        return match whole("SC-01", Some(exclusion))? {
            Some(1_u8..=9) => Ok(None),
            _ => Err(malformed("SC-01 is not an exclusion code from -001 to -009")),
        };
    }
    common_score("SC-01", whole("SC-01", Some(value))?)
}

fn centavos(field: &str, value: Option<&str>) -> Result<Option<Money>, MalformedReport> {
    value
        .map(|text| {
            let centavos = if text.len() == 12 { whole::<u64>(field, Some(text))? } else { None };
            centavos
                .and_then(|centavos| Money::from_decimal(Decimal::from_i128_with_scale(centavos.into(), 2)))
                .ok_or_else(|| malformed(format!("{field} is not 12 digits")))
        })
        .transpose()
}

fn account_status(code: &str) -> AccountStatus {
    match code {
        "AC" => AccountStatus::Active,
        "IN" => AccountStatus::Inactive,
        "SU" => AccountStatus::Suspended,
        "CE" => AccountStatus::Closed,
        _ => AccountStatus::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::tests::Samples;

    pub(in crate::providers) const SAMPLES: Samples = Samples {
        full: "INTL14R-1                      MXMXNPN06LOPEZ*0203ANARS02010004000401120000012\
         3456002120000000410050302SU0401STL020101046500SC08BC SCORE000300701040640ES05001660002**",
        bare: "INTL14R-2                      MXMXNES05000510002**",
        ignored: None,
        has_income: false,
        has_verification: false,
        account_status: ("0302SU", "0302ZZ"),
        malformed: &[
            ("0640", "0900"),
            ("0640", "06.0"),
            ("000001234560", "0000012345.6"),
            ("000001234560", "           1"),
            ("0401S", "0401X"),
            ("MXMXN", "MXUSD"),
            ("0302SU", "0352SU"),
            ("00166", "00167"),
        ],
    };

    fn response(fields: &str) -> Vec<u8> {
        let mut message = format!("{VERSION}{:<25}{COUNTRY_AND_CURRENCY}{fields}", "MX-7");
        push_end(&mut message);
        message.into_bytes()
    }

    #[test]
    fn an_exclusion_code_means_an_unknown_score() {
        let parse =
            |value: &str| BuroDeCredito.parse(&response(&format!("SC08BC SCORE01{:02}{value}", value.len())));
        assert_eq!(parse("-008").unwrap().credit_score, None);
        assert_eq!(parse("0750").unwrap().credit_score, CreditScore::new(750));
        for bad in ["-000", "-010", "--01", "0299", "0851", "", "+750", " 750"] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn unknown_segments_are_skipped_and_known_fields_must_be_unique() {
        let twice_unknown = response("TL02010105HOLA!TL02020105ADIOS");
        assert_eq!(BuroDeCredito.parse(&twice_unknown).unwrap().total_debt, None);
        for repeated in ["RS02010304ACTIRS0202", "RS02010302AC0302AC", "SC0101SC0102"] {
            assert!(BuroDeCredito.parse(&response(repeated)).is_err(), "{repeated}");
        }
    }

    #[test]
    fn the_stated_length_must_match_the_message() {
        let good = response("RS0201");
        assert!(BuroDeCredito.parse(&good).is_ok());
        let text = String::from_utf8(good).unwrap();
        let longer = text.replace("RS0201", "RS0201TL0201");
        for bad in
            [longer, format!("{text}\n"), text.replace("**", "*"), text.replacen("INTL14", "INTL13", 1)]
        {
            assert!(BuroDeCredito.parse(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_of_any_script_and_length_fit_the_field() {
        assert_eq!(ascii_name("José Núñez Güemes"), "JOSE NUNEZ GUEMES");
        assert_eq!(ascii_name("李 Straße"), " STRASSE");
        let mut message = String::new();
        push_field(&mut message, "PN", &"A".repeat(255));
        assert_eq!(message.len(), 4 + MAX_VALUE_LEN);
    }
}
