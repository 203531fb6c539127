//! Time and turns: ticks, timeouts and queue wake-ups.

use std::time::Duration;

use super::{Proxy, Schedule};
use crate::callouts::CallKey;
use crate::clock::nanos;
use crate::vm::VmName;

/// More wake-ups than this in a row are a loop of guests that wake each other.
const MAX_WAKES: usize = 100_000;

/// Something that could happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The timer of this VM fires. Time moves to when it is due, if that is later.
    Tick(VmName),
    /// This VM gets the oldest wake-up that it is owed.
    Wake(VmName),
    /// A call runs into its timeout. Time moves to when it does.
    Timeout(CallKey),
}

impl Proxy {
    /// Nanoseconds since 1970 by the process's wall clock.
    pub fn now(&self) -> u64 {
        self.process.lock().clock.wall()
    }

    /// Nanoseconds by the monotonic clock, which timers go by. It is never set.
    pub fn monotonic(&self) -> u64 {
        self.process.lock().clock.monotonic()
    }

    /// Sets the wall clock and leaves timers as they are, as a time server does.
    pub fn set_wall_clock(&mut self, unix_nanos: u64) {
        self.process.lock().clock.set_wall(unix_nanos);
    }

    /// Lets time pass. Ticks fire and calls run out of time when they are due, those
    /// of one instant in the order of [`set_order`](Self::set_order), and after each
    /// of them every wake-up is delivered.
    ///
    /// With a [seeded](Schedule::seeded) schedule the order is arbitrary, and wake-ups
    /// may wait until after what comes next; none waits for longer than the duration.
    pub fn advance(&mut self, duration: Duration) {
        self.deliver_some();
        let end = self.monotonic() + nanos(duration);
        while let Some((event, due)) = self.next_due(end) {
            self.process.lock().clock.advance_to(due);
            self.happen(event);
            self.deliver_some();
        }
        self.process.lock().clock.advance_to(end);
        self.run_until_idle();
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

    /// What could happen next if nobody waited for anybody: each tick, each wake-up,
    /// each timeout. A test that makes one of them [happen](Self::happen), again and
    /// again, walks through one interleaving of them all.
    pub fn possible_events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        for vm in self.order.iter().map(|name| self.vm(*name)) {
            if self.held_back(vm.name()) {
                continue;
            }
            if vm.tick_due().is_some() {
                events.push(Event::Tick(vm.name()));
            }
            if self.process.lock().queues.wakes(vm.serial()) {
                events.push(Event::Wake(vm.name()));
            }
        }
        events.extend(self.timeouts().map(|(call, _)| Event::Timeout(call)));
        events
    }

    /// Makes an event happen. False when it no longer can.
    pub fn happen(&mut self, event: Event) -> bool {
        match event {
            Event::Tick(vm) => {
                let Some(due) = self.vm(vm).tick_due().filter(|_| !self.held_back(vm)) else {
                    return false;
                };
                self.process.lock().clock.advance_to(due);
                self.tick(vm);
                true
            }
            Event::Wake(vm) => self.deliver_wake(vm),
            Event::Timeout(call) => {
                let Some((_, due)) = self.timeouts().find(|(key, _)| *key == call) else {
                    return false;
                };
                self.process.lock().clock.advance_to(due);
                self.time_call_out(call)
            }
        }
    }

    /// Delivers every wake-up, those that come of them too.
    ///
    /// # Panics
    /// When there seems to be no end to them.
    pub fn run_until_idle(&mut self) {
        for _ in 0..MAX_WAKES {
            let mut order = self.order.clone();
            self.schedule.shuffle(&mut order);
            if !order.into_iter().any(|vm| self.deliver_wake(vm)) {
                return;
            }
        }
        panic!("{MAX_WAKES} wake-ups in a row: guests wake each other without end");
    }

    /// Delivers the oldest wake-up of this VM; false when it has none, or has
    /// failed, or is paused.
    pub fn deliver_wake(&mut self, vm: VmName) -> bool {
        !self.held_back(vm) && self.vm_mut(vm).wake()
    }

    /// How many wake-ups are owed.
    pub fn pending_wakes(&self) -> usize {
        self.process.lock().queues.pending_wakes()
    }

    /// Loses every wake-up from now on (the queues themselves work), or stops to.
    pub fn lose_wakes(&mut self, lose: bool) {
        self.process.lock().queues.lose_wakes(lose);
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

    /// Sets who decides when several things could happen:
    /// [in order](Schedule::in_order) unless told otherwise.
    pub fn set_schedule(&mut self, schedule: Schedule) {
        self.schedule = schedule;
    }

    /// Calls `proxy_on_tick` now and starts the timer anew.
    ///
    /// # Panics
    /// When the VM has failed.
    pub fn tick(&mut self, vm: VmName) {
        self.vm_mut(vm).tick();
    }

    fn held_back(&self, vm: VmName) -> bool {
        self.failed(vm) || self.paused.contains(&vm)
    }

    /// After an event: all wake-ups, or as many as the schedule likes.
    fn deliver_some(&mut self) {
        if !self.schedule.is_seeded() {
            return self.run_until_idle();
        }
        let most = self.schedule.pick(self.pending_wakes() + 1);
        for _ in 0..most {
            let mut order = self.order.clone();
            self.schedule.shuffle(&mut order);
            order.into_iter().any(|vm| self.deliver_wake(vm));
        }
    }

    /// The tick or timeout that is due first, if one is by `end`.
    fn next_due(&mut self, end: u64) -> Option<(Event, u64)> {
        let ticks = self.order.iter().filter(|vm| !self.held_back(**vm));
        let ticks = ticks.filter_map(|vm| Some((Event::Tick(*vm), self.vm(*vm).tick_due()?)));
        let timeouts = self.timeouts().map(|(call, due)| (Event::Timeout(call), due));
        let mut due: Vec<_> = ticks.chain(timeouts).filter(|(_, due)| *due <= end).collect();
        // What is overdue is due now.
        let now = self.monotonic();
        let first = due.iter().map(|(_, due)| (*due).max(now)).min()?;
        if self.schedule.is_seeded() {
            due.retain(|(_, due)| *due <= first);
            self.schedule.choose(&due).copied()
        } else {
            due.into_iter().min_by_key(|(_, due)| *due)
        }
    }

    /// The calls that will run out of time, and when.
    fn timeouts(&self) -> impl Iterator<Item = (CallKey, u64)> {
        let process = self.process.lock();
        let calls: Vec<_> = process
            .calls
            .all()
            .filter(|call| self.vms.iter().any(|vm| vm.serial() == call.key.vm))
            .filter(|call| !self.held_back(call.vm))
            .filter_map(|call| Some((call.key, call.deadline?)))
            .collect();
        calls.into_iter()
    }
}
