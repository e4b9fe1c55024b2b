//! CLABE (Asociación de Bancos de México): bank (3 digits), branch (3), account (11), and a check digit.
//!
//! The digits weighted 3, 7, 1 in turn, each product reduced modulo 10, sum to `s`; the check digit is `-s` modulo 10.

use super::{BadDestination, compact, weight_of};

const LENGTH: usize = 18;

pub(super) fn parse(text: &str) -> Result<String, BadDestination> {
    let digits = compact(text).ok_or(BadDestination::BadFormat)?;
    if digits.len() != LENGTH {
        return Err(BadDestination::BadLength);
    }
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(BadDestination::BadFormat);
    }
    let weights = [3, 7, 1].into_iter().cycle().take(LENGTH - 1).chain([1]);
    let sum: u32 = digits.bytes().zip(weights).map(|(digit, weight)| weight_of(digit) * weight % 10).sum();
    if sum.is_multiple_of(10) { Ok(digits) } else { Err(BadDestination::BadCheckDigit) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_digit_detects_every_wrong_digit() {
        let valid = "032180000118359719";
        assert_eq!(parse("032 180 00011835971 9"), Ok(valid.to_owned()));
        for position in 0..LENGTH {
            for digit in '0'..='9' {
                let changed: String =
                    valid.chars().enumerate().map(|(i, c)| if i == position { digit } else { c }).collect();
                let expected =
                    if changed == valid { Ok(changed.clone()) } else { Err(BadDestination::BadCheckDigit) };
                assert_eq!(parse(&changed), expected, "{changed}");
            }
        }
        assert_eq!(parse("03218000011835971"), Err(BadDestination::BadLength));
        assert_eq!(parse("03218000011835971A"), Err(BadDestination::BadFormat));
    }
}
