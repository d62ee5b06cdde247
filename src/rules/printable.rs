//! Makes foreign texts safe for a terminal. Characters that would move the cursor, break a line, change the direction of
//! writing or show nothing are escaped, so that a terminal shows them and does not obey them.

use std::borrow::Cow;
use std::fmt::Write;

/// Escapes a text into one line.
pub fn printable(text: &str) -> String {
    spelt(text.trim_end(), is_obeyed, |c, line| line.extend(c.escape_default())).into_owned()
}

/// Escapes our own lines, which may quote foreign texts; line ends and tabs stay.
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    let is_obeyed = |c| is_obeyed(c) && !matches!(c, '\n' | '\t');
    spelt(text, is_obeyed, |c, lines| lines.extend(c.escape_default()))
}

/// Escapes a line of the log. Its colours and its line end are its own, and stay.
pub(crate) fn printable_log(text: &str) -> Cow<'_, str> {
    let Some(line) = text.strip_suffix('\n') else { return printable_lines(text) };
    let is_obeyed = |c| is_obeyed(c) && !matches!(c, '\x1b' | '\t');
    match spelt(line, is_obeyed, |c, line| line.extend(c.escape_default())) {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        Cow::Owned(line) => Cow::Owned(line + "\n"),
    }
}

/// Escapes JSON without changing its meaning: such characters stand only within its strings, and get JSON's escapes.
pub(crate) fn printable_json(json: &str) -> Cow<'_, str> {
    let is_obeyed = |c| is_obeyed(c) && !matches!(c, '\n' | '\t');
    spelt(json, is_obeyed, |c, json| {
        // Between texts JSON knows no other control character: a space says the same.
        if c == '\r' {
            return json.push(' ');
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing into a text does not fail.
            write!(json, "\\u{unit:04x}").unwrap_or_default();
        }
    })
}

fn spelt(text: &str, is_obeyed: impl Fn(char) -> bool, spell: impl Fn(char, &mut String)) -> Cow<'_, str> {
    if !text.chars().any(&is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_obeyed(c) { spell(c, &mut shown) } else { shown.push(c) }
    }
    Cow::Owned(shown)
}

/// Control characters (C0, C1, DEL), and what Unicode has for formats: marks, embeddings, overrides and isolates of direction,
/// ends of lines and paragraphs, joiners, fillers and other letters without a width, annotations, tags.
// Variation selectors below U+FE10 choose between two pictures of one letter, and are left.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_of_a_stranger_moves_no_cursor() {
        assert_eq!(printable("a\u{1b}[2Jb\r\nc\n"), "a\\u{1b}[2Jb\\r\\nc");
        assert_eq!(printable("a\u{9b}1mb\u{7f}"), "a\\u{9b}1mb\\u{7f}");
    }

    #[test]
    fn a_direction_is_shown_and_a_letter_of_any_language_is_itself() {
        for c in "\u{61c}\u{200b}\u{200e}\u{2029}\u{202a}\u{2066}\u{2069}\u{feff}\u{e0041}".chars() {
            assert_eq!(printable(&format!("a{c}b")), format!("a\\u{{{:x}}}b", u32::from(c)));
        }
        for text in ["größe ﬁ ½ Ελλάδα עברית العربية हिन्दी 日本語 e\u{301} 🌎 ❤\u{fe0f}", "a\\u{202e}b", ""]
        {
            assert_eq!(printable(text), text);
        }
    }

    #[test]
    fn a_line_of_the_log_is_one_line() {
        assert_eq!(
            printable_log("\x1b[33m WARN\x1b[0m a\nb\r\u{202e}\n"),
            "\x1b[33m WARN\x1b[0m a\\nb\\r\\u{202e}\n"
        );
    }

    proptest! {
        #[test]
        fn json_that_is_printed_means_the_same_and_is_obeyed_by_nobody(text in "[a\"\\\\é\u{0}-\u{1f}\u{7f}-\u{9f}\u{200e}-\u{202e}\u{2066}\u{e0001}\u{e007f}]{0,20}") {
            let value = serde_json::json!({ text.clone(): [text] });
            let json = serde_json::to_string_pretty(&value).unwrap().replace(": ", ":\r ");

            let shown = printable_json(&json);

            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
            prop_assert!(!shown.chars().any(|c| is_obeyed(c) && c != '\n'), "{:?}", shown);
        }

        #[test]
        fn no_text_keeps_what_would_be_obeyed(text in "(?s).{0,60}") {
            prop_assert!(!printable(&text).chars().any(is_obeyed));
        }
    }
}
