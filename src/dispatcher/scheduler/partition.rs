//! How dispatchers share the limits of an endpoint.

use crate::model::endpoint::EndpointNo;

/// Which of the dispatchers that share the endpoints this one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// How many of them registered before it.
    pub place: u32,
    /// How many there are, at least one.
    pub of: u32,
}

impl Partition {
    /// There is no other.
    pub(super) const WHOLE: Self = Self { place: 0, of: 1 };

    /// This dispatcher's part of what an endpoint may have. All parts together are the whole: of less than there are
    /// dispatchers some have nothing, and which ones is another for each endpoint.
    pub(super) fn part(self, whole: u32, no: EndpointNo) -> u32 {
        let of = self.of.max(1);
        let place = self.place.wrapping_add(no.get().unsigned_abs()) % of;
        whole / of + u32::from(place < whole % of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parts_together_are_the_whole_and_differ_by_one_at_most() {
        for (whole, of, no) in [(64, 5, 1), (10, 5, 3), (1, 5, 7), (3, 5, i32::MAX), (0, 2, 1), (7, 1, 1)] {
            let part = |place| Partition { place, of }.part(whole, EndpointNo::new(no));

            let parts: Vec<u32> = (0..of).map(part).collect();

            assert_eq!(parts.iter().sum::<u32>(), whole, "{parts:?}");
            assert!(parts.iter().all(|part| part.abs_diff(whole / of) <= 1), "{parts:?}");
        }
    }

    #[test]
    fn who_has_the_only_request_is_another_for_each_endpoint() {
        let owner =
            |no| (0..3).find(|place| Partition { place: *place, of: 3 }.part(1, EndpointNo::new(no)) == 1);

        let mut owners = [1, 2, 3].map(owner);

        owners.sort_unstable();
        assert_eq!(owners, [Some(0), Some(1), Some(2)]);
    }
}
