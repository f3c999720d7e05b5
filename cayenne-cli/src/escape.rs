//! Escapes text from tables, files and errors, so that it cannot control the terminal.

use std::borrow::Cow;

/// Replaces each control character and each mark that changes the direction of text with its escape.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    replace(text, is_dangerous)
}

/// As [`escaped`], but keeps line ends. For output in which each line has its own border or indent.
pub(crate) fn escaped_lines(text: &str) -> Cow<'_, str> {
    replace(text, |character| character != '\n' && is_dangerous(character))
}

fn replace(text: &str, dangerous: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(&dangerous) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if dangerous(character) {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    Cow::Owned(out)
}

fn is_dangerous(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_can_move_the_cursor_or_start_a_line() {
        assert_eq!(escaped("a\u{1b}[31m\r\n\tb\u{202e}\u{9b}"), "a\\u{1b}[31m\\r\\n\\tb\\u{202e}\\u{9b}");
        assert_eq!(escaped_lines("a\nb\u{7}"), "a\nb\\u{7}");
    }

    #[test]
    fn ordinary_text_of_any_language_stays() {
        for text in ["", "plain", "Ünïcode", "日本語", "עברית", "🌶", "back\\slash"] {
            assert!(matches!(escaped(text), Cow::Borrowed(same) if same == text));
        }
    }
}
