//! Patterns of topics, and whether one matches a topic. Pure.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Longest topic and longest pattern, in bytes.
pub const TOPIC_BYTES_MAX: usize = 128;

/// A pattern: dotted words; `*` is exactly one word; `**` at the end is one or more words, alone it is everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPattern {
    words: Vec<Word>,
    /// Whether one or more further words follow.
    open_ended: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    Literal(String),
    Any,
}

/// A text is not a topic, or not a pattern.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TopicError {
    /// Longer than 128 bytes.
    #[error("is {0} bytes long, at most 128 are allowed")]
    TooLong(usize),
    /// An empty word or one with other characters.
    #[error("has the word \"{0}\"; words are one or more of A-Z a-z 0-9 _ -, separated by full stops")]
    Word(String),
    /// `**` before the end.
    #[error("has ** before its end")]
    OpenMiddle,
}

impl TopicPattern {
    /// Whether the pattern matches this topic.
    pub fn matches(&self, topic: &str) -> bool {
        let mut topic_words = topic.split('.');
        for word in &self.words {
            match (word, topic_words.next()) {
                (_, None) => return false,
                (Word::Any, Some(_)) => {}
                (Word::Literal(literal), Some(word)) => {
                    if literal != word {
                        return false;
                    }
                }
            }
        }
        topic_words.next().is_some() == self.open_ended
    }

    /// The pattern of all topics, `**`.
    pub const fn everything() -> Self {
        Self { words: Vec::new(), open_ended: true }
    }

    /// Whether it matches a topic that none of the others matches. (Topics may be longer than allowed here: a pattern of 64 words
    /// and more counts as wider than it is.)
    pub fn is_beyond(&self, others: &[Self]) -> bool {
        // A word that no pattern names is matched by wildcards alone: no other topic of that length is matched by fewer patterns.
        let strange = strange_word(others);
        let mut topic: Vec<&str> = self.words.iter().map(|word| word.literal().unwrap_or(&strange)).collect();
        if !self.open_ended {
            return !is_matched(&topic.join("."), others);
        }
        // Beyond the longest pattern, one more word makes no difference.
        let words_max = others.iter().map(|other| other.words.len()).max().unwrap_or_default();
        (topic.len()..=words_max.max(topic.len())).any(|_| {
            topic.push(&strange);
            !is_matched(&topic.join("."), others)
        })
    }

    /// The one topic that the pattern matches. `None` if it has a wildcard.
    pub fn as_topic(&self) -> Option<String> {
        let is_literal = !self.open_ended && !self.words.contains(&Word::Any);
        is_literal.then(|| self.to_string())
    }
}

/// Whether a topic would be received that was not before.
pub fn is_wider(new: &[TopicPattern], old: &[TopicPattern]) -> bool {
    new.iter().any(|pattern| pattern.is_beyond(old))
}

fn is_matched(topic: &str, patterns: &[TopicPattern]) -> bool {
    patterns.iter().any(|pattern| pattern.matches(topic))
}

/// A word that none of the patterns names.
fn strange_word(patterns: &[TopicPattern]) -> String {
    let named =
        |word: &str| patterns.iter().flat_map(|pattern| &pattern.words).any(|w| w.literal() == Some(word));
    let mut word = "x".to_owned();
    while named(&word) {
        word.push('x');
    }
    word
}

impl Word {
    fn literal(&self) -> Option<&str> {
        match self {
            Self::Literal(literal) => Some(literal),
            Self::Any => None,
        }
    }
}

impl FromStr for TopicPattern {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, TopicError> {
        check_length(text)?;
        let (closed, open_ended) = match text.strip_suffix("**") {
            Some("") => return Ok(Self::everything()),
            Some(rest) => (rest.strip_suffix('.').ok_or_else(|| TopicError::Word(last_word(text)))?, true),
            None => (text, false),
        };
        let words = closed.split('.').map(Word::from_str).collect::<Result<_, _>>()?;
        Ok(Self { words, open_ended })
    }
}

impl FromStr for Word {
    type Err = TopicError;

    fn from_str(word: &str) -> Result<Self, TopicError> {
        match word {
            "*" => Ok(Self::Any),
            "**" => Err(TopicError::OpenMiddle),
            _ => check_word(word).map(|()| Self::Literal(word.to_owned())),
        }
    }
}

impl fmt::Display for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.words.iter().map(|word| word.literal().unwrap_or("*"));
        let all: Vec<&str> = words.chain(self.open_ended.then_some("**")).collect();
        f.write_str(&all.join("."))
    }
}

/// Checks a topic as `postrider.outbox` does.
///
/// # Errors
/// [`TopicError`] names the fault.
pub fn check_topic(topic: &str) -> Result<(), TopicError> {
    check_length(topic)?;
    topic.split('.').try_for_each(check_word)
}

fn check_length(text: &str) -> Result<(), TopicError> {
    if text.len() > TOPIC_BYTES_MAX { Err(TopicError::TooLong(text.len())) } else { Ok(()) }
}

fn check_word(word: &str) -> Result<(), TopicError> {
    let is_word =
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if is_word { Ok(()) } else { Err(TopicError::Word(word.chars().take(40).collect())) }
}

fn last_word(text: &str) -> String {
    text.rsplit('.').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, topic: &str) -> bool {
        pattern.parse::<TopicPattern>().unwrap().matches(topic)
    }

    #[test]
    fn patterns_match_by_words() {
        let cases = [
            ("order.created", "order.created", true),
            ("order.created", "order.created.eu", false),
            ("order.created", "order", false),
            ("order.*", "order.created", true),
            ("order.*", "order", false),
            ("order.*", "order.created.eu", false),
            ("*.created", "order.created", true),
            ("*", "order", true),
            ("*", "order.created", false),
            ("order.**", "order.created", true),
            ("order.**", "order.created.eu", true),
            ("order.**", "order", false),
            ("order.**", "orders.created", false),
            ("**", "order", true),
            ("**", "order.created.eu", true),
            ("*.**", "order", false),
            ("*.**", "order.created", true),
        ];

        for (pattern, topic, expected) in cases {
            assert_eq!(matches(pattern, topic), expected, "{pattern} on {topic}");
        }
    }

    #[test]
    fn a_pattern_without_wildcards_is_a_topic() {
        for (pattern, topic) in
            [("order", Some("order")), ("a.b.c", Some("a.b.c")), ("a.*", None), ("a.**", None), ("**", None)]
        {
            assert_eq!(pattern.parse::<TopicPattern>().unwrap().as_topic().as_deref(), topic, "{pattern}");
        }
    }

    #[test]
    fn faults_are_named() {
        assert_eq!("a..b".parse::<TopicPattern>(), Err(TopicError::Word(String::new())));
        assert_eq!("a.b c".parse::<TopicPattern>(), Err(TopicError::Word("b c".to_owned())));
        assert_eq!("a.**.b".parse::<TopicPattern>(), Err(TopicError::OpenMiddle));
        assert_eq!("a**".parse::<TopicPattern>(), Err(TopicError::Word("a**".to_owned())));
        assert_eq!("x".repeat(129).parse::<TopicPattern>(), Err(TopicError::TooLong(129)));
        assert_eq!(check_topic("order.*"), Err(TopicError::Word("*".to_owned())));
    }

    #[test]
    fn what_is_wider_receives_a_topic_that_was_not_received() {
        for (old, new, expected) in [
            ("order.*", "**", true),
            ("order.*", "order.**", true),
            ("order.**", "order.*", false),
            ("**", "order.*", false),
            ("a.*,b.*", "b.*", false),
            ("b.*", "a.*,b.*", true),
            ("order.created", "order.*", true),
            ("order.*", "order.created,order.paid", false),
            ("*,*.**", "**", false),
            ("*,*.*,*.*.**", "**", false),
            ("*,*.*.**", "**", true),
            ("a.**,*.b", "*.b,a.*", false),
            ("*.b", "a.*", true),
            ("", "a", true),
            ("a", "", false),
            ("x.*,xx", "*.*", true),
            ("order", "Order", true),
        ] {
            assert_eq!(is_wider(&patterns(new), &patterns(old)), expected, "{old} -> {new}");
        }
    }

    fn patterns(list: &str) -> Vec<TopicPattern> {
        list.split(',').filter(|text| !text.is_empty()).map(|text| text.parse().unwrap()).collect()
    }

    /// Every topic of so many words of `a b z`; no pattern below names `z`.
    fn topics(words_max: usize) -> Vec<String> {
        let mut longest = vec![String::new()];
        let mut all = Vec::new();
        for _ in 0..words_max {
            longest = longest
                .iter()
                .flat_map(|topic| ["a", "b", "z"].map(|word| format!("{topic}.{word}")))
                .collect();
            all.extend(longest.iter().map(|topic| topic[1..].to_owned()));
        }
        all
    }

    const PATTERN: &str = "(([ab*]\\.){0,2}([ab*]|\\*\\*))";

    proptest! {
        #[test]
        fn a_list_is_wider_exactly_if_one_of_all_topics_is_matched_newly(
            old in prop::collection::vec(PATTERN, 0..5), new in prop::collection::vec(PATTERN, 0..4),
        ) {
            let (old, new) = (patterns(&old.join(",")), patterns(&new.join(",")));
            let is_newly_matched = topics(4).iter().any(|topic| is_matched(topic, &new) && !is_matched(topic, &old));

            prop_assert_eq!(is_wider(&new, &old), is_newly_matched);
        }

        #[test]
        fn a_pattern_is_written_as_it_was_read(text in "((([a-zA-Z0-9_-]{1,5}|\\*)\\.){0,4}([a-zA-Z0-9_-]{1,5}|\\*|\\*\\*))") {
            prop_assert_eq!(text.parse::<TopicPattern>().unwrap().to_string(), text);
        }

        #[test]
        fn a_topic_matches_itself_and_everything(topic in "[a-z0-9_-]{1,5}(\\.[a-z0-9_-]{1,5}){0,5}") {
            prop_assert!(matches(&topic, &topic));
            prop_assert!(matches("**", &topic));
            prop_assert!(check_topic(&topic).is_ok());
        }

        #[test]
        fn no_text_panics(text in ".{0,140}") {
            drop(text.parse::<TopicPattern>());
        }
    }
}
