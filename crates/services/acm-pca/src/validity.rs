//! From when to when a certificate is valid, in the units of the API.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};
use trellis_frame::Refusal;

use crate::wire::{Validity, ValidityPeriodType};

/// "sets the "Not Before" date to the issuance time minus 60 minutes": clocks that are behind still accept it.
const BACKDATE: SignedDuration = SignedDuration::from_hours(1);

/// When it begins.
///
/// # Errors
/// `InvalidArgsException` for a date that is none, or in units that count from a beginning.
pub(crate) fn not_before(given: Option<&Validity>, now: Timestamp) -> Result<Timestamp, Refusal> {
    let wrong = |message| Refusal::invalid("ValidityNotBefore", message);
    match given {
        None => now.checked_sub(BACKDATE).map_err(|_| wrong("the clock is at its beginning")),
        Some(Validity { value, r#type: ValidityPeriodType::Absolute }) => {
            absolute(*value).ok_or_else(|| wrong(RANGE))
        }
        Some(Validity { value, r#type: ValidityPeriodType::EndDate }) => {
            date(*value).ok_or_else(|| wrong(DATE))
        }
        Some(_) => Err(wrong("is of type ABSOLUTE or END_DATE")),
    }
}

/// When it ends.
///
/// # Errors
/// `InvalidArgsException` for a date that is none or that no certificate holds.
pub(crate) fn not_after(given: &Validity, now: Timestamp) -> Result<Timestamp, Refusal> {
    let wrong = |message| Refusal::invalid("Validity", message);
    let span = |span: Result<Span, jiff::Error>| {
        let end = span.and_then(|span| now.to_zoned(TimeZone::UTC).checked_add(span));
        end.map(|end| end.timestamp()).map_err(|_| wrong(RANGE))
    };
    let Validity { value, r#type } = given;
    match r#type {
        ValidityPeriodType::Absolute => absolute(*value).ok_or_else(|| wrong(RANGE)),
        ValidityPeriodType::EndDate => date(*value).ok_or_else(|| wrong(DATE)),
        ValidityPeriodType::Days => span(Span::new().try_days(*value)),
        ValidityPeriodType::Months => span(Span::new().try_months(*value)),
        ValidityPeriodType::Years => span(Span::new().try_years(*value)),
    }
}

const RANGE: &str = "is outside the dates that a certificate can hold";
const DATE: &str = "is not a date of the form YYYYMMDDHHMMSS or YYMMDDHHMMSS";

fn absolute(seconds: i64) -> Option<Timestamp> {
    Timestamp::from_second(seconds).ok()
}

/// "YYYYMMDDHHMMSS", or with two digits of the year: from 50 on in the last century.
fn date(number: i64) -> Option<Timestamp> {
    let year = number / 10_000_000_000;
    let year = match year {
        0..50 => 2000 + year,
        50..100 => 1900 + year,
        1000..=9999 => year,
        _ => return None,
    };
    let part = |divisor: i64| i8::try_from(number / divisor % 100).ok();
    let date = DateTime::new(
        i16::try_from(year).ok()?,
        part(100_000_000)?,
        part(1_000_000)?,
        part(10_000)?,
        part(100)?,
        part(1)?,
        0,
    );
    Some(date.ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_ends_when_it_says() {
        let now: Timestamp = "2024-02-29T12:00:00Z".parse().unwrap();
        for (value, r#type, expected) in [
            (7, ValidityPeriodType::Days, Some("2024-03-07T12:00:00Z")),
            (13, ValidityPeriodType::Months, Some("2025-03-29T12:00:00Z")),
            (10, ValidityPeriodType::Years, Some("2034-02-28T12:00:00Z")),
            (1_893_456_000, ValidityPeriodType::Absolute, Some("2030-01-01T00:00:00Z")),
            (20_491_231_235_959, ValidityPeriodType::EndDate, Some("2049-12-31T23:59:59Z")),
            (491_231_235_959, ValidityPeriodType::EndDate, Some("2049-12-31T23:59:59Z")),
            (501_231_235_959, ValidityPeriodType::EndDate, Some("1950-12-31T23:59:59Z")),
            (20_491_331_235_959, ValidityPeriodType::EndDate, None),
            (20_490_230_000_000, ValidityPeriodType::EndDate, None),
            (i64::MAX, ValidityPeriodType::EndDate, None),
            (9000, ValidityPeriodType::Years, None),
            (i64::MAX, ValidityPeriodType::Days, None),
            (i64::MAX, ValidityPeriodType::Absolute, None),
        ] {
            let end = not_after(&Validity { value, r#type }, now).ok().map(|end| end.to_string());
            assert_eq!(end.as_deref(), expected, "{value} {type:?}");
        }
    }

    #[test]
    fn it_begins_an_hour_ago_or_at_a_date() {
        let now: Timestamp = "2024-02-29T12:00:00Z".parse().unwrap();
        assert_eq!(not_before(None, now).unwrap().to_string(), "2024-02-29T11:00:00Z");
        let given = Validity { value: 1_893_456_000, r#type: ValidityPeriodType::Absolute };
        assert_eq!(not_before(Some(&given), now).unwrap().to_string(), "2030-01-01T00:00:00Z");
        let given = Validity { value: 1, r#type: ValidityPeriodType::Days };
        assert!(not_before(Some(&given), now).is_err());
    }
}
