//! A batch that was refused because of one item is tried again in halves, down to that item alone.

/// Parts of a batch, in order, each to be tried by itself. At first there is one part, the whole.
#[derive(Debug)]
pub(crate) struct Halves<T> {
    /// The next part is the last one.
    parts: Vec<Vec<T>>,
}

impl<T> Halves<T> {
    /// The whole batch.
    pub(crate) fn new(batch: Vec<T>) -> Self {
        Self { parts: vec![batch] }
    }

    /// The next part to try; never empty.
    pub(crate) fn next_part(&mut self) -> Option<Vec<T>> {
        std::iter::from_fn(|| self.parts.pop()).find(|part| !part.is_empty())
    }

    /// Splits a part that was refused; its halves come next. If it was a single item, that is returned: it is the culprit.
    pub(crate) fn refused(&mut self, mut part: Vec<T>) -> Option<T> {
        if part.len() <= 1 {
            return part.pop();
        }
        let second = part.split_off(part.len() / 2);
        self.parts.push(second);
        self.parts.push(part);
        None
    }

    /// The items that were not tried yet, in order.
    pub(crate) fn rest(self) -> Vec<T> {
        self.parts.into_iter().rev().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_item_is_accepted_in_order_but_those_that_are_refused_alone(
            size in 0_usize..600,
            bad in proptest::collection::btree_set(0_usize..600, 0..8),
        ) {
            let mut halves = Halves::new((0..size).collect());
            let (mut accepted, mut refused, mut tries) = (Vec::new(), BTreeSet::new(), 0);

            while let Some(part) = halves.next_part() {
                tries += 1;
                if part.iter().any(|item| bad.contains(item)) {
                    refused.extend(halves.refused(part));
                } else {
                    accepted.extend(part);
                }
            }

            let expected: BTreeSet<usize> = bad.into_iter().filter(|item| *item < size).collect();
            prop_assert_eq!(accepted, (0..size).filter(|item| !expected.contains(item)).collect::<Vec<_>>());
            // A refused item costs at most two tries per halving.
            prop_assert!(tries <= 1 + expected.len() * 20, "{tries} tries");
            prop_assert_eq!(refused, expected);
        }
    }

    #[test]
    fn what_was_not_tried_is_left_in_order() {
        let mut halves = Halves::new((0..8).collect());
        let whole = halves.next_part().unwrap();
        assert_eq!(halves.refused(whole), None);
        let first = halves.next_part().unwrap();
        assert_eq!(halves.refused(first), None);
        assert_eq!(halves.next_part(), Some(vec![0, 1]));

        assert_eq!(halves.rest(), [2, 3, 4, 5, 6, 7]);
    }
}
