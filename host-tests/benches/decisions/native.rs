//! What a decision and an update are made of, each by itself, compiled for this machine.

use std::time::Instant;

use kya_core::testing::operations::OPERATIONS;

use crate::percentile;

/// Times that each is done in one round; what the clock takes is shared by so many.
const AT_ONCE: usize = 50;
const ROUNDS: usize = 200;
const WARM_UP: usize = 20;

pub(crate) fn natively() {
    let most = AT_ONCE * (ROUNDS + WARM_UP);
    let mut prepared: Vec<_> = OPERATIONS.iter().map(|it| it.prepare(most)).collect();
    let mut times = vec![Vec::new(); OPERATIONS.len()];
    for round in 0..WARM_UP + ROUNDS {
        for at in (0..OPERATIONS.len()).map(|at| (at + round) % OPERATIONS.len()) {
            let run = &mut prepared[at];
            let begun = Instant::now();
            (0..AT_ONCE).for_each(|_| run());
            let took = begun.elapsed().as_secs_f64() * 1e6 / AT_ONCE as f64;
            if round >= WARM_UP {
                times[at].push(took);
            }
        }
    }
    println!("{ROUNDS} rounds of {AT_ONCE}, natively, microseconds of one:\n");
    println!("{:<56}{:>9}{:>9}{:>9}", "", "p50", "p90", "p99");
    for (operation, times) in OPERATIONS.iter().zip(&mut times) {
        let [p50, p90, p99] = [50, 90, 99].map(|percent| percentile(times, percent));
        println!("{:<56}{p50:>9.3}{p90:>9.3}{p99:>9.3}", operation.what);
    }
}
