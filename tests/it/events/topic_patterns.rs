//! Which topics a pattern matches is said twice: in Rust for routing, in SQL for replays.

use postrider::model::topic::TopicPattern;

use crate::support::{Database, chance};

#[tokio::test]
async fn sql_and_the_dispatcher_agree_which_topics_a_pattern_matches() {
    let database = Database::new().await;
    let mut random = chance();
    let (mut patterns, mut topics, mut expected) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..5_000 {
        let few: Vec<String> = (0..random.usize(1..4)).map(|_| pattern(&mut random)).collect();
        let topic = words(&mut random, &["a", "b", "ab", "a-b", "_", "1"]);
        expected.push(few.iter().any(|p| p.parse::<TopicPattern>().unwrap().matches(&topic)));
        patterns.push(few.join(","));
        topics.push(topic);
    }

    let rows = database
        .rows(
            "select u.topic ~ postrider.topic_regex(string_to_array(u.patterns, ','))
             from unnest($1::text[], $2::text[]) with ordinality as u (patterns, topic, n) order by u.n",
            &[&patterns, &topics],
        )
        .await;

    let found: Vec<bool> = rows.iter().map(|row| row.get(0)).collect();
    for (n, (found, expected)) in found.iter().zip(&expected).enumerate() {
        assert_eq!(found, expected, "{} on {}", patterns[n], topics[n]);
    }
    assert!(expected.contains(&true) && expected.contains(&false));
}

fn pattern(random: &mut fastrand::Rng) -> String {
    let start = words(random, &["a", "b", "ab", "a-b", "_", "1", "*", "*"]);
    match random.u8(..4) {
        0 => "**".to_owned(),
        1 => format!("{start}.**"),
        _ => start,
    }
}

/// One to four of these, with full stops between.
fn words(random: &mut fastrand::Rng, of: &[&str]) -> String {
    let count = random.usize(1..=4);
    let some: Vec<&str> = (0..count).map(|_| of[random.usize(..of.len())]).collect();
    some.join(".")
}
