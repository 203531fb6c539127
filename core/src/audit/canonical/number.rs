//! Numbers as ECMAScript writes them (ECMA-262, Number::toString, radix 10), which is
//! what RFC 8785 section 3.2.2.3 asks for.

use std::fmt::Write as _;

/// Every integer up to this one, and no more, is the same in every JSON parser.
pub(super) const MAX_EXACT: u64 = (1 << 53) - 1;

/// A finite number; of another, nothing.
pub(super) fn written(value: f64) -> Option<String> {
    if !value.is_finite() {
        return None;
    }
    if value == 0.0 {
        return Some("0".to_owned());
    }
    let scientific = shortest(value.abs());
    let (mantissa, exponent) = scientific.split_once('e')?;
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let places = i32::try_from(digits.len()).ok()?;
    // The number is 0.DIGITS times ten to the power of `point`.
    let point = exponent.parse::<i32>().ok()?.checked_add(1)?;

    let mut text = String::new();
    if value < 0.0 {
        text.push('-');
    }
    match point {
        1..=21 if places <= point => {
            text.push_str(&digits);
            text.extend(std::iter::repeat_n(
                '0',
                usize::try_from(point.checked_sub(places)?).ok()?,
            ));
        }
        1..=21 => {
            let (whole, fraction) = digits.split_at_checked(usize::try_from(point).ok()?)?;
            text.push_str(whole);
            text.push('.');
            text.push_str(fraction);
        }
        -5..=0 => {
            text.push_str("0.");
            text.extend(std::iter::repeat_n('0', usize::try_from(point.checked_neg()?).ok()?));
            text.push_str(&digits);
        }
        _ => {
            let (first, rest) = digits.split_at_checked(1)?;
            text.push_str(first);
            if !rest.is_empty() {
                text.push('.');
                text.push_str(rest);
            }
            write!(text, "e{:+}", point.checked_sub(1)?).ok()?;
        }
    }
    Some(text)
}

/// The fewest digits that are read as the same number, as `d.ddde5`; of these the nearest
/// to it, and of two that are as near the even one.
fn shortest(value: f64) -> String {
    let any = format!("{value:e}");
    // Rust finds how few they are, and takes either of two; with that many it rounds
    // exactly, ties to even. Beside a power of two the nearest may be another number.
    let places = any.bytes().take_while(|it| *it != b'e').filter(u8::is_ascii_digit).count();
    let nearest = format!("{value:.*e}", places.saturating_sub(1));
    if nearest.parse() == Ok(value) { nearest } else { any }
}

/// True when `text` is how a number is written canonically.
pub(super) fn is_canonical(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.len() <= 15;
    if plain {
        return text == "0" || (!digits.is_empty() && !digits.starts_with('0'));
    }
    text.parse::<f64>().ok().and_then(written).is_some_and(|it| it == text)
}
