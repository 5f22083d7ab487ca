//! Runs that do not depend on each other, on all cores.

use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::progress::Progress;
use crate::statistics::number;

/// Calls `work` with each item and its place, on as many threads as there are cores; the results stand in the order of
/// the items, so that they do not depend on the threads.
pub(crate) fn map<T: Sync, R: Send>(
    items: &[T],
    progress: &Progress,
    work: impl Fn(usize, &T) -> R + Sync,
) -> Vec<R> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::with_capacity(items.len()));
    std::thread::scope(|scope| {
        for _ in 0..threads.min(items.len()) {
            scope.spawn(|| {
                loop {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(place) else {
                        return;
                    };
                    let result = work(place, item);
                    let Ok(mut done) = done.lock() else {
                        return;
                    };
                    done.push((place, result));
                    progress.reached(number(done.len()), number(items.len()));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_stand_in_the_order_of_the_items() {
        let items: Vec<usize> = (0..100).collect();
        let squares = map(&items, &Progress::hidden(), |place, item| place * item);
        let wanted: Vec<usize> = items.iter().map(|item| item * item).collect();
        assert_eq!(squares, wanted);
        assert_eq!(
            map(&[] as &[u8], &Progress::hidden(), |_, _| 1),
            [] as [i32; 0]
        );
    }
}
