//! In which order things happen that could happen in any.

use crate::random::Random;

/// A source of choices: always the first, or by a seed.
///
/// Given to [`Proxy::set_schedule`](crate::Proxy::set_schedule), it decides which
/// of several VMs has its turn, and how long wake-ups wait. A test can use one of
/// its own for what it does itself:
///
/// ```
/// use kya_host_tests::Schedule;
///
/// let mut schedule = Schedule::seeded(7);
/// let mut answers = vec!["a", "b", "c"];
/// schedule.shuffle(&mut answers);
/// assert!(schedule.pick(3) < 3);
/// ```
#[derive(Debug, Clone)]
pub struct Schedule(Option<Random>);

impl Schedule {
    /// Whoever comes first in the order of the VMs; wake-ups at once.
    pub fn in_order() -> Self {
        Self(None)
    }

    /// Choices that look arbitrary and are the same for the same seed.
    pub fn seeded(seed: u64) -> Self {
        Self(Some(Random::from_seed(seed)))
    }

    /// One of the numbers below `n`.
    ///
    /// # Panics
    /// When `n` is 0.
    pub fn pick(&mut self, n: usize) -> usize {
        assert!(n > 0, "there is nothing to choose from");
        let Some(random) = &mut self.0 else { return 0 };
        let n = u64::try_from(n).expect("a count");
        usize::try_from(random.next() % n).expect("less than a count")
    }

    /// One of these; `None` when there are none.
    pub fn choose<'a, T>(&mut self, among: &'a [T]) -> Option<&'a T> {
        if among.is_empty() { None } else { among.get(self.pick(among.len())) }
    }

    /// Puts these in an order. One that is not seeded leaves them.
    pub fn shuffle<T>(&mut self, these: &mut [T]) {
        if self.0.is_some() {
            for last in (1..these.len()).rev() {
                these.swap(last, self.pick(last + 1));
            }
        }
    }

    pub(super) fn is_seeded(&self) -> bool {
        self.0.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_order_and_all_orders_come_up() {
        let order = |seed| {
            let mut these = [1, 2, 3];
            Schedule::seeded(seed).shuffle(&mut these);
            these
        };
        assert_eq!(order(5), order(5));
        let orders: std::collections::BTreeSet<_> = (0..100).map(order).collect();
        assert_eq!(orders.len(), 6);
    }

    #[test]
    fn without_a_seed_the_first_is_taken_and_nothing_moves() {
        let mut schedule = Schedule::in_order();
        let mut these = [1, 2, 3];
        schedule.shuffle(&mut these);
        assert_eq!((these, schedule.pick(3)), ([1, 2, 3], 0));
        assert_eq!(schedule.choose::<u8>(&[]), None);
    }
}
