//! Freshness: how old the state is, without trusting that two clocks agree.
//!
//! A signed message proves that it was signed at some time by the control plane's
//! clock. A nonce that comes back signed ties that clock to the proxy's own: what
//! was signed later by so many seconds cannot be older than the question plus so
//! many seconds. A recording that is played back slowly, or a stream that is held
//! up, therefore shows as age, whatever the clocks say.

use crate::time::UnixMillis;

/// Milliseconds of a clock of the proxy that is never set. Its zero means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Monotonic(pub u64);

/// A nonce came back signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// When it was sent.
    pub asked: Monotonic,
    /// When it was signed.
    pub signed: UnixMillis,
}

impl Anchor {
    /// The earliest instant at which something can have been signed.
    fn instant(&self, signed: UnixMillis) -> Monotonic {
        let after = signed.0.saturating_sub(self.signed.0);
        let before = self.signed.0.saturating_sub(signed.0);
        Monotonic(self.asked.0.saturating_add(after).saturating_sub(before))
    }
}

/// What is known of the age of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Freshness {
    anchor: Option<Anchor>,
    newest: Option<Heard>,
}

/// The newest message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Heard {
    signed: UnixMillis,
    at: Monotonic,
    /// The instant at which the state was surely that of the control plane.
    proves: Monotonic,
}

impl Freshness {
    /// A nonce came back. Says whether it is news: an anchor counts if its
    /// question was asked after that of the last one. It says how the clocks
    /// stand, and nothing about the state.
    pub fn anchored(&mut self, anchor: Anchor, now: Monotonic) -> bool {
        let newer = self.anchor.is_none_or(|last| anchor.asked > last.asked);
        if !newer || anchor.asked > now {
            return false;
        }
        self.anchor = Some(anchor);
        // A clock that was set back since the newest message is believed again.
        if let Some(newest) = self.newest.as_mut().filter(|it| it.signed > anchor.signed) {
            *newest = Heard { signed: anchor.signed, at: now, ..*newest };
        }
        true
    }

    /// The state was the newest when this was signed. Says whether that was after
    /// the newest that is known.
    pub fn heard(&mut self, signed: UnixMillis, now: Monotonic) -> bool {
        if self.newest.is_some_and(|newest| signed <= newest.signed) {
            return false;
        }
        let proves = self.anchor.map_or(now, |anchor| anchor.instant(signed).min(now));
        let proves = self.newest.map_or(proves, |newest| newest.proves.max(proves));
        self.newest = Some(Heard { signed, at: now, proves });
        true
    }

    /// Milliseconds since the state was surely that of the control plane; `None`
    /// if nothing was ever verified.
    pub fn age(&self, now: Monotonic) -> Option<u64> {
        self.newest.map(|newest| now.0.saturating_sub(newest.proves.0))
    }

    /// The earliest time that the control plane's clock can show now, as long as
    /// nobody sets it back.
    pub fn control_plane_time(&self, now: Monotonic) -> Option<UnixMillis> {
        let newest = self.newest?;
        let since = now.0.saturating_sub(newest.at.0);
        Some(UnixMillis(newest.signed.0.saturating_add(since)))
    }

    /// The last anchor.
    pub fn anchor(&self) -> Option<Anchor> {
        self.anchor
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millis: u64) -> Monotonic {
        Monotonic(millis)
    }

    #[test]
    fn a_message_is_as_old_as_its_signature_shows_and_not_as_its_arrival() {
        let mut freshness = Freshness::default();
        let anchor = Anchor { asked: at(10_000), signed: UnixMillis(500_000) };
        assert!(freshness.anchored(anchor, at(10_010)));
        assert_eq!(freshness.age(at(10_010)), None, "an anchor says nothing about the state");
        // What was signed before the anchor, such as a state found in a cache.
        assert!(freshness.heard(UnixMillis(497_000), at(10_020)));
        assert_eq!(freshness.age(at(10_020)), Some(3_020));
        // Signed one second after the anchor, held up for nine.
        assert!(freshness.heard(UnixMillis(501_000), at(20_000)));
        assert_eq!(freshness.age(at(20_000)), Some(9_000));
    }

    #[test]
    fn a_repetition_or_an_older_message_is_no_news() {
        let mut freshness = Freshness::default();
        assert_eq!(freshness.age(at(0)), None);
        assert!(freshness.heard(UnixMillis(500), at(100)));
        assert!(!freshness.heard(UnixMillis(500), at(200)));
        assert!(!freshness.heard(UnixMillis(499), at(300)));
        assert_eq!(freshness.age(at(300)), Some(200));
    }

    #[test]
    fn a_control_plane_whose_clock_was_set_back_is_believed_after_a_new_question() {
        let mut freshness = Freshness::default();
        freshness.anchored(Anchor { asked: at(0), signed: UnixMillis(900_000) }, at(1));
        assert!(freshness.heard(UnixMillis(901_000), at(1_000)));
        assert!(!freshness.heard(UnixMillis(600_000), at(5_000)));
        assert_eq!(freshness.age(at(5_000)), Some(4_000));
        let anchor = Anchor { asked: at(5_000), signed: UnixMillis(600_001) };
        assert!(freshness.anchored(anchor, at(5_002)));
        assert!(freshness.heard(UnixMillis(601_001), at(6_000)));
        assert_eq!(freshness.age(at(6_000)), Some(0));
    }

    #[test]
    fn an_anchor_that_is_older_or_from_the_future_is_no_news() {
        let mut freshness = Freshness::default();
        assert!(!freshness.anchored(Anchor { asked: at(11), signed: UnixMillis(1) }, at(10)));
        assert!(freshness.anchored(Anchor { asked: at(9), signed: UnixMillis(1) }, at(10)));
        assert!(!freshness.anchored(Anchor { asked: at(9), signed: UnixMillis(99) }, at(10)));
    }

    #[test]
    fn the_control_plane_s_time_goes_on_between_messages() {
        let mut freshness = Freshness::default();
        freshness.heard(UnixMillis(500_000), at(100));
        assert_eq!(freshness.control_plane_time(at(350)), Some(UnixMillis(500_250)));
    }

    proptest! {
        /// Whatever is delivered whenever: the state is never taken for younger
        /// than it is.
        #[test]
        fn nothing_is_younger_than_it_is(
            offset in 0u64..1_000_000,
            messages in prop::collection::vec((0u64..500, 0u64..500, any::<bool>()), 1..40),
        ) {
            let mut freshness = Freshness::default();
            let (mut now, mut truth) = (1_000u64, None::<u64>);
            freshness.anchored(Anchor { asked: at(now), signed: UnixMillis(now + offset) }, at(now));
            for (pass, delay, anchors) in messages {
                now += pass;
                // Signed `delay` ago, by a clock that runs as fast as this one.
                let signed = now.saturating_sub(delay).max(1_000);
                if anchors {
                    let asked = at(signed.saturating_sub(delay).max(1_000));
                    freshness.anchored(Anchor { asked, signed: UnixMillis(signed + offset) }, at(now));
                    continue;
                }
                freshness.heard(UnixMillis(signed + offset), at(now));
                truth = truth.max(Some(signed));
                let age = freshness.age(at(now)).unwrap();
                prop_assert!(age >= now - truth.unwrap());
            }
        }
    }
}
