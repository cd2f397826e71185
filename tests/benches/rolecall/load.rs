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

/// The processor's time that this process has taken so far, in milliseconds (Linux; nothing elsewhere): what else the machine does counts not.
pub fn processor_ms() -> f64 {
    const TICKS_A_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which may have spaces: utime and stime are the 12th and the 13th.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() * 1e3 / TICKS_A_SECOND
}
