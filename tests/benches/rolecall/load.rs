//! Load: requests that are made so many at once, and how many that were a second.

use std::time::Instant;

use tokio::task::JoinSet;

/// Makes requests, `concurrent` at once. What came of each, by its number, and how many a second there were.
pub async fn make<T, F>(concurrent: usize, requests: usize, request: impl Fn(usize) -> F + Clone + Send + 'static) -> (Vec<T>, f64)
where
    T: Send + 'static,
    F: Future<Output = T> + Send,
{
    let started = Instant::now();
    let mut workers = JoinSet::new();
    for worker in 0..concurrent {
        let request = request.clone();
        workers.spawn(async move {
            let mut answers = Vec::new();
            for number in (worker..requests).step_by(concurrent) {
                answers.push((number, request(number).await));
            }
            answers
        });
    }
    let mut answers: Vec<(usize, T)> = workers.join_all().await.into_iter().flatten().collect();
    let rate = per_second(requests, started);
    answers.sort_by_key(|(number, _)| *number);
    (answers.into_iter().map(|(_, answer)| answer).collect(), rate)
}

/// How many a second, since then.
pub fn per_second(count: usize, started: Instant) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a few thousand at most")]
    let count = count as f64;
    count / started.elapsed().as_secs_f64()
}
