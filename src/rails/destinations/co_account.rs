//! Colombian accounts: the bank's code in the ACH (4 digits), `A` (ahorros, savings) or `C` (corriente, checking), and an
//! account number of 6 to 16 digits, such as `1007-A-12345678901`. Account numbers have no common check digits.

use super::{BadDestination, compact};

pub(super) fn parse(text: &str) -> Result<String, BadDestination> {
    let compact = compact(text).ok_or(BadDestination::BadFormat)?;
    if !(11..=21).contains(&compact.len()) {
        return Err(BadDestination::BadLength);
    }
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (bank, rest) = compact.split_at_checked(4).ok_or(BadDestination::BadLength)?;
    let (kind, number) = rest.split_at_checked(1).ok_or(BadDestination::BadLength)?;
    if is_number(bank) && matches!(kind, "A" | "C") && is_number(number) {
        Ok(format!("{bank}-{kind}-{number}"))
    } else {
        Err(BadDestination::BadFormat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_a_bank_a_type_and_a_number() {
        assert_eq!(parse("1007 a 12345678901"), Ok("1007-A-12345678901".to_owned()));
        assert_eq!(parse("1007-C-123456"), Ok("1007-C-123456".to_owned()));
        for bad in ["1007-X-12345678901", "100-A-12345678901", "1007-A-1234567890A"] {
            assert_eq!(parse(bad), Err(BadDestination::BadFormat), "{bad}");
        }
        assert_eq!(parse("1007-A-12345"), Err(BadDestination::BadLength));
        assert_eq!(parse("1007-A-12345678901234567"), Err(BadDestination::BadLength));
    }
}
