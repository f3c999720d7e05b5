//! Classifies the fields of a text, to tell a header from rows, and a delimiter from a comma in a number.

/// The shape of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Empty,
    Boolean,
    /// An integer or a decimal number.
    Number,
    /// A date, a time or both.
    Time,
    /// A number in a notation that no type parses, such as `1,5`.
    Figure,
    Text,
}

impl Shape {
    pub(crate) fn of(field: &[u8]) -> Self {
        let Ok(text) = std::str::from_utf8(field) else { return Self::Text };
        if text.is_empty() {
            return Self::Empty;
        }
        if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
            return Self::Boolean;
        }
        // `parse` accepts `inf` and `nan` as numbers, but in a header they are words.
        if text.contains(|character: char| character.is_ascii_digit()) && text.parse::<f64>().is_ok() {
            return Self::Number;
        }
        match text {
            _ if is_time(text) => Self::Time,
            _ if is_figure(field) => Self::Figure,
            _ => Self::Text,
        }
    }
}

/// Says whether a text begins like `2024-01-31` or `12:30`, and has only characters of dates and times.
fn is_time(text: &str) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let separator = text.as_bytes().get(digits);
    let begins = matches!((digits, separator), (4, Some(b'-')) | (1 | 2, Some(b':')));
    begins && text.bytes().all(|byte| byte.is_ascii_digit() || b"-:.+TZ ".contains(&byte))
}

/// Says whether a field has only characters that numbers and times have in any country: `1,5`, `1 000`, `31.12.2024`,
/// `50 %`.
///
/// A field with a candidate delimiter other than the comma is not a figure, because that may be the delimiter.
pub(crate) fn is_figure(field: &[u8]) -> bool {
    let has_digit = field.iter().any(u8::is_ascii_digit);
    let allowed = |byte: &u8| byte.is_ascii_digit() || b"+-.,:/eETZ %$".contains(byte);
    has_digit && field.iter().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_the_shape_of_their_type() {
        let shapes = |texts: &[&str]| texts.iter().map(|text| Shape::of(text.as_bytes())).collect::<Vec<_>>();
        assert_eq!(shapes(&["1", "-2.5e3", "007"]), [Shape::Number; 3]);
        assert_eq!(shapes(&["2024-01-31", "2024-01-31T10:00:00.5Z", "12:30"]), [Shape::Time; 3]);
        assert_eq!(shapes(&["True", "false"]), [Shape::Boolean; 2]);
        assert_eq!(shapes(&["name", "nan", "1a", "2024-xy"]), [Shape::Text; 4]);
        assert_eq!(shapes(&["1,5", "50 %"]), [Shape::Figure; 2]);
        assert_eq!(shapes(&[""]), [Shape::Empty]);
    }

    #[test]
    fn figures_hold_commas_but_no_other_delimiter() {
        for text in ["1", "1,5", "48.8,2.3", "31.12.2024", "50 %"] {
            assert!(is_figure(text.as_bytes()), "{text}");
        }
        for text in ["", "a", "5;2", "1|2", "1\t2"] {
            assert!(!is_figure(text.as_bytes()), "{text}");
        }
    }
}
