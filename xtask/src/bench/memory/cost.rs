//! CPU that the filter adds to a request.

use anyhow::{Context, Result, ensure};
use kya_envoy::traffic::Lane;
use tokio::task::JoinSet;

use super::stage::Stage;
use crate::bench::process;
use crate::bench::seed;

/// A stride through the tokens that meets each before any comes again, for any
/// number of tokens that it does not divide: a prime.
const STRIDE: u64 = 7_368_787;

/// Microseconds of CPU a request, with the filter over without.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    pub(super) median: f64,
    pub(super) quartiles: [f64; 2],
}

/// Measures in `rounds`, each with `requests` through the filter and as many past
/// it, every request with another token while there are enough of them.
pub(super) async fn measure(
    stage: &Stage,
    tokens: u32,
    rounds: u32,
    requests: u32,
) -> Result<Cost> {
    let (kya, plain) = stage.lanes().await?;
    let pid = stage.sidecar()?.pid();
    let mut next = 0;
    let mut added = Vec::new();
    // The first one only warms up.
    for round in 0..=rounds {
        let mut take = || {
            let numbers = (0..u64::from(requests)).map(|index| number(next + index, tokens));
            let taken: Vec<String> =
                numbers.map(|number| seed::token(number).reveal().to_owned()).collect();
            next += u64::from(requests);
            taken
        };
        let (one, other) = (take(), take());
        let (with, without) = match round.is_multiple_of(2) {
            true => {
                let without = spent(pid, &plain, one).await?;
                (spent(pid, &kya, other).await?, without)
            }
            false => (spent(pid, &kya, one).await?, spent(pid, &plain, other).await?),
        };
        if round > 0 {
            added.push(with - without);
        }
    }
    added.sort_by(f64::total_cmp);
    let at = |quarter: usize| {
        let index = (added.len() - 1) * quarter / 4;
        added.get(index).copied().context("no round was measured")
    };
    Ok(Cost { median: at(2)?, quartiles: [at(1)?, at(3)?] })
}

/// Which token request number `index` shows.
fn number(index: u64, tokens: u32) -> u32 {
    (index.wrapping_mul(STRIDE) % u64::from(tokens.max(1))) as u32
}

/// Shows each of `tokens` once, spread over `lanes`, and returns the CPU that
/// Envoy has used for one, in microseconds.
async fn spent(pid: u32, lanes: &[Lane], tokens: Vec<String>) -> Result<f64> {
    let count = tokens.len();
    let share = count.div_ceil(lanes.len());
    let work: Vec<(Lane, Vec<String>)> =
        lanes.iter().cloned().zip(tokens.chunks(share).map(<[String]>::to_vec)).collect();
    let before = process::cpu(pid)?;
    let mut tasks = JoinSet::new();
    for (lane, tokens) in work {
        tasks.spawn(async move {
            for token in tokens {
                let status = lane.request(&token).await?;
                ensure!(status.is_success(), "a good token was answered {status}");
            }
            Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let used = process::cpu(pid)?.saturating_sub(before);
    Ok(used.as_secs_f64() * 1e6 / count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_token_comes_twice_before_each_has_come_once() {
        for tokens in [1, 1000, 12_345] {
            let mut seen: Vec<u32> =
                (0..u64::from(tokens)).map(|index| number(index, tokens)).collect();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), tokens as usize);
        }
    }
}
