//! Checks of values in requests, each of which names the field at fault.

use super::Failure;

/// A text of 1 to `most` characters, without blanks around it and without
/// control characters.
pub(crate) fn line(field: &str, text: &str, most: usize) -> Result<String, Failure> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > most {
        return Err(Failure::invalid(
            field,
            format!("must have 1 to {most} characters"),
        ));
    }
    if text.chars().any(char::is_control) {
        return Err(Failure::invalid(
            field,
            "must be one line, without control characters",
        ));
    }
    Ok(text.to_owned())
}

/// An email address, in lower case.
pub(crate) fn email(field: &str, text: &str) -> Result<String, Failure> {
    let email = text.trim().to_lowercase();
    let parts = email.split_once('@');
    let plausible = parts
        .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'));
    let plain = !email.chars().any(|c| c.is_whitespace() || c.is_control());
    if plausible && plain && email.len() <= 254 {
        Ok(email)
    } else {
        Err(Failure::invalid(field, "must be an email address"))
    }
}

/// A new password.
pub(crate) fn password(field: &str, text: &str) -> Result<(), Failure> {
    if (10..=256).contains(&text.chars().count()) {
        Ok(())
    } else {
        Err(Failure::invalid(field, "must have 10 to 256 characters"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_compared_in_lower_case() {
        assert_eq!(
            email("email", " Ada@Example.ORG ").unwrap(),
            "ada@example.org"
        );
        for bad in [
            "",
            "ada",
            "@example.org",
            "ada@",
            "a b@example.org",
            "a@b@c",
        ] {
            assert!(email("email", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_line_is_trimmed_and_bounded_in_characters() {
        assert_eq!(line("name", " Zoë ", 3).unwrap(), "Zoë");
        assert!(line("name", "   ", 3).is_err());
        assert!(line("name", "Zoës", 3).is_err());
        assert!(line("name", "a\nb", 3).is_err());
    }
}
