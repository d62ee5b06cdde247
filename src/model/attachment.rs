//! A table of the user's own that is attached.

use crate::model::id::id;

id! {
    /// Private short key of an attached table; every `row_key` of its events begins with it.
    AttachmentNo(i32)
}
