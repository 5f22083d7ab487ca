//! Records of which it is not known at first who ought to keep them.

use macula_kad::Config;
use macula_wire::Body;

use super::bench::{Bench, NOBODY, contact, found, interest, millis, willing};

const K: usize = 4;

/// A bench without membership that knows more contacts than keep a record.
fn bench(max_queries: usize) -> Bench {
    let mut config = Config::default();
    config.k = K;
    config.max_queries = max_queries;
    let mut bench = Bench::with(config);
    (1..30).for_each(|number| bench.contact(number));
    bench.forget();
    bench
}

#[test]
fn a_record_for_which_a_lookup_found_nobody_is_told_later() {
    let mut bench = bench(1_024);
    let id = bench.with_kad(|kad, now| kad.publish(now, interest("a")).unwrap());
    // All are silent until the lookup is over.
    bench.pass(millis(9_000));
    assert_eq!(bench.told_of(id), NOBODY);
    assert_eq!(bench.stats().queries, 1);
    bench.pass_willing(millis(15_000));
    assert!(!bench.told_of(id).is_empty());
    // The twin: once it is told, nobody is looked for.
    let queries = bench.stats().queries;
    bench.pass_willing(millis(60_000));
    assert_eq!(bench.stats().queries, queries);
}

#[test]
fn a_record_for_which_there_were_too_many_lookups_is_told_later() {
    let mut bench = bench(2);
    let names = ["a", "b", "c", "d", "e"];
    let ids = names.map(|name| bench.with_kad(|kad, now| kad.publish(now, interest(name))));
    assert_eq!(bench.stats().queries, 2);
    bench.answer_all(|_, body| willing(body));
    bench.pass_willing(millis(10_000));
    for id in ids {
        assert_eq!(bench.told_of(id.unwrap()).len(), K);
    }
    assert_eq!(bench.stats().queries, 5, "one for each");
}

#[test]
fn who_names_nobody_else_is_told_all_the_same() {
    let mut bench = bench(1_024);
    let id = bench.with_kad(|kad, now| kad.publish(now, interest("a")).unwrap());
    bench.answer_all(|_, body| match body {
        Body::KadFind(find) => Some(found(find.request, vec![contact(1)]).into()),
        _ => willing(body),
    });
    assert!(!bench.told_of(id).is_empty());
}
