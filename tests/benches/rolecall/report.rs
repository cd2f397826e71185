//! Two sides measured in alternating rounds, and how their ratio is told.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How many rounds each side has.
pub const ROUNDS: usize = 15;

/// One figure: two sides, in the same unit.
struct Figure {
    name: String,
    sides: [(&'static str, Vec<f64>); 2],
    unit: &'static str,
}

/// All figures of a run.
#[derive(Default)]
pub struct Report(Vec<Figure>);

impl Report {
    /// Adds a figure: what each side reached in each of its rounds.
    pub fn add(&mut self, name: impl Into<String>, unit: &'static str, first: (&'static str, Vec<f64>), second: (&'static str, Vec<f64>)) {
        let figure = Figure { name: name.into(), sides: [first, second], unit };
        eprintln!("{}", figure.line());
        self.0.push(figure);
    }

    /// Times single calls: nanoseconds a call, each round long enough for the clock.
    pub fn calls<A, B>(
        &mut self,
        name: impl Into<String>,
        first: (&'static str, impl FnMut() -> A),
        second: (&'static str, impl FnMut() -> B),
    ) {
        let ((first_name, mut first), (second_name, mut second)) = (first, second);
        let (first_calls, second_calls) = (calls_a_round(&mut first), calls_a_round(&mut second));
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            a.push(round(&mut first, first_calls));
            b.push(round(&mut second, second_calls));
        }
        self.add(name, "µs a call", (first_name, a), (second_name, b));
    }

    /// The table for people.
    pub fn table(&self) -> String {
        let mut table = format!("\n{:<44} {:>26} {:>26} {:>9}  {}\n", "", "first", "second", "ratio", "middle half");
        for figure in &self.0 {
            table.push_str(&figure.line());
            table.push('\n');
        }
        table
    }

    /// The same for machines.
    pub fn json(&self) -> String {
        let figures: Vec<Value> = self.0.iter().map(Figure::json).collect();
        serde_json::to_string_pretty(&json!({"rounds": ROUNDS, "figures": figures})).expect("figures are JSON")
    }
}

impl Figure {
    /// The ratio of each pair of rounds that followed each other.
    fn ratios(&self) -> Vec<f64> {
        self.sides[0].1.iter().zip(&self.sides[1].1).map(|(first, second)| first / second).collect()
    }

    fn line(&self) -> String {
        let [(first, a), (second, b)] = &self.sides;
        let ratios = self.ratios();
        let side = |name: &str, values: &[f64]| format!("{name} {:.1}", at(values, 0.5));
        let mut line = String::new();
        write!(
            line,
            "{:<44} {:>26} {:>26} {:>9.3}  {:.3} – {:.3}  ({})",
            self.name,
            side(first, a),
            side(second, b),
            at(&ratios, 0.5),
            at(&ratios, 0.25),
            at(&ratios, 0.75),
            self.unit,
        )
        .expect("writing to a string can't fail");
        line
    }

    fn json(&self) -> Value {
        let ratios = self.ratios();
        let side = |(name, values): &(&str, Vec<f64>)| json!({"name": name, "median": at(values, 0.5), "rounds": values});
        json!({
            "name": self.name,
            "unit": self.unit,
            "first": side(&self.sides[0]),
            "second": side(&self.sides[1]),
            "ratio": at(&ratios, 0.5),
            "ratio_quartiles": [at(&ratios, 0.25), at(&ratios, 0.75)],
        })
    }
}

/// The value below which that share of the values lies.
pub fn at(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some thousands of values")]
    let index = ((sorted.len() - 1) as f64 * share).round() as usize;
    sorted[index]
}

/// How many calls fill a round.
fn calls_a_round<T>(call: &mut impl FnMut() -> T) -> u32 {
    const ROUND: Duration = Duration::from_millis(60);
    let mut calls = 1;
    loop {
        let started = Instant::now();
        for _ in 0..calls {
            std::hint::black_box(call());
        }
        if started.elapsed() >= ROUND {
            return calls;
        }
        calls *= 2;
    }
}

fn round<T>(call: &mut impl FnMut() -> T, calls: u32) -> f64 {
    let started = Instant::now();
    for _ in 0..calls {
        std::hint::black_box(call());
    }
    started.elapsed().as_secs_f64() * 1e6 / f64::from(calls)
}
