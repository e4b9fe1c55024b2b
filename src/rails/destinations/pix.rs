//! PIX keys (Banco Central do Brasil, DICT): CPF, CNPJ, e-mail address, phone number, or a random key (EVP, a UUID).
//!
//! A phone number has the form E.164 and begins with `+`, so eleven digits are always a CPF. The check digits of CPF and
//! CNPJ are weighted sums modulo 11. Since 2026, the first twelve characters of a CNPJ may be letters, which count as their
//! ASCII code minus 48 (Receita Federal, IN RFB 2.229/2024).

use uuid::Uuid;

use super::{BadDestination, compact, weight_of};
use crate::domain::personal_data::Email;

/// The longest e-mail address that the directory accepts.
const MAX_EMAIL: usize = 77;

pub(super) fn parse(text: &str) -> Result<String, BadDestination> {
    let text = text.trim_ascii();
    if text.contains('@') {
        return email(text);
    }
    if let Some(number) = text.strip_prefix('+') {
        return phone(number);
    }
    if let Ok(key) = Uuid::try_parse(text).map(|key| key.hyphenated().to_string())
        && key.len() == text.len()
    {
        return Ok(key);
    }
    let compact = compact(text).ok_or(BadDestination::BadFormat)?;
    match compact.len() {
        11 => cpf(compact),
        14 => cnpj(compact),
        _ => Err(BadDestination::BadLength),
    }
}

fn email(text: &str) -> Result<String, BadDestination> {
    if text.len() > MAX_EMAIL {
        return Err(BadDestination::BadLength);
    }
    let email = Email::parse(text).filter(|_| text.is_ascii()).ok_or(BadDestination::BadFormat)?;
    Ok(email.normalized())
}

/// A Brazilian number: country code 55, an area code without zeros, and 8 or 9 digits.
fn phone(number: &str) -> Result<String, BadDestination> {
    let digits = compact(number).ok_or(BadDestination::BadFormat)?;
    let local = digits.strip_prefix("55").ok_or(BadDestination::UnreachableCountry)?;
    if !(10..=11).contains(&local.len()) {
        return Err(BadDestination::BadLength);
    }
    let has_area = local.bytes().take(2).all(|byte| (b'1'..=b'9').contains(&byte));
    let is_number = local.bytes().all(|byte| byte.is_ascii_digit());
    if has_area && is_number { Ok(format!("+{digits}")) } else { Err(BadDestination::BadFormat) }
}

fn cpf(digits: String) -> Result<String, BadDestination> {
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadDestination::BadFormat);
    }
    // Numbers of equal digits pass the check but are never issued.
    let is_issued = digits.bytes().any(|byte| Some(byte) != digits.bytes().next());
    if is_issued && has_check_digits(&digits, 11) { Ok(digits) } else { Err(BadDestination::BadCheckDigit) }
}

fn cnpj(text: String) -> Result<String, BadDestination> {
    if !text.bytes().skip(12).all(|byte| byte.is_ascii_digit()) {
        return Err(BadDestination::BadFormat);
    }
    let is_issued = text.bytes().any(|byte| Some(byte) != text.bytes().next());
    if is_issued && has_check_digits(&text, 9) { Ok(text) } else { Err(BadDestination::BadCheckDigit) }
}

/// Whether the last two characters are the check digits of those before. The weights rise from 2 at the end of the summed
/// characters and begin again at 2 after `max_weight`.
fn has_check_digits(text: &str, max_weight: u32) -> bool {
    let bytes = text.as_bytes();
    let Some((front, checks)) = bytes.split_last_chunk::<2>() else { return false };
    let check = |summed: &[u8]| {
        let weights = (2..=max_weight).cycle();
        let sum: u32 = summed.iter().rev().zip(weights).map(|(byte, weight)| weight_of(*byte) * weight).sum();
        match sum % 11 {
            0 | 1 => 0,
            rest => 11 - rest,
        }
    };
    let mut summed = front.to_vec();
    summed.push(checks[0]);
    check(front) == weight_of(checks[0]) && check(&summed) == weight_of(checks[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_every_kind_are_accepted() {
        for (text, key) in [
            ("529.982.247-25", "52998224725"),
            ("11.222.333/0001-81", "11222333000181"),
            ("12.ABC.345/01DE-35", "12ABC34501DE35"),
            ("Ana.Silva@Example.com", "ana.silva@example.com"),
            ("+55 11 91234-5678", "+5511912345678"),
            ("123E4567-E12B-12D1-A456-426655440000", "123e4567-e12b-12d1-a456-426655440000"),
        ] {
            assert_eq!(parse(text), Ok(key.to_owned()), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused_with_a_reason() {
        for (text, why) in [
            ("52998224726", BadDestination::BadCheckDigit),
            ("11111111111", BadDestination::BadCheckDigit),
            ("12ABC34501DE36", BadDestination::BadCheckDigit),
            ("12ABC34501DEA5", BadDestination::BadFormat),
            ("ana@", BadDestination::BadFormat),
            ("+34612345678", BadDestination::UnreachableCountry),
            ("+55119123456789", BadDestination::BadLength),
            ("+5501912345678", BadDestination::BadFormat),
            ("1234567", BadDestination::BadLength),
        ] {
            assert_eq!(parse(text), Err(why), "{text}");
        }
    }
}
