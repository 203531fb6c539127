use super::*;
use std::collections::{BTreeMap, BTreeSet};

use crate::request::Flow;
use crate::testing::{MemoryHost, Proxy, Standing};
use proptest::prelude::*;

const ANSWER: Answer<'static> = Answer {
    status: 403,
    headers: &[("content-type", "application/problem+json")],
    body: b"{}",
    details: "kya_agent_revoked",
};

type Requests = InFlight<u8, u64>;

fn arrived(host: &MemoryHost) -> ContextId {
    let context = host.arrive(&[]);
    host.decided(Flow::Continue);
    context
}

fn contexts(requests: &Requests, key: u8) -> Vec<ContextId> {
    requests.of(key).map(|(context, _)| context).collect()
}

#[test]
fn a_waiting_request_is_answered_and_a_responding_one_is_reset() {
    let host = Proxy::new().host();
    let mut requests = Requests::default();
    let [waiting, responding, others] = [(); 3].map(|()| arrived(&host));
    assert!(requests.begin(waiting, 1, 10));
    assert!(requests.begin(responding, 1, 11));
    assert!(requests.begin(others, 2, 12));
    host.response_started(responding);
    requests.response_started(responding);
    assert_eq!(contexts(&requests, 1), [waiting, responding]);

    let (live, cut) = requests.cut(&host, waiting, &ANSWER).unwrap();
    assert_eq!((live.subject, live.phase, cut), (10, Phase::Waiting, Cut::Answered));
    let (live, cut) = requests.cut(&host, responding, &ANSWER).unwrap();
    assert_eq!((live.subject, live.phase, cut), (11, Phase::Responding, Cut::Reset));

    let (status, headers, body) = host.exchange(waiting).response.unwrap();
    assert_eq!((status, body.as_str()), (403, "{}"));
    assert_eq!(headers["content-type"], "application/problem+json");
    assert_eq!(host.exchange(responding).standing, Standing::Reset);
    assert_eq!(host.exchange(others).standing, Standing::Forwarded);
    assert_eq!((requests.len(), contexts(&requests, 1)), (1, vec![]));
}

#[test]
fn a_request_is_cut_once_and_not_after_its_end() {
    let host = Proxy::new().host();
    let mut requests = Requests::default();
    let [cut, ended, denied] = [(); 3].map(|()| arrived(&host));
    requests.begin(cut, 1, 0);
    requests.begin(ended, 1, 0);
    assert!(requests.cut(&host, cut, &ANSWER).is_some());
    // Its own answer passes, and then it ends.
    requests.response_started(cut);
    assert_eq!(requests.cut(&host, cut, &ANSWER), None);
    assert_eq!(requests.end(cut), None);
    assert!(requests.end(ended).is_some());
    assert_eq!(requests.end(ended), None);
    assert_eq!(requests.cut(&host, ended, &ANSWER), None);
    assert_eq!(requests.cut(&host, denied, &ANSWER), None, "it was never allowed");
    assert!(requests.is_empty());
}

#[test]
fn what_is_postponed_is_due_again_when_it_is_resumed_unless_it_has_ended() {
    let mut requests = Requests::default();
    let contexts = [1, 2, 3].map(ContextId);
    contexts.iter().for_each(|context| assert!(requests.begin(*context, 1, 0)));
    contexts[..2].iter().for_each(|context| requests.condemn(*context));
    contexts.iter().for_each(|context| requests.postpone(*context));
    assert_eq!((requests.condemned(), requests.due()), (0, vec![]));
    requests.end(contexts[0]);
    requests.resume();
    let due: Vec<_> = requests.due().into_iter().map(|(context, _)| context).collect();
    assert_eq!(due, [contexts[1]], "the third was never condemned");
    requests.postpone(contexts[1]);
    for number in 10..10 + 2 * RESUMED as u32 {
        requests.begin(ContextId(number), 1, 0);
        requests.condemn(ContextId(number));
        requests.postpone(ContextId(number));
    }
    let mut seen = BTreeSet::new();
    for _ in 0..3 {
        requests.resume();
        assert!(requests.condemned() <= RESUMED, "some at a time");
        let again: Vec<_> = std::iter::from_fn(|| {
            let (context, _) = requests.due().into_iter().next()?;
            requests.postpone(context);
            Some(context)
        })
        .collect();
        seen.extend(again);
    }
    assert_eq!(seen.len(), 1 + 2 * RESUMED, "it gets round to all, postponed again or not");
}

#[test]
fn a_refused_answer_is_a_reset_and_a_refused_reset_is_said() {
    let proxy = Proxy::new();
    let host = proxy.host();
    let mut requests = Requests::default();
    let [first, second] = [(); 2].map(|()| arrived(&host));
    requests.begin(first, 1, 0);
    requests.begin(second, 1, 0);
    proxy.refuse("respond_to");
    assert_eq!(requests.cut(&host, first, &ANSWER).map(|(_, cut)| cut), Some(Cut::Reset));
    proxy.refuse("reset_request");
    assert_eq!(requests.cut(&host, second, &ANSWER).map(|(_, cut)| cut), Some(Cut::Failed));
    proxy.allow("reset_request");
    assert_eq!(requests.cut(&host, second, &ANSWER), None, "it is not tried again");
}

#[test]
fn more_than_the_bound_are_counted() {
    let mut requests = Requests { bound: 2, ..Requests::default() };
    for context in 1..=5 {
        assert_eq!(requests.begin(ContextId(context), 1, 0), context <= 2);
    }
    assert_eq!((requests.len(), requests.untracked()), (2, 3));
    requests.end(ContextId(4));
    assert!(!requests.begin(ContextId(6), 1, 0));
    requests.end(ContextId(1));
    assert!(requests.begin(ContextId(7), 1, 0));
    assert_eq!(requests.untracked(), 4);
}

#[test]
fn a_number_that_is_used_again_is_another_request() {
    let mut requests = Requests { bound: 1, ..Requests::default() };
    requests.begin(ContextId(1), 1, 10);
    requests.response_started(ContextId(1));
    assert!(requests.begin(ContextId(1), 2, 20));
    assert_eq!(contexts(&requests, 1), []);
    let live = Live { key: 2, others: Box::default(), subject: 20, phase: Phase::Waiting };
    assert_eq!(requests.of(2).collect::<Vec<_>>(), [(ContextId(1), &live)]);
}

#[test]
fn the_condemned_are_cut_off_in_portions() {
    let host = Proxy::new().host();
    let mut requests = Requests::default();
    let all: Vec<_> = (0..3 * MAX_AT_ONCE).map(|_| arrived(&host)).collect();
    for context in &all {
        requests.begin(*context, 1, 0);
        requests.condemn(*context);
        requests.condemn(*context);
    }
    let spared = arrived(&host);
    requests.begin(spared, 1, 0);
    requests.condemn(ContextId(1_000));
    assert_eq!(requests.condemned(), all.len());
    // One that ends by itself is not due any more.
    requests.end(all[0]);
    let mut portions = Vec::new();
    for _ in 0..4 {
        let due = requests.due();
        portions.push(due.len());
        for (context, live) in due {
            assert_eq!(requests.cut(&host, context, &ANSWER), Some((live, Cut::Answered)));
        }
    }
    assert_eq!(portions, [MAX_AT_ONCE, MAX_AT_ONCE, MAX_AT_ONCE - 1, 0]);
    assert_eq!(contexts(&requests, 1), [spared]);
    assert_eq!(requests.condemned(), 0);
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Begin { key: u8, subject: u64 },
    Respond(usize),
    End(usize),
    Cut(usize),
    CutKey(u8),
    Condemn(usize),
    CutDue,
    Refuse { answer: bool, reset: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let which = 0..64usize;
    prop_oneof![
        6 => (0..4u8, any::<u64>()).prop_map(|(key, subject)| Step::Begin { key, subject }),
        3 => which.clone().prop_map(Step::Respond),
        3 => which.clone().prop_map(Step::End),
        2 => which.clone().prop_map(Step::Cut),
        1 => (0..4u8).prop_map(Step::CutKey),
        3 => which.clone().prop_map(Step::Condemn),
        1 => Just(Step::CutDue),
        1 => any::<(bool, bool)>().prop_map(|(answer, reset)| Step::Refuse { answer, reset }),
    ]
}

/// The requests, the proxy that has them, and what should be known of them.
struct World {
    proxy: Proxy,
    host: MemoryHost,
    requests: Requests,
    known: BTreeMap<ContextId, Live<u8, u64>>,
    condemned: BTreeSet<ContextId>,
    /// Every request that has not ended, known or not.
    there: Vec<ContextId>,
    untracked: u64,
}

const BOUND: usize = 12;

impl World {
    fn new() -> Self {
        let proxy = Proxy::new();
        Self {
            host: proxy.host(),
            proxy,
            requests: Requests { bound: BOUND, ..Requests::default() },
            known: BTreeMap::new(),
            condemned: BTreeSet::new(),
            there: Vec::new(),
            untracked: 0,
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Begin { key, subject } => self.begin(key, subject),
            Step::Respond(nth) => {
                let Some(context) = self.pick(nth) else { return };
                if self.host.exchange(context).standing == Standing::Forwarded {
                    self.host.response_started(context);
                }
                self.requests.response_started(context);
                if let Some(live) = self.known.get_mut(&context) {
                    live.phase = Phase::Responding;
                }
            }
            Step::End(nth) => {
                let Some(context) = self.pick(nth) else { return };
                self.there.retain(|other| *other != context);
                self.host.end(context);
                assert_eq!(self.requests.end(context), self.known.remove(&context));
            }
            Step::Cut(nth) => {
                let Some(context) = self.pick(nth) else { return };
                self.cut(context);
            }
            Step::CutKey(key) => {
                for context in contexts(&self.requests, key) {
                    self.cut(context);
                }
                assert_eq!(self.requests.of(key).count(), 0);
            }
            Step::Condemn(nth) => {
                let Some(context) = self.pick(nth) else { return };
                self.requests.condemn(context);
                self.condemned.insert(context);
            }
            Step::CutDue => {
                for (context, live) in self.requests.due() {
                    assert_eq!(self.known.get(&context), Some(&live));
                    self.cut(context);
                }
            }
            Step::Refuse { answer, reset } => {
                for (call, refused) in [("respond_to", answer), ("reset_request", reset)] {
                    if refused { self.proxy.refuse(call) } else { self.proxy.allow(call) }
                }
            }
        }
    }

    fn begin(&mut self, key: u8, subject: u64) {
        let context = arrived(&self.host);
        self.there.push(context);
        let tracked = self.requests.begin(context, key, subject);
        assert_eq!(tracked, self.known.len() < BOUND);
        if tracked {
            self.known.insert(
                context,
                Live { key, others: Box::default(), subject, phase: Phase::Waiting },
            );
        } else {
            self.untracked += 1;
        }
    }

    /// The proxy in memory panics on a second answer or reset.
    fn cut(&mut self, context: ContextId) {
        let before = self.host.exchange(context).standing;
        let outcome = self.requests.cut(&self.host, context, &ANSWER);
        let after = self.host.exchange(context).standing;
        let expected = self.known.remove(&context);
        assert_eq!(outcome.as_ref().map(|(live, _)| live.clone()), expected);
        match (outcome, expected.map(|live| live.phase)) {
            (Some((_, Cut::Answered)), Some(Phase::Waiting)) => {
                assert_eq!(after, Standing::Answered);
            }
            (Some((_, Cut::Reset)), Some(_)) => assert_eq!(after, Standing::Reset),
            (Some((_, Cut::Failed)), Some(_)) | (None, None) => assert_eq!(after, before),
            other => panic!("a wrong cut: {other:?}"),
        }
    }

    fn pick(&self, nth: usize) -> Option<ContextId> {
        self.there.get(nth % self.there.len().max(1)).copied()
    }

    fn check(&mut self) {
        let due: Vec<_> = self.requests.due().into_iter().map(|(context, _)| context).collect();
        self.condemned.retain(|context| self.known.contains_key(context));
        assert_eq!(due, self.condemned.iter().copied().collect::<Vec<_>>());
        assert_eq!(self.requests.condemned(), due.len());
        let known: BTreeMap<_, _> =
            self.known.iter().map(|(context, live)| (*context, live)).collect();
        let all: BTreeMap<_, _> = self.requests.iter().collect();
        assert_eq!(all, known);
        assert_eq!((self.requests.len(), self.requests.untracked()), (all.len(), self.untracked));
        let by_key: BTreeMap<_, _> = (0..4).flat_map(|key| self.requests.of(key)).collect();
        assert_eq!(by_key, known, "the index has something else");
        assert_eq!(self.requests.by_key.len(), self.known.len());
    }
}

proptest! {
    #[test]
    fn what_is_known_is_what_was_allowed_and_neither_ended_nor_was_cut(
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
            world.check();
        }
    }
}
