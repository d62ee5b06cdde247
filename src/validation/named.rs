//! Settings that are kept unless they are named: what somebody says by naming one.

use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::Problems;

/// This word names the default on the command line, as null does in JSON.
const DEFAULT: &str = "default";

/// The new value of a setting that somebody named. A setting that nobody named is `None` (`Option<Named>`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Named<T> {
    /// Its default.
    Default,
    /// This value.
    To(T),
}

impl<T> Named<T> {
    /// The value. `None` if it is the default.
    pub(crate) const fn value(&self) -> Option<&T> {
        match self {
            Self::Default => None,
            Self::To(value) => Some(value),
        }
    }
}

impl<T: FromStr> FromStr for Named<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        if text == DEFAULT { Ok(Self::Default) } else { text.parse().map(Self::To) }
    }
}

/// Reads a field that is there: null is the default.
pub(crate) fn named<'de, D, T>(deserializer: D) -> Result<Option<Named<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let value = Option::<T>::deserialize(deserializer)?;
    Ok(Some(value.map_or(Named::Default, Named::To)))
}

/// Reads a list that is there: null is the default, which stands alone. No text in a list is.
pub(crate) fn named_list<'de, D>(deserializer: D) -> Result<Option<Vec<Named<String>>>, D::Error>
where
    D: Deserializer<'de>,
{
    let list = Option::<Vec<String>>::deserialize(deserializer)?;
    Ok(Some(list.map_or_else(|| vec![Named::Default], |list| list.into_iter().map(Named::To).collect())))
}

/// The value of a setting. `None` if it is not named, or has its default.
pub(crate) fn value<T>(named: Option<&Named<T>>) -> Option<&T> {
    named.and_then(Named::value)
}

/// The same of a text.
pub(crate) fn text(named: Option<&Named<String>>) -> Option<&str> {
    value(named).map(String::as_str)
}

/// The values of a list; none if it is not named, or has its default.
pub(crate) fn values(name: &str, list: Option<&[Named<String>]>, problems: &mut Problems) -> Vec<String> {
    let list = list.unwrap_or_default();
    if list.len() > 1 && list.contains(&Named::Default) {
        problems.add(name, "has the word default beside others: it stands alone", None);
    }
    list.iter().filter_map(Named::value).cloned().collect()
}

/// Whether a list is named, and not with its default.
pub(crate) fn has_values(list: Option<&[Named<String>]>) -> bool {
    list.is_some_and(|list| !list.contains(&Named::Default))
}

/// A field as the database reads it, of one as serde writes it. `None` if it was not named.
pub(crate) fn plain(named: Value) -> Option<Value> {
    match named {
        Value::Null => None,
        Value::Object(mut named) => named.remove("to"),
        // A list with its default in it is its default.
        Value::Array(list) => {
            let list: Option<Vec<Value>> =
                list.into_iter().map(|item| plain(item).filter(|item| !item.is_null())).collect();
            Some(list.map_or(Value::Null, Value::Array))
        }
        // The word for the default.
        Value::String(_) | Value::Bool(_) | Value::Number(_) => Some(Value::Null),
    }
}
