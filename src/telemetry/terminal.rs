//! Whether output may be coloured.

/// Whether the operator allows colours: `NO_COLOR` is unset or empty (<https://no-color.org>).
pub fn allows_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
