//! The sessions that run under each registration, so that they can be ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::NodeName;

/// Every session that is open.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<HashMap<NodeName, Open>>);

#[derive(Debug, Default)]
struct Open {
    count: usize,
    end: CancellationToken,
}

/// One session, open until it is dropped.
#[derive(Debug)]
pub(super) struct Session {
    sessions: Arc<Sessions>,
    name: NodeName,
    /// Called when the registration is revoked.
    pub(super) end: CancellationToken,
}

impl Sessions {
    /// Opens a session. If its registration is ended while another session is
    /// open still, this one is ended too.
    pub(super) fn enter(self: &Arc<Self>, name: NodeName) -> Session {
        let mut sessions = self.lock();
        let open = sessions.entry(name.clone()).or_default();
        open.count = open.count.saturating_add(1);
        Session { sessions: Arc::clone(self), name, end: open.end.clone() }
    }

    /// Ends every session of a registration.
    pub(super) fn end(&self, name: &NodeName) {
        if let Some(open) = self.lock().get(name) {
            open.end.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<NodeName, Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let mut sessions = self.sessions.lock();
        match sessions.get_mut(&self.name) {
            Some(open) if open.count > 1 => open.count = open.count.saturating_sub(1),
            _ => drop(sessions.remove(&self.name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sessions_of_one_registration_end_together_and_those_of_others_go_on() {
        let sessions = Arc::new(Sessions::default());
        let name = |name: &str| name.parse::<NodeName>().unwrap();
        let [one, two, other] = ["a", "a", "b"].map(|of| sessions.enter(name(of)));
        sessions.end(&name("a"));
        sessions.end(&name("never-seen"));
        let ended = [&one, &two, &other].map(|session| session.end.is_cancelled());
        assert_eq!(ended, [true, true, false]);
        drop(one);
        assert!(sessions.enter(name("a")).end.is_cancelled(), "one of them is not over yet");
        drop(two);
        drop(other);
        assert!(sessions.lock().is_empty(), "nothing is kept of sessions that are over");
    }
}
