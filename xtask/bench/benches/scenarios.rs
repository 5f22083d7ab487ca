//! Times every scenario. A time is that of a round; the rate counts the operations in it.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use macula_bench::{Size, all};

fn scenarios(criterion: &mut Criterion) {
    for scenario in all() {
        let mut group = criterion.benchmark_group(scenario.name());
        group.throughput(Throughput::Elements(scenario.operations()));
        group.bench_function("round", |bencher| {
            let mut round = scenario.prepare(Size::Full);
            bencher.iter(&mut round);
        });
        group.finish();
    }
}

criterion_group!(benches, scenarios);
criterion_main!(benches);
