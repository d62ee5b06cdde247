//! Ids of rows: numbers that the compiler does not mix up.

/// Declares an id: a type of its own around the number that the database has.
macro_rules! id {
    ($(#[$attribute:meta])* $name:ident($number:ty)) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name($number);

        impl $name {
            /// Wraps a number that came from the database.
            pub const fn new(id: $number) -> Self {
                Self(id)
            }

            /// The bare number, for the database and the log.
            pub const fn get(self) -> $number {
                self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

pub(super) use id;
