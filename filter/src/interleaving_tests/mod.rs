//! Whatever the order, loss and repetition of what happens in one proxy:
//! nothing that the strictest announced state denies is allowed, requests in
//! flight are cut when they must be and never otherwise, and all comes right in
//! the end.

mod world;

use proptest::prelude::*;

use world::{TOKENS, WORKERS, World};

#[derive(Debug, Clone, Copy)]
enum Step {
    /// Something is committed that denies nobody.
    Commit,
    /// An agent is suspended.
    Suspend(u8),
    /// An agent is active again, unless it was revoked.
    Restore(u8),
    /// An agent is revoked.
    Revoke(u8),
    /// A token is taken back.
    RevokeToken(u8),
    /// All tokens of an agent that were issued until now are ended.
    Supersede(u8),
    /// An agent may not do one of its actions any more.
    Forbid(u8),
    /// Everyone is halted.
    Halt,
    /// Everyone may go on.
    Resume,
    /// So much is committed that a new base is due.
    Burst,
    /// A backup is put back: the control plane begins a new epoch.
    Backup,
    /// The control plane forgets its deltas.
    Forget,
    /// It signs with its next key, and says that this counts beside the last, or
    /// alone.
    Rotate(bool),
    /// The oldest message on one of the streams arrives.
    Deliver(usize),
    /// It arrives, and will again.
    Repeat(usize),
    /// It is overtaken by all others.
    Overtake(usize),
    /// It is lost.
    Lose(usize),
    /// Every stream breaks.
    Break,
    /// One of the calls is answered, as of when it was made.
    Respond(usize),
    /// One of the calls finds no answer.
    Fail(usize),
    /// Time passes, and every VM is ticked.
    Tick,
    /// The main thread stands still for three seconds.
    Stall,
    /// A VM is woken.
    Wake(usize),
    /// A VM crashes and is replaced.
    Replace(usize),
    /// A request arrives at a worker with a token, and ends.
    Ask(usize, u8),
    /// One arrives, and goes on.
    Begin(usize, u8),
    /// The upstream answers a request that goes on.
    Upstream(usize),
    /// A request ends.
    End(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let worker = 1..=WORKERS;
    let vm = 0..=WORKERS;
    let who = 1..=2u8;
    let token = 1..=TOKENS.len() as u8;
    // Which of the streams, calls or requests: there are rarely more.
    let nth = 0..3usize;
    prop_oneof![
        12 => Just(Step::Commit),
        3 => who.clone().prop_map(Step::Suspend),
        4 => who.clone().prop_map(Step::Restore),
        2 => who.clone().prop_map(Step::Revoke),
        3 => token.clone().prop_map(Step::RevokeToken),
        1 => who.clone().prop_map(Step::Supersede),
        1 => who.prop_map(Step::Forbid),
        2 => Just(Step::Halt),
        4 => Just(Step::Resume),
        1 => Just(Step::Burst),
        1 => Just(Step::Backup),
        3 => Just(Step::Forget),
        2 => any::<bool>().prop_map(Step::Rotate),
        80 => nth.clone().prop_map(Step::Deliver),
        4 => nth.clone().prop_map(Step::Repeat),
        4 => nth.clone().prop_map(Step::Overtake),
        4 => nth.clone().prop_map(Step::Lose),
        4 => Just(Step::Break),
        24 => nth.clone().prop_map(Step::Respond),
        6 => nth.clone().prop_map(Step::Fail),
        40 => Just(Step::Tick),
        4 => Just(Step::Stall),
        16 => vm.clone().prop_map(Step::Wake),
        4 => vm.prop_map(Step::Replace),
        30 => (worker.clone(), token.clone()).prop_map(|(worker, n)| Step::Ask(worker, n)),
        12 => (worker, token).prop_map(|(worker, n)| Step::Begin(worker, n)),
        4 => nth.clone().prop_map(Step::Upstream),
        4 => nth.prop_map(Step::End),
    ]
}

/// As many as `PROPTEST_CASES` says; `cargo xtask test --long` says thousands.
fn config() -> ProptestConfig {
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default(),
        None => ProptestConfig::with_cases(500),
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn nothing_denied_is_allowed_and_all_comes_right_in_the_end(
        steps in prop::collection::vec(step(), 1..160),
    ) {
        let mut world = World::new();
        steps.into_iter().for_each(|step| world.take(step));
        world.settle();
        world.check_the_end();
    }
}

/// So much is under way when the last thing has gone wrong that it takes thousands of
/// messages to come right; that is no talk without end.
#[test]
fn a_long_queue_is_not_talk_without_end() {
    let mut world = World::new();
    [Step::Tick, Step::Tick].into_iter().for_each(|step| world.take(step));
    (0..30).for_each(|_| world.take(Step::Burst));
    world.settle();
    world.check_the_end();
}
