//! Amounts: decimals that are exact, of money and of shares.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Most digits of an amount of money, so that sums of many fit.
const MAX_DIGITS: usize = 15;

/// The codes of ISO 4217 by the digits of their minor unit. Metals, funds and codes
/// for tests are no money to spend.
const CURRENCIES: [(u8, &str); 4] = [
    (0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF"),
    (
        2,
        "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BRL BSD BTN BWP BYN \
         BZD CAD CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS \
         GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR \
         LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD \
         PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN \
         SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD XCG YER ZAR \
         ZMW ZWG",
    ),
    (3, "BHD IQD JOD KWD LYD OMR TND"),
    (4, "CLF UYW"),
];

/// A currency: its code of ISO 4217, such as `EUR`, with the digits of its minor
/// unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Currency {
    code: &'static str,
    digits: u8,
}

/// An amount of money, in minor units: exact, and never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Money {
    /// How many of the smallest unit, such as cents.
    pub minor_units: u64,
    /// Of what.
    pub currency: Currency,
}

/// A share of all, in thousandths: 1 to 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PerMille(u16);

/// Why a text is not an amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AmountError {
    /// It is no code of a currency.
    #[error("must be a code of ISO 4217 in capital letters, such as `EUR`")]
    Currency,
    /// It is not a plain decimal.
    #[error("must be a plain decimal of at most 15 digits, such as `500.00`")]
    Decimal,
    /// It has more digits after the point than its currency.
    #[error("must have at most {0} digits after the point: the currency has no smaller unit")]
    TooFine(u8),
    /// It is no share.
    #[error(
        "must be more than 0 and at most 1, with at most three digits after the point, such as `0.30`"
    )]
    Share,
}

impl Currency {
    /// Its code.
    pub const fn code(self) -> &'static str {
        self.code
    }

    /// How many digits its minor unit has.
    pub const fn digits(self) -> u8 {
        self.digits
    }
}

impl FromStr for Currency {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        CURRENCIES
            .iter()
            .find_map(|(digits, codes)| {
                let code = codes.split(' ').find(|code| *code == text)?;
                Some(Self { code, digits: *digits })
            })
            .ok_or(AmountError::Currency)
    }
}

impl Money {
    /// Reads a plain decimal, such as `500`, `500.5` or `500.00`, as an amount of
    /// this currency.
    pub fn parse(text: &str, currency: Currency) -> Result<Self, AmountError> {
        let (whole, fraction) = decimal(text).ok_or(AmountError::Decimal)?;
        let digits = usize::from(currency.digits);
        let missing =
            digits.checked_sub(fraction.len()).ok_or(AmountError::TooFine(currency.digits))?;
        if whole.len().saturating_add(digits) > MAX_DIGITS {
            return Err(AmountError::Decimal);
        }
        let written = [whole, fraction, &"0".repeat(missing)].concat();
        let minor_units = written.parse().map_err(|_| AmountError::Decimal)?;
        Ok(Self { minor_units, currency })
    }

    /// The amount as a decimal with all digits of its currency, without its code.
    pub fn decimal(&self) -> String {
        written(self.minor_units, self.currency.digits.into())
    }
}

impl PerMille {
    /// The thousandths.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl FromStr for PerMille {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let (whole, fraction) = decimal(text).ok_or(AmountError::Share)?;
        let missing = 3usize.checked_sub(fraction.len()).ok_or(AmountError::Share)?;
        let thousandths: Option<u16> =
            [whole, fraction, &"0".repeat(missing)].concat().parse().ok();
        let share = thousandths.filter(|share| (1..=1_000).contains(share));
        share.map(Self).ok_or(AmountError::Share)
    }
}

impl fmt::Display for PerMille {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = written(self.0.into(), 3);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// The digits before and after the point: no sign, no exponent, no zeros in front.
fn decimal(text: &str) -> Option<(&str, &str)> {
    let (whole, fraction) = match text.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (text, ""),
    };
    let digits =
        |part: &str| part.len() <= MAX_DIGITS && part.bytes().all(|it| it.is_ascii_digit());
    let is_plain = !whole.is_empty() && (whole == "0" || !whole.starts_with('0'));
    (is_plain && digits(whole) && digits(fraction)).then_some((whole, fraction))
}

fn written(units: u64, digits: usize) -> String {
    let text = format!("{units:0>width$}", width = digits.saturating_add(1));
    let (whole, fraction) = text.split_at(text.len().saturating_sub(digits));
    if digits == 0 { text } else { format!("{whole}.{fraction}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn money(text: &str, code: &str) -> Result<u64, AmountError> {
        Money::parse(text, code.parse().unwrap()).map(|money| money.minor_units)
    }

    #[test]
    fn money_is_exact_in_the_minor_unit_of_its_currency() {
        for (text, code, units, shown) in [
            ("500.00", "EUR", 50_000, "500.00"),
            ("500", "EUR", 50_000, "500.00"),
            ("500.5", "EUR", 50_050, "500.50"),
            ("0.07", "USD", 7, "0.07"),
            ("0", "USD", 0, "0.00"),
            ("500", "JPY", 500, "500"),
            ("1.234", "KWD", 1_234, "1.234"),
            ("0.0001", "CLF", 1, "0.0001"),
            ("9999999999999.99", "EUR", 999_999_999_999_999, "9999999999999.99"),
            // As floats, these are other numbers.
            ("1.15", "EUR", 115, "1.15"),
            ("4503599627370.01", "EUR", 450_359_962_737_001, "4503599627370.01"),
        ] {
            let read = Money::parse(text, code.parse().unwrap()).unwrap();
            assert_eq!(
                (read.minor_units, read.decimal().as_str()),
                (units, shown),
                "{text} {code}"
            );
        }
    }

    #[test]
    fn what_is_finer_than_the_currency_is_refused() {
        assert_eq!(money("1.234", "EUR"), Err(AmountError::TooFine(2)));
        assert_eq!(money("1.000", "EUR"), Err(AmountError::TooFine(2)));
        assert_eq!(money("1.0", "JPY"), Err(AmountError::TooFine(0)));
    }

    #[test]
    fn what_is_not_a_plain_decimal_is_refused() {
        for text in [
            "",
            ".",
            ".5",
            "5.",
            "-1",
            "+1",
            "1e3",
            "1,5",
            "1_000",
            "1 000",
            "0x1",
            "00",
            "01",
            "1.2.3",
            "NaN",
            "inf",
            "٣",
            " 1",
            "1 ",
            "€1",
            "10000000000000",
            "1000000000000000",
            "99999999999999999999999999999999",
        ] {
            assert_eq!(money(text, "EUR"), Err(AmountError::Decimal), "{text}");
        }
        assert_eq!(money("999999999999999", "JPY"), Ok(999_999_999_999_999));
    }

    #[test]
    fn a_currency_is_a_code_that_there_is() {
        for text in ["", "eur", "EU", "EURO", "XXX", "XAU", "EUR JPY", "XTS", " EUR"] {
            assert_eq!(text.parse::<Currency>(), Err(AmountError::Currency), "{text}");
        }
        let all: Vec<_> = CURRENCIES.iter().flat_map(|(_, codes)| codes.split(' ')).collect();
        let mut once = all.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), all.len());
        assert!(all.iter().all(|code| code.len() == 3 && code.parse::<Currency>().is_ok()));
    }

    #[test]
    fn a_share_is_exact_to_a_thousandth() {
        for (text, share, shown) in [
            ("0.30", 300, "0.3"),
            ("0.3", 300, "0.3"),
            ("0.001", 1, "0.001"),
            ("1", 1_000, "1"),
            ("1.000", 1_000, "1"),
            ("0.999", 999, "0.999"),
        ] {
            let read: PerMille = text.parse().unwrap();
            assert_eq!((read.get(), read.to_string().as_str()), (share, shown), "{text}");
        }
        for text in ["0", "0.0", "0.0001", "1.001", "2", "30%", "-0.3", ".3", "", "3e-1", "70"] {
            assert_eq!(text.parse::<PerMille>(), Err(AmountError::Share), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_amount_survives_being_written(units in 0u64..1_000_000_000_000, which in 0usize..4) {
            let currency = ["JPY", "EUR", "KWD", "CLF"][which].parse().unwrap();
            let money = Money { minor_units: units, currency };
            prop_assert_eq!(Money::parse(&money.decimal(), currency), Ok(money));
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = text.parse::<PerMille>();
            let _ = Money::parse(&text, "EUR".parse().unwrap());
            let _ = text.parse::<Currency>();
        }
    }
}
