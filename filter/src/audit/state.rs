//! The decision in the proxy's filter state, for its own access log.

use kya_core::wire::Verdict;

use super::Room;
use super::event::Decision;

/// Name of the property. In Envoy it is the filter state object `wasm.kya.decision`,
/// which `%FILTER_STATE(wasm.kya.decision:PLAIN)%` writes.
pub const FILTER_STATE: &str = "kya.decision";

/// A decision in one line: `allow agent=agt_… event=00c0ffee00c0ffee/17`. Its number is
/// that in the trail, of this instance.
pub fn describe(decision: &Decision, agent: Option<&str>, instance: &str, room: Room) -> String {
    let verdict = match decision.verdict {
        Verdict::Allow => "allow",
        Verdict::Pass => "pass",
        Verdict::Deny | Verdict::Unspecified => "deny",
    };
    let mut text = String::with_capacity(112);
    text.push_str(verdict);
    if !decision.reason.is_empty() {
        text.push_str(" reason=");
        text.push_str(decision.reason);
    }
    if let Some(agent) = agent {
        text.push_str(" agent=");
        text.push_str(agent);
    }
    if let Some(number) = room.next {
        text.push_str(" event=");
        text.push_str(instance);
        text.push('/');
        push_number(&mut text, number);
    }
    text
}

/// Without the machinery of `format!`, which costs more than all of the rest.
fn push_number(text: &mut String, number: u64) {
    // As many digits as the greatest number has.
    let (mut digits, mut left) = ([b'0'; 20], number);
    let mut begin = 0;
    for (place, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0'.saturating_add(u8::try_from(left % 10).unwrap_or(0));
        left /= 10;
        begin = place;
        if left == 0 {
            break;
        }
    }
    for digit in digits.iter().skip(begin) {
        text.push(char::from(*digit));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_is_one_line_of_words() {
        let room = Room { next: Some(17), full: false };
        let allowed = Decision::bare(Verdict::Allow, "");
        assert_eq!(describe(&allowed, Some("agt_1"), "0a", room), "allow agent=agt_1 event=0a/17");
        let denied = Decision::bare(Verdict::Deny, "token_missing");
        assert_eq!(describe(&denied, None, "0a", room), "deny reason=token_missing event=0a/17");
        let passed = Decision::bare(Verdict::Pass, "exempt");
        let nowhere = Room { next: None, full: true };
        assert_eq!(describe(&passed, None, "0a", nowhere), "pass reason=exempt");
    }

    #[test]
    fn numbers_are_written_as_everywhere() {
        for number in [0, 1, 9, 10, 11, 99, 100, 12_345, u64::MAX] {
            let mut text = String::new();
            push_number(&mut text, number);
            assert_eq!(text, number.to_string());
        }
    }
}
