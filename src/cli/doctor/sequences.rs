//! Sequences that lag behind their tables, as after a logical copy: each new row gets an id that is taken.

use super::Finding;
use crate::store::{LaggingSequence, Store, StoreError};

const NAME: &str = "sequences";

/// Names lagging sequences. With `mend`, sets them forward first.
pub(super) async fn check(store: &Store, mend: bool) -> Finding {
    let looked = async {
        let mended = if mend { store.mend_sequences().await? } else { Vec::new() };
        Ok::<_, StoreError>((mended, store.list_lagging_sequences().await?))
    };
    match looked.await {
        Ok((mended, lagging)) => judge(&mended, &lagging),
        Err(fault) => Finding::broken(NAME, &fault),
    }
}

fn judge(mended: &[LaggingSequence], lagging: &[LaggingSequence]) -> Finding {
    if !lagging.is_empty() {
        let message: Vec<String> = lagging
            .iter()
            .map(|behind| {
                let LaggingSequence { relation, sequence, next_id, highest_id } = behind;
                let then = consequence(relation);
                format!(
                    "{sequence} gives out {next_id} next, but postrider.{relation} has ids up to {highest_id}: {then}"
                )
            })
            .collect();
        return Finding::fail(NAME, message.join("; "), "postrider doctor --mend");
    }
    if mended.is_empty() {
        return Finding::ok(NAME, "each is ahead of its table");
    }
    let names: Vec<String> = mended
        .iter()
        .map(|was| format!("{} from {} to behind {}", was.sequence, was.next_id, was.highest_id))
        .collect();
    Finding::ok(NAME, format!("set forward: {}", names.join(", ")))
}

/// The consequence of a lagging sequence.
fn consequence(relation: &str) -> &'static str {
    match relation {
        "outbox" => "inserts of producers fail, and with \"on conflict do nothing\" they insert nothing",
        "delivery" | "claim" => "no event is routed",
        "dispatcher" => "no dispatcher can start",
        "endpoint" | "endpoint_change" => "no endpoint can be put",
        _ => "new rows are refused",
    }
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::*;

    #[test]
    fn a_sequence_that_lies_behind_is_a_failure_until_it_is_set_forward() {
        let behind = LaggingSequence {
            relation: "outbox".to_owned(),
            sequence: "postrider.outbox_id_seq".to_owned(),
            next_id: 5,
            highest_id: 20,
        };

        let found = judge(&[], std::slice::from_ref(&behind));
        let mended = judge(&[behind], &[]);

        assert_eq!((found.result, mended.result), (Severity::Fail, Severity::Ok));
        assert!(found.message.contains("postrider.outbox_id_seq gives out 5 next"), "{}", found.message);
        assert!(mended.message.contains("set forward: postrider.outbox_id_seq from 5"), "{}", mended.message);
    }
}
