//! The noise floor: how much a fixed piece of work varies on this machine, before and after the run.
//!
//! A difference between engines that is smaller than this spread is not significant.

use std::hint::black_box;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::machine;
use crate::measure::median;

const REPETITIONS: usize = 20;
const AIM: Duration = Duration::from_millis(50);

/// The times of one fixed loop, and the load of the machine.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Noise {
    pub(crate) min_ms: f64,
    pub(crate) median_ms: f64,
    pub(crate) max_ms: f64,
    pub(crate) load_average: Option<f64>,
}

impl Noise {
    /// Returns the distance between the fastest and the slowest pass, as a share of the median.
    pub(crate) fn spread(&self) -> f64 {
        if self.median_ms > 0.0 { (self.max_ms - self.min_ms) / self.median_ms } else { 0.0 }
    }
}

/// Returns the number of loop steps that take about 50 ms here. The same number is used before and after the run.
pub(crate) fn calibrate() -> u64 {
    let mut steps: u64 = 1 << 20;
    loop {
        let took = time(steps);
        if took >= AIM {
            return steps;
        }
        // The last factor gets close to the aim. A first estimate on a cold processor is only doubled.
        steps = if took * 4 < AIM { steps * 2 } else { scaled(steps, took) };
    }
}

/// Times `steps` twenty times.
pub(crate) fn measure(steps: u64) -> Noise {
    let times: Vec<f64> = (0..REPETITIONS).map(|_| time(steps).as_secs_f64() * 1e3).collect();
    Noise {
        min_ms: times.iter().copied().fold(f64::INFINITY, f64::min),
        median_ms: median(&times),
        max_ms: times.iter().copied().fold(0.0, f64::max),
        load_average: machine::load_average(),
    }
}

fn scaled(steps: u64, took: Duration) -> u64 {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
    let aim = u64::try_from(AIM.as_micros()).unwrap_or(u64::MAX);
    steps.saturating_mul(aim) / micros + 1
}

/// Times the loop. Each step depends on the previous one, so that it measures only the clock rate of the core.
fn time(steps: u64) -> Duration {
    let start = Instant::now();
    let mut value = black_box(0x9E37_79B9_7F4A_7C15_u64);
    for _ in 0..steps {
        value ^= value << 13;
        value ^= value >> 7;
        value ^= value << 17;
    }
    black_box(value);
    start.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_is_relative_to_the_median() {
        let noise = Noise { min_ms: 45.0, median_ms: 50.0, max_ms: 60.0, load_average: None };
        assert!((noise.spread() - 0.3).abs() < 1e-9);
        assert!(Noise::default().spread().abs() < f64::EPSILON);
    }

    #[test]
    fn calibrated_loop_takes_about_the_aim() {
        let noise = Noise { median_ms: time(calibrate()).as_secs_f64() * 1e3, ..Noise::default() };
        assert!(noise.median_ms > 10.0, "took {} ms", noise.median_ms);
    }
}
