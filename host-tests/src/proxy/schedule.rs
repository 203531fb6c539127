//! Time and turns: ticks and queue wake-ups.

use std::time::Duration;

use super::Proxy;
use crate::abi::ROOT_CONTEXT;
use crate::clock::nanos;
use crate::vm::VmName;

/// More wake-ups than this in a row are a loop of guests that wake each other.
const MAX_WAKES: usize = 100_000;

impl Proxy {
    /// Nanoseconds since 1970 by the process's wall clock.
    pub fn now(&self) -> u64 {
        self.process.borrow().clock.wall()
    }

    /// Sets the wall clock and leaves timers as they are, as a time server does.
    pub fn set_wall_clock(&mut self, unix_nanos: u64) {
        self.process.borrow_mut().clock.set_wall(unix_nanos);
    }

    /// Lets time pass. Ticks fire when they are due, those of one instant in the
    /// order of [`set_order`](Self::set_order), and after each of them every
    /// wake-up is delivered.
    pub fn advance(&mut self, duration: Duration) {
        self.run_until_idle();
        let end = self.process.borrow().clock.monotonic() + nanos(duration);
        while let Some((vm, due)) = self.next_tick(end) {
            self.process.borrow_mut().clock.advance_to(due);
            self.tick(vm);
            self.run_until_idle();
        }
        self.process.borrow_mut().clock.advance_to(end);
    }

    /// Lets time pass in steps of `step` until `done`, but not for longer than
    /// `limit`. True when it was done.
    pub fn advance_until(
        &mut self,
        limit: Duration,
        step: Duration,
        mut done: impl FnMut(&mut Self) -> bool,
    ) -> bool {
        let mut passed = Duration::ZERO;
        while !done(self) {
            if passed >= limit {
                return false;
            }
            self.advance(step);
            passed += step;
        }
        true
    }

    /// Delivers every wake-up, those that come of them too.
    ///
    /// # Panics
    /// When there seems to be no end to them.
    pub fn run_until_idle(&mut self) {
        for _ in 0..MAX_WAKES {
            if !self.order.clone().into_iter().any(|vm| self.deliver_wake(vm)) {
                return;
            }
        }
        panic!("{MAX_WAKES} wake-ups in a row: guests wake each other without end");
    }

    /// Delivers the oldest wake-up of this VM; false when it has none, or has
    /// failed, or is paused.
    pub fn deliver_wake(&mut self, vm: VmName) -> bool {
        if self.failed(vm) || self.paused.contains(&vm) {
            return false;
        }
        let serial = self.vm(vm).serial();
        let wake = self.process.borrow_mut().queues.take_wake(serial);
        let Some(wake) = wake else { return false };
        self.call(vm, wake.context, "proxy_on_queue_ready", &[wake.context, wake.queue]);
        true
    }

    /// How many wake-ups are owed.
    pub fn pending_wakes(&self) -> usize {
        self.process.borrow().queues.pending_wakes()
    }

    /// Loses every wake-up from now on (the queues themselves work), or stops to.
    pub fn lose_wakes(&mut self, lose: bool) {
        self.process.borrow_mut().queues.lose_wakes(lose);
    }

    /// Sets in which order VMs have their turn when several could.
    ///
    /// # Panics
    /// When `order` does not name every VM once.
    pub fn set_order(&mut self, order: &[VmName]) {
        let sorted = |names: &[VmName]| {
            let mut names = names.to_vec();
            names.sort_unstable();
            names
        };
        assert_eq!(sorted(order), sorted(&self.vms()), "an order names every VM once");
        self.order = order.to_vec();
    }

    /// Calls `proxy_on_tick` now and starts the timer anew.
    pub fn tick(&mut self, vm: VmName) {
        self.call(vm, ROOT_CONTEXT, "proxy_on_tick", &[ROOT_CONTEXT]);
        let now = self.process.borrow().clock.monotonic();
        if let Some(tick) = &mut self.vm_mut(vm).state().tick {
            tick.due = now + tick.period;
        }
    }

    /// The tick that is due first, if one is by `end`.
    fn next_tick(&mut self, end: u64) -> Option<(VmName, u64)> {
        let mut first: Option<(VmName, u64)> = None;
        for vm in self.order.clone() {
            if self.failed(vm) || self.paused.contains(&vm) {
                continue;
            }
            let due = self.vm_mut(vm).state().tick.map(|tick| tick.due);
            if let Some(due) = due.filter(|due| *due <= end)
                && first.is_none_or(|(_, earliest)| due < earliest)
            {
                first = Some((vm, due));
            }
        }
        first
    }
}
