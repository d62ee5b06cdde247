//! How dispatchers divide the limits of an endpoint among them.

use crate::model::endpoint::EndpointNo;

/// Which of the dispatchers that share the endpoints this one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// How many of them registered before it.
    pub index: u32,
    /// How many there are, at least one.
    pub count: u32,
}

impl Partition {
    /// The partition of a dispatcher that is alone.
    pub(super) const WHOLE: Self = Self { index: 0, count: 1 };

    /// This dispatcher's part of an endpoint's limit. The parts of all dispatchers add up to `whole`. If `whole` is smaller
    /// than their number, some get 0; which ones depends on the endpoint.
    pub(super) fn part(self, whole: u32, no: EndpointNo) -> u32 {
        let count = self.count.max(1);
        let index = self.index.wrapping_add(no.get().unsigned_abs()) % count;
        whole / count + u32::from(index < whole % count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_parts_together_are_the_whole_and_differ_by_one_at_most() {
        for (whole, count, no) in [(64, 5, 1), (10, 5, 3), (1, 5, 7), (3, 5, i32::MAX), (0, 2, 1), (7, 1, 1)]
        {
            let part = |index| Partition { index, count }.part(whole, EndpointNo::new(no));

            let parts: Vec<u32> = (0..count).map(part).collect();

            assert_eq!(parts.iter().sum::<u32>(), whole, "{parts:?}");
            assert!(parts.iter().all(|part| part.abs_diff(whole / count) <= 1), "{parts:?}");
        }
    }

    #[test]
    fn who_has_the_only_request_is_another_for_each_endpoint() {
        let owner =
            |no| (0..3).find(|index| Partition { index: *index, count: 3 }.part(1, EndpointNo::new(no)) == 1);

        let mut owners = [1, 2, 3].map(owner);

        owners.sort_unstable();
        assert_eq!(owners, [Some(0), Some(1), Some(2)]);
    }
}
