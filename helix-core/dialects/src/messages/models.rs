//! The list of models.

use serde_json::{Value, json};

/// One model, made at a time in seconds since the Unix epoch.
pub fn model(id: &str, created_s: u64) -> Value {
    json!({"type": "model", "id": id, "display_name": id, "created_at": rfc3339(created_s)})
}

/// All models, as the one page that there is.
pub fn models<'a>(models: impl Iterator<Item = (&'a str, u64)>) -> Value {
    let data: Vec<Value> = models.map(|(id, created_s)| model(id, created_s)).collect();
    let id = |model: Option<&Value>| model.map_or(Value::Null, |model| model["id"].clone());
    json!({
        "first_id": id(data.first()),
        "last_id": id(data.last()),
        "has_more": false,
        "data": data,
    })
}

/// A time as RFC 3339 has it. Of days since 1970 a date is made as in Hinnant's
/// [civil_from_days](https://howardhinnant.github.io/date_algorithms.html#civil_from_days).
fn rfc3339(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339_has_them() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_826_271, "2000-02-29T12:11:11Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), expected);
        }
    }

    #[test]
    fn a_list_without_models_has_no_first_and_no_last() {
        let none = models(std::iter::empty());
        assert_eq!(
            none,
            json!({"data": [], "first_id": null, "last_id": null, "has_more": false})
        );
    }
}
